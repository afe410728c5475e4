"""The cascade: cheapest detector first, each with the authority it has, stop when sure.

```
    windows --> fingerprint --undecided--> embedding --undecided--> judge --> finding per window
                 | convict                  | convict / clear        | convict / clear
```
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from guard.detector import Detector, Evidence, Window
from guard.errors import DetectorUnavailable
from guard.verdict import Kind, Match


class Outcome(StrEnum):
    """What a stage concluded about one window."""

    CONVICT = "convict"
    CLEAR = "clear"
    UNDECIDED = "undecided"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Stage:
    """A detector and the authority it has.

    Evidence with a score of at least `convict_at[kind]` convicts; a window whose evidence all lies below
    `clear_below[kind]` is cleared. A kind that a mapping does not name gives no such authority.
    """

    detector: Detector
    convict_at: Mapping[Kind, float] = field(default_factory=dict)
    clear_below: Mapping[Kind, float] = field(default_factory=dict)

    def convicts(self, evidence: Evidence) -> bool:
        """True when this piece of evidence is enough."""
        threshold = self.convict_at.get(evidence.kind)
        return threshold is not None and evidence.score >= threshold

    def clears(self, evidence: Sequence[Evidence]) -> bool:
        """True when nothing that was found comes near."""
        if not self.clear_below:
            return False
        return all(e.score < self.clear_below.get(e.kind, 0.0) for e in evidence)


@dataclass(frozen=True, slots=True)
class StageReport:
    """What one stage did with one batch: seconds taken, and how many windows ended in which outcome."""

    stage: str
    seconds: float
    outcomes: Mapping[Outcome, int]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the cascade found in one window.

    `peaks` holds the highest score seen per kind, passes included; `failed` the detectors that could not tell.
    """

    matches: tuple[Match, ...] = ()
    undecided: bool = False
    failed: tuple[str, ...] = ()
    peaks: Mapping[Kind, float] = field(default_factory=dict)


class _Case:
    """One window on its way through the stages."""

    __slots__ = ("failed", "matches", "open", "peaks")

    def __init__(self) -> None:
        self.open = True
        self.matches: list[Match] = []
        self.failed: list[str] = []
        self.peaks: dict[Kind, float] = {}

    def finding(self) -> Finding:
        undecided = self.open and not self.failed and not self.matches
        return Finding(tuple(self.matches), undecided, tuple(self.failed), self.peaks)


def _always(match: Match) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Cascade:
    """Ordered stages. Thread-safe, since its detectors are.

    `sure` says whether one match is enough to stop: a match whose entry is only flagged must not hide what a later
    stage would find of an entry that blocks.
    """

    stages: tuple[Stage, ...]
    sure: Callable[[Match], bool] = _always

    def judge(self, windows: Sequence[Window], clock: Callable[[], float]) -> tuple[list[Finding], list[StageReport]]:
        """One finding per window, and a report per stage that ran. `clock` gives seconds."""
        cases = [_Case() for _ in windows]
        reports: list[StageReport] = []
        for stage in self.stages:
            waiting = [i for i, case in enumerate(cases) if case.open]
            if not waiting:
                break
            started = clock()
            outcomes = self._run(stage, [windows[i] for i in waiting], [cases[i] for i in waiting], self.sure)
            reports.append(StageReport(stage.detector.name, clock() - started, outcomes))
        return [case.finding() for case in cases], reports

    @staticmethod
    def _run(
        stage: Stage, windows: Sequence[Window], cases: Sequence[_Case], sure: Callable[[Match], bool]
    ) -> dict[Outcome, int]:
        name = stage.detector.name
        try:
            found = stage.detector.find(windows)
        except DetectorUnavailable:
            if stage.convict_at:  # what only clears is not missed: the next stage looks more closely
                for case in cases:
                    case.failed.append(name)
            return {Outcome.ERROR: len(cases)}
        outcomes: dict[Outcome, int] = {}
        for case, evidence in zip(cases, found, strict=True):
            outcome = _apply(stage, case, evidence, sure)
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        return outcomes


def _apply(stage: Stage, case: _Case, evidence: Sequence[Evidence], sure: Callable[[Match], bool]) -> Outcome:
    for e in evidence:
        case.peaks[e.kind] = max(case.peaks.get(e.kind, e.score), e.score)
    convicting = [e for e in evidence if stage.convicts(e)]
    if convicting:
        found = [
            Match(e.entry_id, e.kind, stage.detector.name, e.score, stage.convict_at[e.kind], e.start, e.end)
            for e in convicting
        ]
        case.matches.extend(found)
        case.open = not any(sure(match) for match in found)
        return Outcome.CONVICT
    if stage.clears(evidence):
        case.open = False
        return Outcome.CLEAR
    return Outcome.UNDECIDED
