"""One worker: a process that answers requests like a server that runs alone, on the terms of its supervisor.

```
    link --> START --> open the service --> SERVING --> serve --> END, SIGTERM, or the supervisor is gone --> end
                            | cannot: REFUSED           WAKE, LEAD, BASE, METRICS, READINESS in between
```
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import astuple
from typing import Final

import orjson

from index.errors import IndexFault
from index.snapshot import Snapshot
from server.app import Lethe
from server.http_server import BACKLOG, Servers, server_config
from server.logs import configure_logs, record
from server.routes.health import measure_lag, readiness
from server.service import Service, open_service
from server.workers.bases import SharedBases, base_of
from server.workers.link import Frame, Link, LinkClosed, Subject
from server.workers.terms import Terms, share_of, terms_of

_LAST_WORDS_S: Final = 30.0


class Worker:
    """The link of this process, read in a thread of its own and answered on the event loop."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._service: Service | None = None
        self._servers: Servers | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        early: list[Frame] = []
        while (frame := link.receive()) is not None and frame.subject is Subject.BASE:
            early.append(frame)
        if frame is None or frame.subject is not Subject.START:
            raise LinkClosed  # the server ends before this worker began
        self._terms: Terms = terms_of(frame.body)
        self._bases = SharedBases(link, self._terms.leads)
        for base in early:
            self._bases.arrived(base_of(base))

    def run(self, bound: socket.socket) -> int:
        """Serve on that socket; answers the exit code."""
        settings = self._terms.settings
        configure_logs(settings.log_level, worker=self._terms.slot)
        loop_factory = server_config(None, settings.shutdown_grace_s).get_loop_factory()
        try:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(self._work(bound))
        except IndexFault as fault:
            self._tell(Subject.REFUSED, str(fault).encode())
            return 1
        except Exception as error:  # noqa: BLE001  # the border of the process: its message may quote what it read
            record("worker_failed", logging.ERROR, error)
            return 1
        return 0

    async def _work(self, bound: socket.socket) -> None:
        loop, terms = asyncio.get_running_loop(), self._terms
        threading.Thread(target=self._read, args=(loop,), name="lethe-link", daemon=True).start()
        settings = share_of(terms.settings, terms.slot)
        async with open_service(settings, generated_key=terms.generated_key, bases=self._bases) as service:
            self._service = service
            self._servers = Servers([(Lethe(service), bound)], settings.shutdown_grace_s)
            loop.add_signal_handler(signal.SIGTERM, self._servers.end)
            service.index.applied(self._applied)
            bound.listen(BACKLOG)
            facts = {"revision": service.index.snapshot.revision, "generated_key": service.access.generated_key}
            self._tell(Subject.SERVING, orjson.dumps(facts))
            await self._servers.serve()
            self._service = None

    def _applied(self, snapshot: Snapshot, seconds: float) -> None:
        self._tell(Subject.APPLIED, orjson.dumps(snapshot.revision))

    def _tell(self, subject: Subject, body: bytes = b"") -> None:
        with suppress(LinkClosed):  # then the reading thread ends this process
            self._link.send(Frame(subject, body))

    # -- the reading thread -----------------------------------------------------------------------------------------

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        while (frame := self._link.receive()) is not None:
            if frame.subject is Subject.BASE:
                self._bases.arrived(base_of(frame))
            loop.call_soon_threadsafe(self._heard, frame)
        loop.call_soon_threadsafe(self._heard, Frame(Subject.END))
        time.sleep(self._terms.settings.shutdown_grace_s + _LAST_WORDS_S)
        os._exit(1)  # the supervisor is gone and the event loop hangs: nobody else would end this process

    # -- on the event loop ------------------------------------------------------------------------------------------

    def _heard(self, frame: Frame) -> None:
        match frame.subject:
            case Subject.END | Subject.END_NOW:
                self._end(frame.subject)
            case Subject.LEAD:
                self._bases.leads = True
                self._wake()
            case Subject.WAKE | Subject.BASE:
                self._wake()
            case Subject.METRICS:
                self._answer(Subject.METRICS)
            case Subject.READINESS:
                self._answer(Subject.READINESS)
            case _:
                record("unexpected_frame", logging.ERROR, fields={"subject": frame.subject.name})

    def _wake(self) -> None:
        if self._service is not None:
            self._service.index.wake()

    def _end(self, subject: Subject) -> None:
        if self._servers is None:
            os._exit(0)  # nothing is served yet; what a start leaves half done, the next one finishes
        self._servers.end() if subject is Subject.END else self._servers.end_now()

    def _answer(self, subject: Subject) -> None:
        if self._service is None:
            return
        tell = _counted if subject is Subject.METRICS else _ready
        task = asyncio.get_running_loop().create_task(self._answered(subject, tell(self._service)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answered(self, subject: Subject, answer: Awaitable[bytes]) -> None:
        self._tell(subject, await answer)


async def _counted(service: Service) -> bytes:
    def counted() -> bytes:
        measure_lag(service)
        return orjson.dumps([astuple(sample) for sample in service.metrics.samples()])

    return await service.run(counted)


async def _ready(service: Service) -> bytes:
    return orjson.dumps(await readiness(service))


def main() -> None:
    """The whole life of a worker process; its arguments are the descriptors of the link and of the main port."""
    code = _life()
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)  # all is closed; taking the interpreter apart would cost a second of computing


def _life() -> int:
    link, bound = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    for inherited in (link, bound):
        inherited.set_inheritable(False)
    try:
        worker = Worker(Link(link))
    except LinkClosed:
        return 1
    return worker.run(bound)
