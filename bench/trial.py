"""What the detection benchmarks share: the served index, what a stream would judge, and what came of it.

Every text is read by the stream machine (strict, as `check` reads), which gives the windows of all views and what the
watcher of fingerprints saw. Each window is then judged by the cascade of the view that a server would use. A vector is
computed once per run, so that the same windows can be judged by several cascades.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from rich.progress import Progress

from bench.dataset import Answer
from guard.cascade import Cascade, Case, Finding, Review, Stage, StageReport
from guard.detector import Window
from guard.events import Check, Done, NeedText, Stop
from guard.plan import StreamPlan
from guard.policy import Rules, Streaming
from guard.scan import verdict_of
from guard.stream import StreamMachine
from guard.verdict import PLAIN, Action, Kind, Match, Side, Verdict
from index.embedder import Embedder, Vectors
from index.entry import Draft
from index.forget_index import ForgetIndex
from index.sealing import Sealer
from index.snapshot import View
from index.sqlite import MEMORY, SQLiteStore
from server.service import open_instruments
from server.settings import load_settings

CHUNK = 1024
NEAR = 0.09
"""How far below the served threshold scores are exact (`index.facts.CLOSE`)."""


class RememberedEmbedder:
    """An embedder that computes each text once. For one thread."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._rows: dict[str, np.ndarray] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One vector per text."""
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            self._rows.update(zip(new, self._embedder.encode(new), strict=True))
        return np.stack([self._rows[text] for text in texts]) if texts else self._embedder.encode([])


def build_views(namespaces: dict[str, Sequence[Draft]], embedder: Any) -> dict[str, View]:
    """The view of each namespace with these entries, made by the index as a server makes it."""
    store = SQLiteStore(MEMORY)
    instruments = open_instruments(load_settings({}, {}), store, embedder)
    index = ForgetIndex(store, instruments, Sealer(bytes(range(32))), "bench")
    index.start()
    revision = 0
    for name, drafts in namespaces.items():
        revision = index.add(name, drafts).revision
    if late := index.wait_applied(revision, 600):
        raise SystemExit(f"the index was not applied: {late}")
    views = {name: index.snapshot.view(name) for name in namespaces}
    index.close()
    return views


@dataclass(frozen=True, slots=True)
class Reading:
    """What a stream judges of one text: its windows, and what the watcher of fingerprints convicted."""

    windows: Sequence[Window]
    watched: Sequence[Match] = ()

    @property
    def plain(self) -> Reading:
        """The same without the views in which the text wears no dress."""
        return Reading([w for w in self.windows if w.view == PLAIN], [m for m in self.watched if m.view == PLAIN])


def read(view: View, answer: Answer) -> Reading:
    """Read an answer to its end, whatever is found in it."""
    watched: list[Match] = []

    def note(found: Sequence[Match]) -> Verdict:
        watched.extend(found)
        return Verdict()

    windows: list[Window] = []
    plan = StreamPlan(Streaming.STRICT, view.rule, context=answer.prompt)
    machine = StreamMachine(plan, view.watcher(), note)
    machine.feed(answer.text)
    machine.end()
    while True:
        match machine.next_event():
            case Check(found):
                windows += found
                machine.resolve([Verdict()] * len(found))
            case Stop() | Done() | NeedText():
                return Reading(windows, watched)


def stops(view: View, answer: Answer) -> bool:
    """True when the real stream machine, judged by the real cascade, lets less than all of the answer leave."""
    rules = view.rules
    plan = StreamPlan(Streaming.STRICT, view.rule, context=answer.prompt)
    machine = StreamMachine(plan, view.watcher(), lambda found: rules.decide(found, Side.ANSWER))
    machine.feed(answer.text)
    machine.end()
    while True:
        match machine.next_event():
            case Check(found):
                findings, _ = view.answer.judge(found, time.perf_counter)
                machine.resolve([verdict_of(finding, rules) for finding in findings])
            case Stop():
                return True
            case Done() | NeedText():
                return False


def without(cascade: Cascade, *names: str) -> Cascade:
    """The cascade without the stages and reviews of these names."""
    stages = tuple(stage for stage in cascade.stages if stage.detector.name not in names)
    reviews = tuple(review for review in cascade.reviews if review.reviewer.name not in names)
    return replace(cascade, stages=stages, reviews=reviews)


def lowered(cascade: Cascade) -> Cascade:
    """The same cascade, convicting from a little below its thresholds, so that other thresholds can be tried on it."""

    def lower(stage: Stage) -> Stage:
        low = {kind: value - NEAR for kind, value in stage.convict_at.items()}
        return replace(stage, convict_at=low, clear_below=low) if stage.detector.name == "embedding" else stage

    def asked(review: Review) -> Review:
        return replace(review, wanted=lambda e: e.kind is Kind.FACT) if review.reviewer.name == "claims" else review

    stages, reviews = (lower(stage) for stage in cascade.stages), (asked(review) for review in cascade.reviews)
    return replace(cascade, stages=tuple(stages), reviews=tuple(reviews), sure=lambda match: False)


