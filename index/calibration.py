"""Calibrations: the thresholds that belong to one embedder and one window rule, with how sure they are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Final, Protocol

from scipy.stats import binomtest

from guard.segments import DEFAULT_RULE, WindowRule
from guard.verdict import Kind
from index.embedder import Embedder
from index.errors import CalibrationMissing

CONFIDENCE: Final = 0.95
_STEP: Final = 1e-4  # thresholds are given to four digits, rounded so that they convict less


@dataclass(frozen=True, slots=True)
class Threshold:
    """A cosine from which on a text convicts.

    `fpr` is the measured share of `n` benign answers that reach it, and `low..high` its 95 % Clopper-Pearson interval;
    a threshold that was set by hand has n = 0.
    """

    value: float
    fpr: float = 0.0
    n: int = 0
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.value <= 1.0:
            raise ValueError("a threshold must be above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds per kind, on the scale of `index.matching`. `source` says where they come from, in a few words."""

    embedder_hash: str
    rule: str
    thresholds: Mapping[Kind, Threshold]
    source: str
    embedder: str = ""
    values: Mapping[Kind, float] = field(init=False)

    def __post_init__(self) -> None:
        missing = [kind for kind in Kind if kind not in self.thresholds]
        if missing:
            raise ValueError("a calibration needs a threshold for " + ", ".join(missing))
        object.__setattr__(self, "values", {kind: t.value for kind, t in self.thresholds.items()})

    def to_json(self) -> str:
        """The form in which it is stored and shipped."""
        table = {
            kind.value: {"threshold": t.value, "fpr": t.fpr, "n": t.n, "low": t.low, "high": t.high}
            for kind, t in self.thresholds.items()
        }
        head = {"embedder": self.embedder, "embedder_hash": self.embedder_hash, "rule": self.rule}
        return json.dumps({**head, "source": self.source, "thresholds": table}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """The reverse. Raises `ValueError` when the text is no calibration."""
        try:
            body = json.loads(text)
            thresholds = {
                Kind(kind): Threshold(
                    float(row["threshold"]),
                    float(row.get("fpr", 0.0)),
                    int(row.get("n", 0)),
                    float(row.get("low", 0.0)),
                    float(row.get("high", 1.0)),
                )
                for kind, row in body["thresholds"].items()
            }
            return cls(body["embedder_hash"], body["rule"], thresholds, body["source"], body.get("embedder", ""))
        except (KeyError, TypeError, AttributeError) as cause:
            raise ValueError(f"this is no calibration: {cause!r}") from cause


class CalibrationStore(Protocol):
    """Where an operator's own calibrations are kept."""

    def calibration(self, embedder_hash: str, rule: str) -> str | None: ...


def rule_id(rule: WindowRule = DEFAULT_RULE) -> str:
    """Names a window rule: scores of windows that are cut in another way mean something else."""
    return f"w{rule.min_words}-{rule.max_words}-{rule.overlap}-{rule.opening_words}-{rule.exchange_segments}"


def shipped(embedder_hash: str, rule: WindowRule = DEFAULT_RULE) -> Calibration | None:
    """The calibration that ships for that embedder and rule."""
    file = resources.files("index") / "calibrations" / f"{embedder_hash[:12]}.json"
    if not file.is_file():
        return None
    calibration = Calibration.from_json(file.read_text("utf-8"))
    same = calibration.embedder_hash == embedder_hash and calibration.rule == rule_id(rule)
    return calibration if same else None


def calibration_for(embedder: Embedder, store: CalibrationStore, rule: WindowRule = DEFAULT_RULE) -> Calibration:
    """The store's calibration for this embedder and rule, else the shipped one, else `CalibrationMissing`."""
    stored = store.calibration(embedder.hash, rule_id(rule))
    if stored is not None:
        return Calibration.from_json(stored)
    found = shipped(embedder.hash, rule)
    if found is None:
        raise CalibrationMissing(
            f"no thresholds are known for the embedder {embedder.name} ({embedder.hash[:12]}) with windows "
            f"{rule_id(rule)}: run `lethe calibrate --benign FILE --fpr 0.01` with it, or use the bundled embedder"
        )
    return found


def check_fits(calibration: Calibration, embedder: Embedder, rule: WindowRule = DEFAULT_RULE) -> None:
    """Refuse to compare one embedder's scores with another's thresholds."""
    if calibration.embedder_hash != embedder.hash or calibration.rule != rule_id(rule):
        raise CalibrationMissing(
            f"the thresholds were computed for embedder {calibration.embedder_hash[:12]} with windows "
            f"{calibration.rule}, not for {embedder.hash[:12]} with {rule_id(rule)}: run `lethe calibrate`"
        )


def calibrate(scores: Sequence[float], fpr: float) -> Threshold:
    """The lowest threshold that at most a share `fpr` of benign answers reaches, with its interval.

    `scores` holds the highest cosine of each benign answer. With fewer than 1/fpr of them no score is reached, and the
    upper end of the interval says how little that proves. Raises `ValueError` without scores.
    """
    if not scores or not 0.0 <= fpr < 1.0:
        raise ValueError("a calibration needs scores and a rate of at least 0 and below 1")
    ranked = sorted(scores, reverse=True)
    allowed = math.floor(fpr * len(ranked))
    value = (math.floor(ranked[allowed] / _STEP) + 1) * _STEP
    value = round(min(1.0, max(_STEP, value)), 4)
    reached = sum(score >= value for score in ranked)
    low, high = clopper_pearson(reached, len(ranked))
    return Threshold(value, reached / len(ranked), len(ranked), low, high)


def clopper_pearson(hits: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson, 1934): hits of n at that confidence."""
    if not 0 <= hits <= n or n < 1:
        raise ValueError("an interval needs 0 <= hits <= n and n >= 1")
    interval = binomtest(hits, n).proportion_ci(confidence_level=confidence, method="exact")
    return float(interval.low), float(interval.high)
