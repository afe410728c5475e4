"""Curves: what benign texts and leaks score, and what each threshold would cost and catch, in few points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from guard.verdict import Kind
from index.threshold import CONFIDENCE, Threshold
from server.calibrating import Scored

POINTS: Final = 200
"""The most points of one curve."""

_BINS: Final = 100

Points = list[float]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Shares of the texts per bin of 0.01; `score` is where a bin begins."""

    score: Points
    benign: Points
    leaks: Points


@dataclass(frozen=True, slots=True)
class Roc:
    """The share of leaks caught at each rate of false positives; `auc` is the area (None without leaks)."""

    fpr: Points = field(default_factory=list)
    recall: Points = field(default_factory=list)
    auc: float | None = None


@dataclass(frozen=True, slots=True)
class Sweep:
    """What each threshold means: benign texts that reach it with their 95 % interval, and leaks that do."""

    threshold: Points
    fpr: Points
    fpr_low: Points
    fpr_high: Points
    recall: Points


@dataclass(frozen=True, slots=True)
class Curves:
    """All curves of one kind, for that many texts. Without leaks, shares and recalls of leaks are empty.

    At `threshold`, a share of `caught` of the leaks is caught (None without leaks).
    """

    threshold: float
    benign: int
    leaks: int
    caught: float | None
    distribution: Distribution
    roc: Roc
    sweep: Sweep


def curves_of(
    benign: Mapping[Kind, Scored], leaks: Mapping[Kind, Scored], thresholds: Mapping[Kind, Threshold]
) -> dict[Kind, Curves]:
    """The curves of each kind that benign texts were scored for."""
    return {kind: _curves(low, leaks.get(kind, Scored([])), thresholds[kind].value) for kind, low in benign.items()}


def _curves(benign: Scored, leaks: Scored, threshold: float) -> Curves:
    caught = float(leaks.reaching(threshold)) / leaks.n if leaks.n else None
    drawn = _distribution(benign, leaks), _roc(benign, leaks), _sweep(benign, leaks)
    return Curves(threshold, benign.n, leaks.n, caught, *drawn)


def _distribution(benign: Scored, leaks: Scored) -> Distribution:
    edges = np.arange(_BINS) / _BINS
    return Distribution(_points(edges), _shares(benign, edges), _shares(leaks, edges))


def _shares(scored: Scored, edges: NDArray[np.float64]) -> Points:
    if not scored.n:
        return []
    reaching = np.append(scored.reaching(edges), 0)
    reaching[0] = scored.n  # what scores below 0 is shown at 0
    return _points((reaching[:-1] - reaching[1:]) / scored.n)


def _roc(benign: Scored, leaks: Scored) -> Roc:
    if not benign.n or not leaks.n:
        return Roc()
    levels = np.unique(np.concatenate([benign.scores, leaks.scores, [1.0 + 1e-9]]))[::-1]
    fpr, recall = benign.reaching(levels) / benign.n, leaks.reaching(levels) / leaks.n
    across, up = np.diff(fpr), np.diff(recall)
    area = float(np.sum(across * (recall[1:] + recall[:-1]) / 2))
    straight = (across[:-1] == 0) & (across[1:] == 0) | (up[:-1] == 0) & (up[1:] == 0)
    corners = np.concatenate([[True], ~straight, [True]])
    fpr, recall = fpr[corners], recall[corners]
    if len(fpr) > POINTS:  # few false positives are what matters: dense there
        places = np.unique(np.round(np.geomspace(1, len(fpr), POINTS)).astype(int) - 1)
        fpr, recall = fpr[places], recall[places]
    return Roc(_points(fpr), _points(recall), round(area, 6))


def _sweep(benign: Scored, leaks: Scored) -> Sweep:
    values = np.arange(1, POINTS + 1) / POINTS
    reached, tail = benign.reaching(values), (1 - CONFIDENCE) / 2
    missed = benign.n - reached
    low = np.where(reached > 0, beta.ppf(tail, np.maximum(reached, 1), missed + 1), 0.0)
    high = np.where(missed > 0, beta.ppf(1 - tail, reached + 1, np.maximum(missed, 1)), 1.0)
    recall = _points(leaks.reaching(values) / leaks.n) if leaks.n else []
    return Sweep(_points(values), _points(reached / benign.n), _points(low), _points(high), recall)


def _points(values: NDArray[np.float64]) -> Points:
    return [round(float(value), 6) for value in values]