@dataclass(slots=True)
class Tally:
    """What stages did in one run: seconds and outcomes by stage."""

    seconds: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, reports: Iterable[StageReport]) -> None:
        """Add the reports of a batch."""
        for report in reports:
            self.seconds[report.stage] = self.seconds.get(report.stage, 0.0) + report.seconds
            counts = self.outcomes.setdefault(report.stage, {})
            for outcome, count in report.outcomes.items():
                counts[outcome.value] = counts.get(outcome.value, 0) + count


_Key = tuple[str, str, str]


def _each(
    cascade: Cascade, readings: Sequence[Reading], title: str, progress: Progress, tally: Tally | None
) -> dict[_Key, tuple[Case, dict[str, float]]]:
    """Every distinct window judged once: its case, and what the stages scored per entry."""
    distinct: dict[_Key, Window] = {}
    for reading in readings:
        for window in reading.windows:
            distinct.setdefault(_key(window), window)
    windows = sorted(distinct.values(), key=lambda window: len(window.text))
    task = progress.add_task(f"{title}: {len(readings)} texts, {len(windows)} windows", total=len(windows))
    judged: dict[_Key, tuple[Case, dict[str, float]]] = {}
    for at in range(0, len(windows), CHUNK):
        chunk = windows[at : at + CHUNK]
        cases, reports = cascade.stage(chunk, time.perf_counter)
        staged = [_scores(case) for case in cases]
        reports += cascade.review(cases, time.perf_counter)
        if tally is not None:
            tally.add(reports)
        judged.update((_key(w), pair) for w, pair in zip(chunk, zip(cases, staged, strict=True), strict=True))
        progress.advance(task, len(chunk))
    return judged


def _key(window: Window) -> _Key:
    return window.text, window.context, window.view


def _scores(case: Case) -> dict[str, float]:
    scores = {entry: evidence.score for entry, (evidence, _) in case.suspects.items()}
    for match in case.matches:
        scores[match.entry_id] = max(match.score, scores.get(match.entry_id, 0.0))
    return scores


def blocked(
    cascade: Cascade,
    rules: Rules,
    readings: Sequence[Reading],
    progress: Progress,
    title: str,
    side: Side = Side.ANSWER,
    tally: Tally | None = None,
) -> list[Verdict]:
    """The strongest verdict per text, by windows and watcher together."""
    judged = _each(cascade, readings, title, progress, tally)
    told: dict[_Key, Verdict] = {}
    for key, (case, _) in judged.items():
        told[key] = verdict_of(case.finding(), rules, side)
    verdicts = []
    for reading in readings:
        own = [told[_key(window)] for window in reading.windows]
        own.append(rules.decide(reading.watched, side))
        verdicts.append(max(own, key=lambda verdict: verdict.action))
    return verdicts


@dataclass(frozen=True, slots=True)
class Scores:
    """Per text, [n]: `standing` is the best score of evidence that the reviews leave standing, 0 where there is none
    and 1 for a fingerprint; `peak` is the best score, whatever became of it."""

    standing: np.ndarray
    peak: np.ndarray

    @property
    def ranking(self) -> np.ndarray:
        """What stands above what does not, each by its score."""
        return np.where(self.standing > 0, 1 + self.standing, self.peak)


def score(cascade: Cascade, readings: Sequence[Reading], progress: Progress, title: str) -> Scores:
    """What texts score, whatever the thresholds are: below them it is exact down to `NEAR`."""
    judged = _each(lowered(cascade), readings, title, progress, None)
    standing = {key: _standing(case.finding(), staged) for key, (case, staged) in judged.items()}
    peak = {key: max(case.peaks.values(), default=0.0) for key, (case, _) in judged.items()}
    watched = [1.0 if reading.watched else 0.0 for reading in readings]
    rows = [[_key(window) for window in reading.windows] for reading in readings]
    return Scores(
        np.array([max([seen, *(standing[key] for key in keys)]) for seen, keys in zip(watched, rows, strict=True)]),
        np.array([max([seen, *(peak[key] for key in keys)]) for seen, keys in zip(watched, rows, strict=True)]),
    )


def _standing(finding: Finding, staged: dict[str, float]) -> float:
    standing = (*finding.matches, *finding.suspects)
    return max((staged.get(match.entry_id, 1.0) for match in standing), default=0.0)


def is_blocked(verdicts: Sequence[Verdict]) -> np.ndarray:
    """Which texts are stopped, [n]."""
    return np.array([verdict.action is Action.BLOCK for verdict in verdicts])
