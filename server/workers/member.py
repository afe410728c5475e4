"""One worker as its supervisor sees it: a process, the link to it, and what it said last."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from server.workers.link import Frame, Link, LinkClosed, Subject, pair

_BEGIN: Final = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells the supervisor too, and that one tells us
sys.path[:] = {path!r}
from server.workers.worker import main
main()
"""


class Member:
    """Told what to do with `tell`; what it says comes to `heard(member, frame)`, on the event loop.

    `serves` is set when it serves for the first time, `gone` when it has said its last; `refusal` is why it could not
    start, if it said so.
    """

    def __init__(self, slot: int, process: asyncio.subprocess.Process, link: Link) -> None:
        self.slot, self.process = slot, process
        self.serves, self.gone = asyncio.Event(), asyncio.Event()
        self.revision = -1
        self.refusal = ""
        self._link = link
        self._asked: dict[Subject, asyncio.Future[bytes]] = {}

    @property
    def serving(self) -> bool:
        """True while it answers requests."""
        return self.serves.is_set() and not self.gone.is_set()

    def listen(self, heard: Callable[[Member, Frame], None]) -> None:
        """Begin to read the link."""
        loop = asyncio.get_running_loop()

        def read() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody is interested any more
                while (frame := self._link.receive()) is not None:
                    loop.call_soon_threadsafe(heard, self, frame)
                loop.call_soon_threadsafe(self.gone.set)

        threading.Thread(target=read, name=f"lethe-link-{self.slot}", daemon=True).start()

    def tell(self, frame: Frame) -> None:
        """Send a frame. One that is gone, or takes nothing any more, misses it."""
        with suppress(LinkClosed):  # then its process ends, or is ended, and is waited for elsewhere
            self._link.send(frame)

    async def ask(self, subject: Subject, timeout_s: float) -> bytes | None:
        """Its answer; None when it gave none in time. Who asks while it is being asked waits for the same answer."""
        asked = self._asked.get(subject)
        if asked is None:
            asked = self._asked[subject] = asyncio.get_running_loop().create_future()
            self.tell(Frame(subject))
        done, _ = await asyncio.wait({asked}, timeout=timeout_s)
        return asked.result() if done and not asked.cancelled() else None

    def answered(self, frame: Frame) -> None:
        """An answer arrived."""
        if asked := self._asked.pop(frame.subject, None):
            asked.set_result(frame.body)

    async def end(self, within_s: float) -> int:
        """Wait for its process to end, and end it when it does not in time. Answers its exit status."""
        try:
            async with asyncio.timeout(within_s):
                await self.process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):  # it ended by itself meanwhile
                self.process.kill()
        return await self.process.wait()

    def close(self) -> None:
        """Its process is gone: close the link."""
        self._link.close()
        for asked in self._asked.values():
            asked.cancel()


async def hire(slot: int, bound: socket.socket) -> Member:
    """Start a worker's process, which takes over `bound` and waits for its terms."""
    here, there = pair()
    inherited = there.fileno(), bound.fileno()
    command = [sys.executable, "-P", "-c", _BEGIN.format(path=sys.path), *map(str, inherited)]
    try:
        with there, bound:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, pass_fds=inherited
            )
    except OSError:
        here.close()
        raise
    return Member(slot, process, Link(here))
