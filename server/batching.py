"""Judges windows off the event loop, in micro-batches.

```
    judge(cascade, windows) --> waiting --> thread: all that waits, by cascade --> stages, quick reviews --> futures
                                   ^                                                   | suspects for the judge model
                                   |                                                   v
                                   |                                 reviewer thread, one per call --> its future
                                   whatever comes while a batch runs is the next batch: no timer, no wait when idle
```

The judge model may take seconds. Only the calls whose own windows it has to look at wait for it; when all reviewer
threads have been busy for long, it is left out, and what it would have decided follows the policy.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from guard.cascade import Cascade, Case, Finding, Outcome, StageReport
from guard.detector import Window
from server.observation import Observer, StagesObserved

LOGGER = logging.getLogger("lethe.batching")

SLOW: Final = frozenset({"judge"})
"""Reviewers that wait for another server, by name."""
_ROUNDS: Final = 4  # reviews that may wait, per reviewer thread


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
    """`longest_queue` counts windows; a batch takes calls until it holds `largest_batch` windows.

    `reviewer_threads` is how many calls may be with the judge model at once.
    """

    threads: int = 1
    reviewer_threads: int = 4
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
        self._reviewers = ThreadPoolExecutor(limits.reviewer_threads, "reviewer")
        self._reviews = 0  # calls that wait for the judge model, guarded by _changed
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
        self._reviewers.shutdown(wait=True)
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
        cascade = calls[0].cascade
        quick, slow = _apart(cascade)
        try:
            cases, reports = cascade.stage(windows, self._clock)
            reports += quick.review(cases, self._clock)
        except Exception:  # the border of a background task: whoever waits is told, and the thread goes on
            LOGGER.exception("judging a batch failed")
            _tell(calls[0].loop, _fail, calls, JudgeBroken("judging failed"))
            return
        settled: list[tuple[_Call, list[Finding]]] = []
        at = 0
        for call in calls:
            until = at + len(call.windows)
            own = cases[at:until]
            if slow is None or not self._review(slow, call, own):
                settled.append((call, [case.finding() for case in own]))
            at = until
        _tell(calls[0].loop, self._settle, settled, reports)

    def _review(self, slow: Cascade, call: _Call, cases: list[Case]) -> bool:
        """Have suspects reviewed in a thread of its own; False when there are none, or too many wait already."""
        suspect = [case for case in cases if _awaits(slow, case)]
        if not suspect:
            return False
        with self._changed:
            busy = self._closed or self._reviews >= _ROUNDS * self._limits.reviewer_threads
            self._reviews += not busy
        if busy:
            skipped = [StageReport(review.reviewer.name, 0.0, {Outcome.ERROR: len(suspect)}) for review in slow.reviews]
            _tell(call.loop, self._settle, [], skipped)
            return False
        self._reviewers.submit(self._look_again, slow, call, cases, suspect)
        return True

    def _look_again(self, slow: Cascade, call: _Call, cases: list[Case], suspect: list[Case]) -> None:
        try:
            reports = [] if call.future.done() else slow.review(suspect, self._clock)  # its request may be gone
        except Exception:  # the border of a background task, as above
            LOGGER.exception("reviewing a text failed")
            _tell(call.loop, _fail, [call], JudgeBroken("reviewing failed"))
        else:
            _tell(call.loop, self._settle, [(call, [case.finding() for case in cases])], reports)
        finally:
            with self._changed:
                self._reviews -= 1

    def _settle(self, settled: list[tuple[_Call, list[Finding]]], reports: list[StageReport]) -> None:
        for call, findings in settled:
            if not call.future.done():
                call.future.set_result(findings)
        if reports:
            self._observer.observe(StagesObserved(reports))


def _apart(cascade: Cascade) -> tuple[Cascade, Cascade | None]:
    """The cascade with its quick reviews only, and with its slow ones only."""
    slow = tuple(review for review in cascade.reviews if review.reviewer.name in SLOW)
    if not slow:
        return cascade, None
    quick = tuple(review for review in cascade.reviews if review.reviewer.name not in SLOW)
    return replace(cascade, reviews=quick), replace(cascade, reviews=slow)


def _awaits(slow: Cascade, case: Case) -> bool:
    """True when a slow review could change what happens to this window."""
    if any(slow.sure(match) for match in case.matches):
        return False
    return any(review.wanted(e) for review in slow.reviews for e, _ in case.suspects.values())


def _fail(calls: list[_Call], fault: JudgeFault) -> None:
    for call in calls:
        if not call.future.done():
            call.future.set_exception(fault)


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: object) -> None:
    try:
        loop.call_soon_threadsafe(callback, *arguments)
    except RuntimeError:
        LOGGER.debug("a verdict came after its event loop was closed")
