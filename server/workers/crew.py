"""The crew: the workers of one server, kept at their number, with one of them in the lead.

```
    slot 1   start alone (what is made once is made once) --> serving -+-> all others start --> all serve
                                                                       v
    any      ended by itself --> counted, logged --> wait a little --> start again with the newest base
    lead     ended by itself --> the next one that serves leads
```
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import orjson

from index.errors import StartRefused
from server.logs import Value, record
from server.settings import Settings
from server.sockets import PortTaken
from server.workers.link import Frame, Subject
from server.workers.member import Member, hire
from server.workers.terms import Terms

STEADY_S: Final = 60.0
"""A worker that ran this long is started again at once when it ends."""

_PAUSES_S: Final = (0.1, 1.0, 2.0, 5.0, 10.0, 30.0)
_LAST_WORDS_S: Final = 30.0  # after the last request: time to write down what is kept for the next start


class Crew:
    """`bind` gives a new socket at the main port."""

    def __init__(self, settings: Settings, bind: Callable[[], socket.socket]) -> None:
        self._settings, self._bind = settings, bind
        self._observers: list[Callable[[Member], None]] = []
        self._members: dict[int, Member] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._base = Frame(Subject.BASE)
        self._base_turn = asyncio.Lock()
        self._relaying: set[asyncio.Task[None]] = set()
        self._leader: int | None = None
        self._ending = asyncio.Event()
        self.generated_key: str | None = None

    @property
    def serving(self) -> list[Member]:
        """The workers that serve now, by their slots."""
        return [member for _, member in sorted(self._members.items()) if member.serving]

    @property
    def revision(self) -> int:
        """What every one of them serves."""
        return min((member.revision for member in self.serving), default=0)

    def on_end(self, observer: Callable[[Member], None]) -> None:
        """Tell it of each worker that ended by itself."""
        self._observers.append(observer)

    async def start(self) -> None:
        """Start all; they serve when this returns. Raises `StartRefused` with the reason of the one that cannot."""
        for slots in ([1], range(2, self._settings.workers + 1)):
            for slot in slots:
                await self._begin(slot)
            for slot in slots:
                await _first(self._members[slot])
        self._keepers = [asyncio.create_task(self._keep(slot)) for slot in self._members]

    def dismiss(self) -> None:
        """Let running requests finish, and start nobody any more. A second time: do not wait for them."""
        subject = Subject.END_NOW if self._ending.is_set() else Subject.END
        self._ending.set()
        for member in self._members.values():
            member.tell(Frame(subject))

    async def end(self) -> None:
        """Wait for all processes, for those that answer requests at most the grace."""
        if not self._ending.is_set():
            self.dismiss()
        within_s = self._settings.shutdown_grace_s + _LAST_WORDS_S
        await asyncio.gather(*(member.end(within_s) for member in self._members.values()))
        await asyncio.gather(*self._keepers)
        self._base.close()
        self._base = Frame(Subject.BASE)

    # -- one worker -------------------------------------------------------------------------------------------------

    async def _begin(self, slot: int) -> None:
        member = await hire(slot, self._bind())
        self._members[slot] = member
        if self._leader is None:
            self._leader = slot
        member.listen(self._heard)
        async with self._base_turn:
            if self._base.fds:
                await _pass_on(self._base, [member])
        terms = Terms(self._settings, slot, self._leader == slot, self.generated_key)
        member.tell(Frame(Subject.START, terms.packed()))
        if self._ending.is_set():
            member.tell(Frame(Subject.END))  # it was not there yet when all others were told

    async def _keep(self, slot: int) -> None:
        loop, quick = asyncio.get_running_loop(), 0
        while True:
            begun = loop.time()
            member = self._members[slot]
            await member.gone.wait()
            status = await member.end(self._settings.shutdown_grace_s + _LAST_WORDS_S)
            member.close()
            if self._ending.is_set():
                return
            quick = 0 if loop.time() - begun >= STEADY_S else min(quick + 1, len(_PAUSES_S) - 1)
            self._lost(member, status, _PAUSES_S[quick])
            if await self._again(slot, _PAUSES_S[quick]):
                return

    async def _again(self, slot: int, pause_s: float) -> bool:
        """Start a worker in the place of one that ended. True when the server ends instead."""
        while True:
            with suppress(TimeoutError):  # the server goes on: it is time to start the worker
                async with asyncio.timeout(pause_s):
                    await self._ending.wait()
                return True
            try:
                await self._begin(slot)
            except (OSError, PortTaken) as error:  # no memory or no descriptors left: perhaps later
                record("worker_not_started", logging.ERROR, error, {"slot": slot})
                pause_s = _PAUSES_S[-1]
            else:
                return False

    def _lost(self, member: Member, status: int, pause_s: float) -> None:
        fields: dict[str, Value] = {"slot": member.slot, "status": status, "pause_s": pause_s}
        record("worker_ended", logging.ERROR, fields={**fields, "reason": member.refusal})
        for observer in self._observers:
            observer(member)
        self._succeed(member.slot)

    def _succeed(self, slot: int) -> None:
        """When the leader is gone, the first one that serves leads; else the next one that starts."""
        if self._leader != slot:
            return
        self._leader = next((member.slot for member in self.serving), None)
        if self._leader is not None:
            self._members[self._leader].tell(Frame(Subject.LEAD))
            record("worker_leads", fields={"slot": self._leader})

    # -- what they say ----------------------------------------------------------------------------------------------

    def _heard(self, member: Member, frame: Frame) -> None:
        match frame.subject:
            case Subject.SERVING:
                facts = orjson.loads(frame.body)
                member.revision = facts["revision"]
                member.serves.set()
                self.generated_key = self.generated_key or facts["generated_key"]
                record("worker_serves", fields={"slot": member.slot, "pid": member.process.pid})
            case Subject.REFUSED:
                member.refusal = frame.body.decode()
            case Subject.APPLIED:
                member.revision = orjson.loads(frame.body)
                for other in self.serving:
                    if other.revision < member.revision:
                        other.tell(Frame(Subject.WAKE))
            case Subject.BASE:
                self._relay(member, frame)
            case Subject.METRICS | Subject.READINESS:
                member.answered(frame)
            case _:
                frame.close()

    def _relay(self, member: Member, frame: Frame) -> None:
        if member.slot != self._leader:
            frame.close()  # it led a moment ago
            return
        task = asyncio.get_running_loop().create_task(self._relayed(member, frame))
        self._relaying.add(task)
        task.add_done_callback(self._relaying.discard)

    async def _relayed(self, member: Member, frame: Frame) -> None:
        async with self._base_turn:
            self._base.close()
            self._base = frame
            await _pass_on(frame, [other for other in self._members.values() if other is not member])


async def _first(member: Member) -> None:
    """The first start of a worker: it serves, or the server does not start."""
    waiting = {asyncio.create_task(event.wait()) for event in (member.serves, member.gone)}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    if not member.serving:
        status = await member.end(_LAST_WORDS_S)
        raise StartRefused(member.refusal or f"worker {member.slot} ended with status {status} before it served")


async def _pass_on(base: Frame, members: Sequence[Member]) -> None:
    """Off the event loop: a worker that is slow to take it must not hold up the others' requests."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(None, member.tell, base) for member in members))
