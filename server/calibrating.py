"""Computes thresholds from what benign texts score, as live traffic would score them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from guard.detector import Window
from guard.errors import DetectorUnavailable
from guard.plan import StreamPlan
from guard.policy import Streaming
from guard.scan import scan
from guard.stream import StreamMachine
from guard.verdict import Kind, Side, Verdict
from index.calibration import Calibration
from index.embedding import NEAR_MISS
from index.score_histogram import Histogram, ScoreSample
from index.threshold import NEXT, Threshold, answers_needed, calibrate
from server.judging import View
from server.prompt_windows import prompt_windows

FEWEST: Final = 20
"""Texts without which nothing is computed."""

_BATCH: Final = 512  # windows that are judged together
_LOWEST: Final = 0.0

Peaks = dict[Kind, float]
"""The highest score of one text by kind, on the scale of the thresholds; every kind that has entries is named."""


class Scored:
    """What many texts score: distinct scores, highest first, and how many texts have each."""

    def __init__(self, scores: ArrayLike, counts: ArrayLike | None = None) -> None:
        flat = np.asarray(scores, dtype=np.float64).ravel()
        tally = np.ones(len(flat), np.int64) if counts is None else np.asarray(counts, dtype=np.int64)
        order = np.argsort(-flat[tally > 0], kind="stable")
        self.scores: NDArray[np.float64] = flat[tally > 0][order]
        self.counts: NDArray[np.int64] = tally[tally > 0][order]
        self._reaching = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.counts)])
        self.n = int(self._reaching[-1])

    @classmethod
    def counted(cls, histogram: Histogram) -> Scored:
        """The texts of a histogram."""
        return cls(histogram.scores, histogram.counts)

    def reaching(self, values: ArrayLike) -> NDArray[np.int64]:
        """How many texts reach each of these scores."""
        found: NDArray[np.int64] = self._reaching[np.searchsorted(-self.scores, -np.asarray(values), side="right")]
        return found

    def raised(self, floor: float) -> Scored:
        """The same, with lower scores raised to `floor`."""
        return Scored(np.maximum(self.scores, floor), self.counts)


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted: a rate per text on one side, as the expected one or (with `sure`) as a bound of that confidence.

    `next_n` is how many texts to come the prediction is made for.
    """

    fpr: float = 0.01
    side: Side = Side.ANSWER
    sure: float | None = None
    next_n: int = NEXT


# -- scoring ----------------------------------------------------------------------------------------------------------


def answer_peaks(view: View, samples: Sequence[tuple[str, str]], clock: Callable[[], float]) -> Iterator[Peaks]:
    """For each (prompt, answer) its peaks against the entries of `view`. Blocks while the embedder computes.

    Raises `DetectorUnavailable` when a text cannot be judged: it must not count as one that scores low.
    """
    yield from _peaks(view, [(answer, prompt) for prompt, answer in samples], Side.ANSWER, clock)


def prompt_peaks(view: View, texts: Sequence[str], clock: Callable[[], float]) -> Iterator[Peaks]:
    """The same for prompts."""
    yield from _peaks(view, [(text, "") for text in texts], Side.PROMPT, clock)


def _peaks(view: View, texts: Iterable[tuple[str, str]], side: Side, clock: Callable[[], float]) -> Iterator[Peaks]:
    cascade = view.answer if side is Side.ANSWER else view.prompt
    nothing = dict.fromkeys(sorted({rule.kind for rule in view.rules.by_entry.values()}), _LOWEST)
    waiting: list[Peaks] = []
    asked: list[tuple[Peaks, Window]] = []

    def judged() -> list[Peaks]:
        findings, _ = cascade.judge([window for _, window in asked], clock) if asked else ([], [])
        for (peaks, _), finding in zip(asked, findings, strict=True):
            if finding.failed:
                raise DetectorUnavailable(finding.failed[0], "a text could not be judged")
            for kind, score in finding.peaks.items():
                peaks[kind] = max(score, peaks.get(kind, _LOWEST))
        return waiting

    for text, context in texts:
        peaks = dict(nothing)
        waiting.append(peaks)
        windows = windows_in(view, text, context) if side is Side.ANSWER else prompt_windows([text], (), view.rule)
        asked += [(peaks, window) for window in windows]
        if len(asked) >= _BATCH:
            yield from judged()
            waiting, asked = [], []
    yield from judged()


