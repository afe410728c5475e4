"""A calibration as it is computed and told, the same for the API and the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from guard.verdict import Kind, Side
from index.calibration import Calibration
from index.threshold import Threshold
from server.calibrating import (
    Peaks,
    Scored,
    Target,
    nearest_kind,
    notes_of,
    recalibrated,
    scored_peaks,
    share_reached,
)
from server.clearing import clearances, clearing_notes
from server.schemas.calibrations import CalibratedOut, CalibrationOut
from server.score_curves import Curves, curves_of


@dataclass(frozen=True, slots=True)
class Sources:
    """What is calibrated on: benign texts by their peaks or by a histogram, and leaks.

    `what` names the benign texts in a few words, `notes` say what must be known about them. `convicted` gives, for
    thresholds, what the static stage gives to windows of the leaks that reach them (see `server.clearing`).
    """

    what: str
    benign: Sequence[Peaks] = ()
    counted: Mapping[Kind, Scored] = field(default_factory=dict)
    leaks: Sequence[Peaks] = ()
    notes: Sequence[str] = ()
    convicted: Callable[[Mapping[Kind, float]], Mapping[Kind, Sequence[float]]] | None = None


@dataclass(frozen=True, slots=True)
class Calibrated:
    """New thresholds, and what they mean for the texts that they were computed from."""

    calibration: Calibration
    side: Side
    kinds: tuple[Kind, ...]
    reached: float | None
    caught: float | None
    notes: tuple[str, ...]
    curves: Mapping[Kind, Curves]


def calibrated(current: Calibration, sources: Sources, target: Target) -> Calibrated:
    """Compute thresholds. Raises `ValueError`, with a sentence for the caller, when there is too little for it."""
    scored = sources.counted or scored_peaks(sources.benign)
    found = recalibrated(current, scored, target, sources.what)
    values = found.values_of(target.side)
    below = sources.convicted(values) if sources.convicted and target.side is Side.ANSWER else {}
    fallen = [kind for kind in scored if values[kind] < current.values_of(target.side)[kind]]
    kept = {kind: score for kind, score in current.clear_below.items() if kind not in fallen}
    found = replace(found, clear_below=kept | clearances(below))
    leaks = nearest_kind(sources.leaks, values)
    return Calibrated(
        found,
        target.side,
        tuple(scored),
        share_reached(found, sources.benign, target.side) if sources.benign else None,
        share_reached(found, sources.leaks, target.side) if sources.leaks else None,
        (*notes_of(found, target, scored), *clearing_notes(below, current.clear_below, fallen), *sources.notes),
        curves_of(scored, leaks, found.side(target.side)),
    )


def calibration_out(calibration: Calibration, serving: bool) -> CalibrationOut:
    """The public form of a calibration."""
    return CalibrationOut.model_validate(_body(calibration, serving))


def calibrated_out(done: Calibrated) -> CalibratedOut:
    """The public form of a calibration that was just computed."""
    told = {
        "side": done.side.value,
        "reached": done.reached,
        "caught": done.caught,
        "notes": list(done.notes),
        "curves": {kind.value: curves for kind, curves in done.curves.items()},
    }
    return CalibratedOut.model_validate(_body(done.calibration, serving=False) | told)


def _body(calibration: Calibration, serving: bool) -> dict[str, Any]:
    return {
        "embedder": calibration.embedder,
        "embedder_hash": calibration.embedder_hash,
        "backend": calibration.backend,
        "rule": calibration.rule,
        "source": calibration.source,
        "serving": serving,
        "thresholds": _table(calibration.thresholds),
        "prompt_thresholds": _table(calibration.prompt_thresholds),
        "clear_below": {kind.value: score for kind, score in calibration.clear_below.items()},
        "card": dict(calibration.card),
    }


def _table(thresholds: Mapping[Kind, Threshold]) -> dict[str, dict[str, Any]]:
    return {kind.value: _threshold(threshold) for kind, threshold in thresholds.items()}


def _threshold(threshold: Threshold) -> dict[str, Any]:
    row = asdict(threshold)
    return {"threshold": row.pop("value"), "next": row.pop("following"), **row, "method": threshold.method.value}
