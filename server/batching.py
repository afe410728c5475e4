"""Judges windows: those that the quick stages settle at once, the others off the event loop, in micro-batches.

```
    judge(cascade, windows) --> quick stages, here --open--> backlog --> thread: a batch, by cascade --> futures
                                   | settled                                 | suspects for the judge model
                                   v                                         v
                                 findings                      reviewer thread, one per call --> its future

    whatever comes while a batch runs is the next batch: no timer, no wait when idle
```

The judge model may take seconds. Only the calls whose own windows it has to look at wait for it; when all reviewer
threads have been busy for long, it is left out, and what it would have decided follows the policy.

Who is at work already waits for its verdict as long as that may take; who comes new is refused while others wait.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from guard.cascade import Cascade, Case, Finding, Outcome, StageReport
from guard.detector import Window
from server.allowance import Allowance
from server.backlog import Backlog, Call, Portion
from server.observation import Observer, StagesObserved

LOGGER = logging.getLogger("lethe.batching")

SLOW: Final = frozenset({"judge"})
"""Reviewers that wait for another server, by name."""
_ROUNDS: Final = 4  # reviews that may wait, per reviewer thread
_LONGEST_RETRY_S: Final = 60


class JudgeFault(Exception):
    """The text could not be judged: nobody's text may leave on that account."""


