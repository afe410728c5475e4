"""The cascade: cheapest detector first, each with the authority it has, stop when sure.

```
    windows --> fingerprint --> static --> embedding --suspects--> claims --> judge --> finding per window
                 | convict       | clear    | convict / clear       | convict / clear
```

*Stages* look for what a window resembles. *Reviews* look again at what the stages suspect: what is near a threshold,
and what was convicted on evidence that a review is asked to confirm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from guard.detector import Detector, Evidence, Reviewer, Suspect, Window
from guard.errors import DetectorUnavailable
from guard.verdict import PLAIN, Kind, Match

UNFINISHED: Final = 0.28
"""A sentence that is not finished is held from this far below a threshold: it has not said yet what will convict it.
Chosen on a sample of TOFU forget10: beginnings of its sentences seldom lie below, those of benign ones mostly do."""


class Outcome(StrEnum):
    """What a stage concluded about one window."""

    CONVICT = "convict"
    CLEAR = "clear"
    UNDECIDED = "undecided"
    ERROR = "error"


def _every(evidence: Evidence) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Stage:
    """A detector and the authority it has.

    Evidence with a score of at least `convict_at[kind]` convicts; a window whose evidence all lies below
    `clear_below[kind]` is cleared. A kind that a mapping does not name gives no such authority. A `quick` stage takes
    so little time per window that a few windows may be judged where they are asked for.
    """

    detector: Detector
    convict_at: Mapping[Kind, float] = field(default_factory=dict)
    clear_below: Mapping[Kind, float] = field(default_factory=dict)
    quick: bool = False

    def convicts(self, evidence: Evidence, unfinished: bool = False) -> bool:
        """True when this piece of evidence is enough; of an `unfinished` window less is."""
        threshold = self.convict_at.get(evidence.kind)
        less = UNFINISHED if unfinished else 0.0
        return threshold is not None and evidence.score >= threshold - less

    def clears(self, evidence: Sequence[Evidence]) -> bool:
        """True when nothing that was found comes near."""
        if not self.clear_below:
            return False
        return all(self.lets_go(e) for e in evidence)

    def lets_go(self, evidence: Evidence) -> bool:
        """True when this piece of evidence lies too low to matter."""
        return evidence.score < self.clear_below.get(evidence.kind, float("-inf"))


@dataclass(frozen=True, slots=True)
class Review:
    """A reviewer and the authority it has, as that of a stage. It is asked about evidence that is `wanted`."""

    reviewer: Reviewer
    convict_at: Mapping[Kind, float]
    clear_below: Mapping[Kind, float]
    wanted: Callable[[Evidence], bool] = _every


@dataclass(frozen=True, slots=True)
class StageReport:
    """What one stage did with one batch: seconds taken, and how many windows ended in which outcome."""

    stage: str
    seconds: float
    outcomes: Mapping[Outcome, int]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the cascade found in one window.

    `suspects` is evidence that no review could decide: the scores reached no threshold, or a review that had to confirm
    them could not tell. `peaks` holds the highest score per kind that a convicting stage saw, passes included; `failed`
    the detectors that could not tell.
    """

    matches: tuple[Match, ...] = ()
    undecided: bool = False
    failed: tuple[str, ...] = ()
    peaks: Mapping[Kind, float] = field(default_factory=dict)
    suspects: tuple[Match, ...] = ()