def windows_in(view: View, text: str, context: str = "") -> list[Window]:
    """Every window by which a stream of this answer would be judged."""
    found: list[Window] = []

    def noted(windows: Sequence[Window]) -> list[Verdict]:
        found.extend(windows)
        return [Verdict()] * len(windows)

    plan = StreamPlan(Streaming.STRICT, view.rule, context=context)
    scan(StreamMachine(plan, view.watcher(), lambda _: Verdict()), [text], noted)
    return found


def scored_peaks(peaks: Sequence[Peaks]) -> dict[Kind, Scored]:
    """What texts score, by kind: each text counts once per kind."""
    kinds = sorted({kind for peak in peaks for kind in peak})
    return {kind: Scored([peak.get(kind, _LOWEST) for peak in peaks]) for kind in kinds}


def nearest_kind(peaks: Sequence[Peaks], values: Mapping[Kind, float]) -> dict[Kind, Scored]:
    """What leaks score, each counted only for the kind whose threshold it comes nearest to or exceeds most."""
    found: dict[Kind, list[float]] = {}
    for peak in peaks:
        if peak:
            kind = max(peak, key=lambda kind: peak[kind] - values[kind])
            found.setdefault(kind, []).append(peak[kind])
    return {kind: Scored(scores) for kind, scores in found.items()}


def scored_sample(sample: ScoreSample) -> dict[Kind, Scored]:
    """What passing traffic scored, by kind."""
    return {kind: Scored.counted(histogram) for kind, histogram in sample.histograms.items() if histogram.n}


# -- thresholds -------------------------------------------------------------------------------------------------------


def recalibrated(current: Calibration, scored: Mapping[Kind, Scored], target: Target, what: str) -> Calibration:
    """`current` with new thresholds for the kinds that were scored. `what` names the sample, for the source.

    A threshold falls by at most `NEAR_MISS`: what scores lower than that is not looked for, so its rate is not known.
    Raises `ValueError`, with a sentence for the caller, when there is too little to compute from.
    """
    if not scored:
        raise ValueError("there is no entry to score the texts against")
    fewest = min(each.n for each in scored.values())
    if fewest < FEWEST:
        raise ValueError(f"{fewest} texts are too few to compute a threshold from: {FEWEST} are the least")
    old = current.side(target.side)
    found = {kind: _threshold(old[kind].value - NEAR_MISS, each, target) for kind, each in scored.items()}
    source = f"{', '.join(found)} on the {target.side} side: calibrated on {what} for {target.fpr:g} per text"
    return replace(current.with_side(target.side, found), source=source)


def _threshold(floor: float, scored: Scored, target: Target) -> Threshold:
    raised = scored.raised(floor)
    found = calibrate(raised.scores, target.fpr, target.next_n, target.sure, raised.counts)
    lower = calibrate(scored.scores, target.fpr, target.next_n, target.sure, scored.counts)
    return replace(found, held=lower.value < found.value)


def notes_of(calibration: Calibration, target: Target, kinds: Iterable[Kind]) -> list[str]:
    """What must be known about thresholds that were just computed, in sentences."""
    notes = []
    for kind in kinds:
        threshold = calibration.side(target.side)[kind]
        if not threshold.shown:
            needed = answers_needed(target.fpr, target.sure)
            reason = (
                f"a rate of {target.fpr:g} needs at least {needed}"
                if threshold.n < needed
                else "too many of them score 1.0"
            )
            notes.append(
                f"{kind}: {threshold.n} texts cannot show that rate, {reason}; what was shown is an expected rate of "
                f"{threshold.expected:.2g}"
            )
        if threshold.held:
            notes.append(
                f"{kind}: the threshold fell by {NEAR_MISS:g}, the most that one run may lower it, since lower scores "
                "are not looked for: start the server with it and calibrate again for the rest"
            )
    return notes


def sample_notes(sample: ScoreSample) -> list[str]:
    """What must be known about scores of passing traffic that are taken for benign ones."""
    notes = ["passing traffic is taken for benign: a leak that nobody noticed counts as a false positive to be avoided"]
    if sample.suppressed:
        notes.append(
            f"{sample.suppressed} suppressed requests without the label false_positive were left out: if some of them "
            "were benign, the true rate is higher; label decisions, or collect scores with a policy in shadow mode"
        )
    return notes


def share_reached(calibration: Calibration, peaks: Sequence[Peaks], side: Side = Side.ANSWER) -> float:
    """The share of texts of which any score reaches the threshold of its kind."""
    values = calibration.values_of(side)
    reached = sum(any(score >= values[kind] for kind, score in peak.items()) for peak in peaks)
    return reached / len(peaks) if peaks else 0.0
