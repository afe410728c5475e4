"""Judges a text that an operator hands in, as live traffic would be judged, and reports every match and stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from guard.cascade import Cascade, Outcome, StageReport
from guard.detector import Watcher, Window
from guard.fingerprint import DETECTOR
from guard.plan import StreamPlan
from guard.policy import Streaming
from guard.scan import combine, scan, verdict_of
from guard.stream import StreamMachine
from guard.verdict import Action, Match, Side, Verdict
from guard.words import Word
from index.snapshot import View
from server.errors import TimedOut

WINDOWS_AT_ONCE: Final = 256
_STRONGEST: Final = (Outcome.CONVICT, Outcome.ERROR, Outcome.UNDECIDED, Outcome.CLEAR)


@dataclass(frozen=True, slots=True)
class StageTime:
    """What one stage did with the whole text: seconds, and the strongest outcome among its windows."""

    stage: str
    seconds: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Checked:
    """The verdict on a text with everything that led to it."""

    verdict: Verdict
    stages: tuple[StageTime, ...]


class _NoWatcher:
    """Sees nothing: on the prompt side fingerprints are a stage of the cascade."""

    watch_from = None

    def push(self, word: Word) -> Sequence[Match]:
        return ()


class _TimedWatcher:
    """Passes a watcher's matches on and keeps the time it takes."""

    def __init__(self, watcher: Watcher, clock: Callable[[], float]) -> None:
        self._watcher, self._clock = watcher, clock
        self.seconds = 0.0
        self.found = False

    @property
    def watch_from(self) -> int | None:
        return self._watcher.watch_from

    def push(self, word: Word) -> Sequence[Match]:
        started = self._clock()
        matches = self._watcher.push(word)
        self.seconds += self._clock() - started
        self.found = self.found or bool(matches)
        return matches


class _Judgement:
    """Collects the verdicts on all windows. The machine is told to go on, so that the last match is found too."""

    def __init__(self, view: View, side: Side, clock: Callable[[], float], deadline: float) -> None:
        self._view, self._side, self._clock, self._deadline = view, side, clock, deadline
        self._cascade: Cascade = view.answer if side is Side.ANSWER else view.prompt
        self.verdicts: list[Verdict] = []
        self.reports: list[StageReport] = []

    def decide(self, matches: Sequence[Match]) -> Verdict:
        return self._note(self._view.rules.decide(matches, self._side))

    def judge(self, windows: Sequence[Window]) -> list[Verdict]:
        told: list[Verdict] = []
        for at in range(0, len(windows), WINDOWS_AT_ONCE):
            if self._clock() > self._deadline:
                raise TimedOut("the text was not judged in time")
            findings, reports = self._cascade.judge(windows[at : at + WINDOWS_AT_ONCE], self._clock)
            self.reports += reports
            told += [self._note(verdict_of(finding, self._view.rules, self._side)) for finding in findings]
        return told

    def _note(self, verdict: Verdict) -> Verdict:
        self.verdicts.append(verdict)
        return replace(verdict, action=min(verdict.action, Action.FLAG))


def check(view: View, text: str, prompt: str, side: Side, timing: tuple[Callable[[], float], float]) -> Checked:
    """Judge `text`; `prompt` is the turn that it answers. `timing` is a clock in seconds and the time allowed.

    Blocks for as long as the embedder computes. Raises `TimedOut`.
    """
    clock, allowed_s = timing
    judgement = _Judgement(view, side, clock, clock() + allowed_s)
    watcher = _TimedWatcher(view.watcher(), clock) if side is Side.ANSWER else None
    plan = StreamPlan(Streaming.STRICT, view.rule, context=prompt if side is Side.ANSWER else "", hold_whole=True)
    scan(StreamMachine(plan, watcher or _NoWatcher(), judgement.decide), [text], judgement.judge)
    reports = judgement.reports
    if watcher is not None:
        outcome = Outcome.CONVICT if watcher.found else Outcome.UNDECIDED
        reports = [StageReport(DETECTOR, watcher.seconds, {outcome: 1}), *reports]
    stages = _by_stage(view.answer if side is Side.ANSWER else view.prompt, reports)
    return Checked(combine(judgement.verdicts, view.revision), stages)


def _by_stage(cascade: Cascade, reports: Sequence[StageReport]) -> tuple[StageTime, ...]:
    """Every stage and review in its order; one that was not reached took no time and concluded nothing."""
    names = [report.stage for report in reports[:1]]  # the watcher, where there was one, saw the text before any stage
    names += [stage.detector.name for stage in cascade.stages]
    names += [review.reviewer.name for review in cascade.reviews]
    seconds = dict.fromkeys(names, 0.0)
    outcomes: dict[str, set[Outcome]] = {name: set() for name in names}
    for report in reports:
        seconds[report.stage] = seconds.get(report.stage, 0.0) + report.seconds
        outcomes.setdefault(report.stage, set()).update(report.outcomes)
    return tuple(
        StageTime(stage, spent, next(o for o in _STRONGEST if o in (outcomes[stage] or {Outcome.UNDECIDED})))
        for stage, spent in seconds.items()
    )