class Case:
    """One window on its way through the stages and reviews; `stages` is how many stages it has been through."""

    __slots__ = ("failed", "matches", "open", "peaks", "stages", "suspects", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.open = True
        self.stages = 0
        self.matches: list[Match] = []
        self.suspects: dict[str, tuple[Evidence, Match]] = {}
        self.failed: list[str] = []
        self.peaks: dict[Kind, float] = {}

    def finding(self) -> Finding:
        """What was found by now."""
        undecided = self.open and not self.failed and not self.matches
        suspects = tuple(match for _, match in self.suspects.values())
        return Finding(tuple(self.matches), undecided, tuple(self.failed), self.peaks, suspects)


def _always(match: Match) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Cascade:
    """Ordered stages, then ordered reviews. Thread-safe, since its detectors are.

    `sure` says whether one match is enough to stop: a match whose entry is only flagged must not hide what a later
    stage would find of an entry that blocks.
    """

    stages: tuple[Stage, ...]
    sure: Callable[[Match], bool] = _always
    reviews: tuple[Review, ...] = ()

    @property
    def quick(self) -> int:
        """How many stages are quick before the first that is not."""
        return next((n for n, stage in enumerate(self.stages) if not stage.quick), len(self.stages))

    def judge(self, windows: Sequence[Window], clock: Callable[[], float]) -> tuple[list[Finding], list[StageReport]]:
        """One finding per window, and a report per stage and review that ran. `clock` gives seconds."""
        cases, reports = self.stage(windows, clock)
        reports += self.review(cases, clock)
        return [case.finding() for case in cases], reports

    def stage(self, windows: Sequence[Window], clock: Callable[[], float]) -> tuple[list[Case], list[StageReport]]:
        """The first half of `judge`: what the stages make of the windows."""
        cases = [Case(window) for window in windows]
        return cases, self.advance(cases, clock)

    def advance(self, cases: Sequence[Case], clock: Callable[[], float], until: int | None = None) -> list[StageReport]:
        """Take the cases that are open through the stages that they have not seen, those from number `until` on left
        out. Cases that are at different stages may come together."""
        reports: list[StageReport] = []
        for number, stage in enumerate(self.stages[:until]):
            waiting = [case for case in cases if case.open and case.stages <= number]
            if not waiting:
                continue
            started = clock()
            outcomes = self._run(stage, waiting)
            reports.append(StageReport(stage.detector.name, clock() - started, outcomes))
            for case in waiting:
                case.stages = number + 1
        return reports

    def has_more(self, case: Case) -> bool:
        """True when there are stages or reviews that could still change what happens to this window."""
        return case.open and (case.stages < len(self.stages) or bool(case.suspects))

    def review(self, cases: Sequence[Case], clock: Callable[[], float]) -> list[StageReport]:
        """The second half: reviews decide what is suspect in these cases. They may be slow."""
        reports: list[StageReport] = []
        for review in self.reviews:
            asked = [(case, wanted) for case in cases if (wanted := _wanted(review, case))]
            if not asked:
                continue
            started = clock()
            outcomes = self._look_again(review, asked)
            reports.append(StageReport(review.reviewer.name, clock() - started, outcomes))
        return reports

    def _run(self, stage: Stage, cases: Sequence[Case]) -> dict[Outcome, int]:
        name = stage.detector.name
        try:
            found = stage.detector.find([case.window for case in cases])
        except DetectorUnavailable:
            if stage.convict_at:  # what only clears is not missed: the next stage looks more closely
                for case in cases:
                    case.failed.append(name)
            return {Outcome.ERROR: len(cases)}
        return _counted(self._apply(stage, case, evidence) for case, evidence in zip(cases, found, strict=True))

    def _apply(self, stage: Stage, case: Case, evidence: Sequence[Evidence]) -> Outcome:
        if stage.convict_at:
            for e in evidence:
                case.peaks[e.kind] = max(case.peaks.get(e.kind, e.score), e.score)
        found: list[Match] = []
        for e in evidence:
            convicts = stage.convicts(e, case.window.unfinished)
            if not convicts and (not stage.convict_at or stage.lets_go(e)):
                continue
            match = _match(stage.detector.name, e, stage.convict_at.get(e.kind, 1.0), case)
            if any(review.wanted(e) for review in self.reviews):
                case.suspects[e.entry_id] = (e, match)
            elif convicts:
                found.append(match)
        if found:
            case.matches.extend(found)
            case.open = not any(self.sure(match) for match in found)
            if not case.open:
                case.suspects.clear()
            return Outcome.CONVICT
        if not case.suspects and stage.clears(evidence):
            case.open = False
            return Outcome.CLEAR
        return Outcome.UNDECIDED

    def _look_again(self, review: Review, asked: Sequence[tuple[Case, Suspect]]) -> dict[Outcome, int]:
        try:
            told = review.reviewer.review([suspect for _, suspect in asked])
        except DetectorUnavailable:
            return {Outcome.ERROR: len(asked)}  # they stay suspect: the policy decides
        return _counted(self._settle(review, case, evidence) for (case, _), evidence in zip(asked, told, strict=True))

    def _settle(self, review: Review, case: Case, evidence: Sequence[Evidence]) -> Outcome:
        outcome = Outcome.CLEAR
        for e in evidence:
            threshold = review.convict_at.get(e.kind)
            if threshold is not None and e.score >= threshold:
                case.matches.append(_match(review.reviewer.name, e, threshold, case))
                outcome = Outcome.CONVICT
            elif e.score >= review.clear_below.get(e.kind, float("-inf")):
                continue
            case.suspects.pop(e.entry_id, None)
        if outcome is not Outcome.CONVICT and case.suspects:
            outcome = Outcome.UNDECIDED
        case.open = bool(case.suspects)
        return outcome


def _wanted(review: Review, case: Case) -> Suspect | None:
    if case.window.unfinished:
        return None  # what half a sentence claims is not known: it stays suspect
    evidence = tuple(e for e, _ in case.suspects.values() if review.wanted(e))
    return Suspect(case.window, evidence) if evidence else None


def _match(detector: str, evidence: Evidence, threshold: float, case: Case) -> Match:
    e = evidence
    view = case.window.view if e.view == PLAIN else e.view
    return Match(e.entry_id, e.kind, detector, e.score, threshold, e.start, e.end, view)


def _counted(outcomes: Iterable[Outcome]) -> dict[Outcome, int]:
    counts: dict[Outcome, int] = {}
    for outcome in outcomes:
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts
