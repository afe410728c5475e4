"""Thresholds for a wanted rate of false positives, and how sure they are.

The assumption: the highest scores of the n benign answers and of the answers to come are exchangeable, which they are
when the sample was drawn from the traffic. Nothing is assumed about how scores are distributed. Just above the k-th
largest of the n scores

* the true rate of false positives follows Beta(k, n + 1 - k): the tolerance limits of S. S. Wilks (1941, Annals of
  Mathematical Statistics 12, 91-96), in conformal prediction the conditional validity of V. Vovk (2012, PMLR 25,
  475-490). Its mean k / (n + 1) is the rate that split conformal prediction promises for one more answer.
* of the next m answers a beta-binomial number reach the threshold (S. S. Wilks 1942, Annals of Mathematical Statistics
  13, 400-409).

Scores that tie with the k-th count against the threshold, so that with ties both hold as upper bounds.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta, betabinom, binomtest

CONFIDENCE: Final = 0.95
NEXT: Final = 1_000
"""Answers that a prediction is made for unless told otherwise."""

_STEP: Final = 1e-4  # thresholds are given to four digits, rounded so that they convict less
_SLACK: Final = 1e-9


class Method(StrEnum):
    """How a threshold was found."""

    HAND = "hand"
    EXPECTED = "expected"
    """Split conformal: the expected rate is at most the target."""
    BOUND = "bound"
    """Tolerance limit: the rate is at most the target with the given confidence."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """At 95 %, between `low` and `high` of the next `n` benign answers reach the threshold."""

    n: int
    low: int
    high: int

    def holds(self, reached: int) -> bool:
        """True when that many of the next `n` lie inside."""
        return self.low <= reached <= self.high


@dataclass(frozen=True, slots=True)
class Threshold:
    """A score from which on a text convicts.

    `fpr` is the measured share of `n` benign answers that reach it, and `low..high` its 95 % Clopper-Pearson interval;
    a threshold that was set by hand has n = 0. `target` is the rate that was asked for, `expected` the mean of what the
    true rate may be, `confidence` the probability that the true rate is at most the target. `shown` is false when n
    answers cannot show such a rate; `held` when the threshold could not fall as far as it should.
    """

    value: float
    fpr: float = 0.0
    n: int = 0
    low: float = 0.0
    high: float = 1.0
    method: Method = Method.HAND
    target: float = 0.0
    expected: float = 0.0
    confidence: float = 0.0
    shown: bool = False
    held: bool = False
    following: Prediction | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.value <= 1.0:
            raise ValueError("a threshold must be above 0 and at most 1")


def calibrate(
    scores: ArrayLike,
    fpr: float,
    next_n: int = NEXT,
    sure: float | None = None,
    counts: ArrayLike | None = None,
) -> Threshold:
    """The lowest threshold with a rate of false positives of at most `fpr` per answer.

    `scores` holds the highest score of each benign answer, or each score of a histogram with `counts` beside it. The
    rate is the expected one, or with `sure` (0.95, say) an upper bound at that confidence. Too few answers for such a
    rate leave the threshold above all of them, and `shown` false. Raises `ValueError` for numbers that cannot be used.
    """
    levels, tally = _levels(scores, counts)
    n = int(tally.sum())
    if n < 1 or not 0.0 < fpr < 1.0 or next_n < 1 or (sure is not None and not 0.0 < sure < 1.0):
        raise ValueError("a calibration needs scores, a rate and a confidence between 0 and 1, and answers to come")
    wanted = _rank(n, fpr, sure)
    k = max(1, wanted)
    value = _above(float(levels[int(np.searchsorted(np.cumsum(tally), k))]))
    reached = int(tally[levels >= value].sum())
    shown = wanted >= 1 and reached < k
    k = max(k, reached + 1)  # scores of 1.0 reach every threshold
    low, high = clopper_pearson(reached, n)
    return Threshold(
        value,
        reached / n,
        n,
        low,
        high,
        Method.EXPECTED if sure is None else Method.BOUND,
        fpr,
        k / (n + 1),
        float(beta.cdf(fpr, k, n + 1 - k)) if k <= n else 0.0,
        shown,
        following=_following(k, reached, n, next_n),
    )


LOWEST_FPR: Final = 1e-9
"""The lowest rate of false positives that may be asked for: already this one needs a sample of a billion answers."""


def answers_needed(fpr: float, sure: float | None = None) -> int:
    """The least number of benign answers that can show a rate of `fpr` (with confidence `sure`)."""
    if sure is None:
        return math.ceil(1 / fpr - 1 - _SLACK)
    return math.ceil(math.log(1 - sure) / math.log1p(-fpr) - _SLACK)


def clopper_pearson(hits: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson, 1934): hits of n at that confidence."""
    if not 0 <= hits <= n or n < 1:
        raise ValueError("an interval needs 0 <= hits <= n and n >= 1")
    interval = binomtest(hits, n).proportion_ci(confidence_level=confidence, method="exact")
    return float(interval.low), float(interval.high)


def _levels(scores: ArrayLike, counts: ArrayLike | None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The distinct scores, highest first, and how many answers have each."""
    flat = np.asarray(scores, dtype=np.float64).ravel()
    weights = np.ones(len(flat), np.int64) if counts is None else np.asarray(counts, dtype=np.int64)
    if len(weights) != len(flat) or (weights < 0).any() or not np.isfinite(flat).all():
        raise ValueError("scores are finite numbers, and each has a count of at least 0")
    used = weights > 0
    levels, places = np.unique(-flat[used], return_inverse=True)
    tally = np.zeros(len(levels), np.int64)
    np.add.at(tally, places, weights[used])
    return -levels, tally


def _rank(n: int, fpr: float, sure: float | None) -> int:
    """The k that the target allows; 0 when n answers are too few."""
    if sure is None:
        return math.floor(fpr * (n + 1) + _SLACK)
    # P(Beta(k, n + 1 - k) <= fpr) falls as k grows: how many k keep it high enough?
    ranks = range(1, min(n, math.ceil(fpr * (n + 1))) + 1)
    return bisect_left(ranks, True, key=lambda k: bool(beta.cdf(fpr, k, n + 1 - k) < sure))


def _above(score: float) -> float:
    """The next threshold of four digits that this score does not reach; 1.0 is the highest."""
    value = round((math.floor(score / _STEP) + 1) * _STEP, 4)
    if value <= score:
        value = round(value + _STEP, 4)
    return min(1.0, max(_STEP, value))


def _following(k: int, reached: int, n: int, m: int) -> Prediction:
    """What to expect of the next m. Ties may leave less than k - 1 above the threshold: the lower end allows for it."""
    tail = (1 - CONFIDENCE) / 2
    high = int(betabinom.ppf(1 - tail, m, k, n + 1 - k)) if k <= n else m
    below = k if reached == k - 1 else reached
    low = int(betabinom.ppf(tail, m, below, n + 1 - below)) if 0 < below <= n else 0
    return Prediction(m, low, high)
