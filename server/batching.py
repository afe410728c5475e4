"""Judges windows off the event loop, in micro-batches.

```
    judge(cascade, windows) --> waiting --> thread: all that waits, by cascade --> cascade.judge --> futures
                                   ^  whatever comes while a batch runs is the next batch: no timer, no wait when idle
```
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guard.cascade import Cascade, Finding, StageReport
from guard.detector import Window
from server.observation import Observer, StagesObserved

LOGGER = logging.getLogger("lethe.batching")


class JudgeFault(Exception):
    """The text could not be judged: nobody's text may leave on that account."""


class JudgeBusy(JudgeFault):
    """More windows are waiting than the queue holds: asking again later helps."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} windows are waiting to be judged already")


class JudgeLate(JudgeFault):
    """The verdict did not come within the time that a text may wait."""


class JudgeBroken(JudgeFault):
    """The judging thread failed or was closed: a defect of ours, logged where it happened."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """`longest_queue` counts windows; a batch takes calls until it holds `largest_batch` windows."""

    threads: int = 1
    longest_queue: int = 8192
    largest_batch: int = 64
    timeout_s: float = 10.0


@dataclass(slots=True)
class _Call:
    cascade: Cascade
    windows: Sequence[Window]
    future: asyncio.Future[list[Finding]]
    loop: asyncio.AbstractEventLoop


class Batcher:
    """Collects the windows of concurrent requests. `clock` gives seconds."""

    def __init__(self, limits: BatchLimits, observer: Observer, clock: Callable[[], float]) -> None:
        self._limits, self._observer, self._clock = limits, observer, clock
        self._calls: deque[_Call] = deque()
        self._waiting = 0
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"judge-{n}", daemon=True) for n in range(limits.threads)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop the threads. What still waits gets `JudgeBroken`."""
        with self._changed:
            self._closed = True
            calls, self._calls = list(self._calls), deque()
            self._waiting = 0
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for call in calls:
            _tell(call.loop, _fail, [call], JudgeBroken("the batcher is closed"))

    async def judge(self, cascade: Cascade, windows: Sequence[Window]) -> list[Finding]:
        """One finding per window. Raises `JudgeFault`."""
        if not windows:
            return []
        loop = asyncio.get_running_loop()
        call = _Call(cascade, windows, loop.create_future(), loop)
        with self._changed:
            if self._closed:
                raise JudgeBroken("the batcher is closed")
            if self._waiting + len(windows) > self._limits.longest_queue and self._calls:
                raise JudgeBusy(self._waiting)
            self._calls.append(call)
            self._waiting += len(windows)
            self._changed.notify()
        deadline = loop.call_later(self._limits.timeout_s, _fail, [call], JudgeLate("judging took too long"))
        try:
            return await call.future
        finally:
            deadline.cancel()

    def _work(self) -> None:
        while calls := self._next():
            by_cascade: dict[int, list[_Call]] = {}
            for call in calls:
                by_cascade.setdefault(id(call.cascade), []).append(call)
            for group in by_cascade.values():
                self._run(group)

    def _next(self) -> list[_Call]:
        """Some calls that wait; empty when closed."""
        with self._changed:
            while not self._closed:
                taken: list[_Call] = []
                room = self._limits.largest_batch
                while self._calls and (not taken or len(self._calls[0].windows) <= room):
                    call = self._calls.popleft()
                    self._waiting -= len(call.windows)
                    if not call.future.done():  # its request may be gone
                        taken.append(call)
                        room -= len(call.windows)
                if taken:
                    return taken
                self._changed.wait()
        return []

    def _run(self, calls: list[_Call]) -> None:
        windows = [window for call in calls for window in call.windows]
        loop = calls[0].loop
        try:
            findings, reports = calls[0].cascade.judge(windows, self._clock)
        except Exception:  # the border of a background task: whoever waits is told, and the thread goes on
            LOGGER.exception("judging a batch failed")
            _tell(loop, _fail, calls, JudgeBroken("judging failed"))
            return
        _tell(loop, self._settle, calls, findings, reports)

    def _settle(self, calls: list[_Call], findings: list[Finding], reports: list[StageReport]) -> None:
        at = 0
        for call in calls:
            until = at + len(call.windows)
            if not call.future.done():
                call.future.set_result(findings[at:until])
            at = until
        self._observer.observe(StagesObserved(reports))


def _fail(calls: list[_Call], fault: JudgeFault) -> None:
    for call in calls:
        if not call.future.done():
            call.future.set_exception(fault)


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: object) -> None:
    try:
        loop.call_soon_threadsafe(callback, *arguments)
    except RuntimeError:
        LOGGER.debug("a verdict came after its event loop was closed")
