"""Computes thresholds from benign answers, as live traffic would score them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from guard.verdict import Kind
from guard.windows import windows_of
from index.calibration import Calibration, calibrate
from index.embedding import NEAR_MISS
from index.snapshot import View

Peaks = dict[Kind, float]
"""The highest score of one answer by kind, on the scale of the thresholds."""


def answer_peaks(view: View, samples: Sequence[tuple[str, str]], clock: Callable[[], float]) -> Iterator[Peaks]:
    """For each (prompt, answer) its peaks against the entries of `view`. Blocks while the embedder computes."""
    for prompt, answer in samples:
        peaks: Peaks = {}
        findings, _ = view.answer.judge(windows_of(answer, view.rule, prompt), clock)
        for finding in findings:
            for kind, score in finding.peaks.items():
                peaks[kind] = max(score, peaks.get(kind, -1.0))
        yield peaks


def recalibrated(current: Calibration, peaks: Sequence[Peaks], fpr: float) -> Calibration:
    """`current` with new thresholds for the kinds that were scored, for a rate of `fpr` per answer.

    A threshold falls by at most `NEAR_MISS`: what scores lower than that is not looked for, so its rate is not known.
    Raises ValueError when no answer was scored: there is no entry to score against.
    """
    thresholds = dict(current.thresholds)
    kinds = {kind for peak in peaks for kind in peak}
    if not kinds:
        raise ValueError("there is no entry to score the answers against")
    for kind in kinds:
        floor = current.thresholds[kind].value - NEAR_MISS
        thresholds[kind] = calibrate([max(floor, peak.get(kind, floor)) for peak in peaks], fpr)
    return replace(current, thresholds=thresholds, source=f"calibrated on {len(peaks)} answers for {fpr:g} per answer")


def share_reached(calibration: Calibration, peaks: Sequence[Peaks]) -> float:
    """The share of answers of which any score reaches the threshold of its kind."""
    values = calibration.values
    reached = sum(any(score >= values[kind] for kind, score in peak.items()) for peak in peaks)
    return reached / len(peaks) if peaks else 0.0