class JudgeBusy(JudgeFault):
    """A new text would wait too long for its verdict: coming back in `retry_after_s` seconds helps."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("too much is waiting to be judged already")
        self.retry_after_s = min(_LONGEST_RETRY_S, max(1, math.ceil(wait_s)))


class JudgeLate(JudgeFault):
    """The verdict did not come within the time that a text may wait."""


class JudgeBroken(JudgeFault):
    """The judging thread failed or was closed: a defect of ours, logged where it happened."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """A batch holds at most `largest_batch` windows; a new request is refused when it would wait `longest_wait_s`
    seconds for its first verdict, and a verdict is given up after `timeout_s`. A batch that could hold more is waited
    for `gather_s` longer: that pays only where a batch costs little more than a window.

    `reviewer_threads` is how many calls may be with the judge model at once.
    """

    threads: int = 1
    reviewer_threads: int = 4
    largest_batch: int = 16
    timeout_s: float = 10.0
    longest_wait_s: float = 5.0
    gather_s: float = 0.0


class Batcher:
    """Judges the windows of concurrent requests. `clock` gives seconds."""

    def __init__(self, limits: BatchLimits, observer: Observer, clock: Callable[[], float]) -> None:
        self._limits, self._observer, self._clock = limits, observer, clock
        self._backlog = Backlog(limits.largest_batch, limits.threads, clock, limits.gather_s)
        self._allowance = Allowance(clock)
        self._turn = threading.Lock()
        self._reviewers = ThreadPoolExecutor(limits.reviewer_threads, "reviewer")
        self._reviews = 0  # calls that wait for the judge model, guarded by _turn
        self._threads = [
            threading.Thread(target=self._work, name=f"judge-{n}", daemon=True) for n in range(limits.threads)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop the threads. What still waits gets `JudgeBroken`."""
        calls = self._backlog.close()
        for thread in self._threads:
            thread.join()
        self._reviewers.shutdown(wait=True)
        for call in calls:
            _tell(call.loop, _fail, [call], JudgeBroken("the batcher is closed"))

    def admit(self) -> None:
        """Raise `JudgeBusy` when a request that came now would wait too long for its verdicts."""
        wait_s = self._backlog.wait_s
        if wait_s > self._limits.longest_wait_s:
            raise JudgeBusy(wait_s)

    async def judge(self, cascade: Cascade, windows: Sequence[Window]) -> list[Finding]:
        """One finding per window. Raises `JudgeFault`."""
        if not windows:
            return []
        if self._backlog.closed:
            raise JudgeBroken("the batcher is closed")
        cases = [Case(window) for window in windows]
        waiting: Sequence[Case] = cases
        if self._allowance.covers(cascade, windows):
            waiting = self._begin(cascade, cases)
            if not waiting:
                await self._allowance.pause()
        if waiting:
            await self._in_thread(cascade, waiting)
        return [case.finding() for case in cases]

    def _begin(self, cascade: Cascade, cases: Sequence[Case]) -> Sequence[Case]:
        """The quick stages, on the event loop; answers the cases that they leave to the others."""
        began = self._clock()
        try:
            reports = cascade.advance(cases, self._clock, cascade.quick)
        except Exception as cause:
            LOGGER.exception("judging a text failed")
            raise JudgeBroken("judging failed") from cause
        seconds = self._clock() - began
        self._allowance.spend(seconds)
        self._allowance.learn(cascade, len(cases), seconds)
        self._observer.observe(StagesObserved(reports))
        return [case for case in cases if cascade.has_more(case)]

    async def _in_thread(self, cascade: Cascade, cases: Sequence[Case]) -> None:
        loop = asyncio.get_running_loop()
        call = Call(cascade, cases, loop.create_future(), loop, self._clock())
        if not self._backlog.put(call):
            raise JudgeBroken("the batcher is closed")
        deadline = loop.call_later(self._limits.timeout_s, _fail, [call], JudgeLate("judging took too long"))
        try:
            await call.future
        finally:
            deadline.cancel()

    def _work(self) -> None:
        while batch := self._backlog.take():
            by_cascade: dict[int, list[Portion]] = {}
            for portion in batch:
                by_cascade.setdefault(id(portion[0].cascade), []).append(portion)
            for group in by_cascade.values():
                self._run(group)

    def _run(self, portions: Sequence[Portion]) -> None:
        cascade, loop = portions[0][0].cascade, portions[0][0].loop
        cases = [case for _, own in portions for case in own]
        new = sum(not case.stages for case in cases)
        quick, slow = _apart(cascade)
        try:
            began = self._clock()
            reports = cascade.advance(cases, self._clock, cascade.quick)
            self._allowance.learn(cascade, new, self._clock() - began)
            reports += cascade.advance(cases, self._clock)
            reports += quick.review(cases, self._clock)
        except Exception:  # the border of a background task: whoever waits is told, and the thread goes on
            LOGGER.exception("judging a batch failed")
            _tell(loop, _fail, [call for call, _ in portions], JudgeBroken("judging failed"))
            return
        done = [call for call, own in portions if self._backlog.back((call, own))]
        settled = [call for call in done if slow is None or not self._review(slow, call)]
        _tell(loop, self._settle, settled, reports)

    def _review(self, slow: Cascade, call: Call) -> bool:
        """Have suspects reviewed in a thread of its own; False when there are none, or too many wait already."""
        suspect = [case for case in call.cases if _awaits(slow, case)]
        if not suspect:
            return False
        with self._turn:
            busy = self._backlog.closed or self._reviews >= _ROUNDS * self._limits.reviewer_threads
            self._reviews += not busy
        if busy:
            skipped = [StageReport(review.reviewer.name, 0.0, {Outcome.ERROR: len(suspect)}) for review in slow.reviews]
            _tell(call.loop, self._settle, [], skipped)
            return False
        self._reviewers.submit(self._look_again, slow, call, suspect)
        return True

    def _look_again(self, slow: Cascade, call: Call, suspect: list[Case]) -> None:
        try:
            reports = [] if call.future.done() else slow.review(suspect, self._clock)  # its request may be gone
        except Exception:  # the border of a background task, as above
            LOGGER.exception("reviewing a text failed")
            _tell(call.loop, _fail, [call], JudgeBroken("reviewing failed"))
        else:
            _tell(call.loop, self._settle, [call], reports)
        finally:
            with self._turn:
                self._reviews -= 1

    def _settle(self, settled: list[Call], reports: list[StageReport]) -> None:
        for call in settled:
            if not call.future.done():
                call.future.set_result(None)
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
    if case.window.unfinished or any(slow.sure(match) for match in case.matches):
        return False  # a look is no verdict, and a sure match needs none
    return any(review.wanted(e) for review in slow.reviews for e, _ in case.suspects.values())


def _fail(calls: Sequence[Call], fault: JudgeFault) -> None:
    for call in calls:
        if not call.future.done():
            call.future.set_exception(fault)


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: object) -> None:
    try:
        loop.call_soon_threadsafe(callback, *arguments)
    except RuntimeError:
        LOGGER.debug("a verdict came after its event loop was closed")
