"""Concept heads: what an embedding must look like to show a concept, learned from its examples.

```
    logit(v) = w . v + b  +  NEAR * (cosine to the nearest example)  -  COUNTER * (cosine to the nearest counterexample)
```

The nearest examples are given, w and b are learned: an L2-regularised logistic regression that corrects the rule of the
nearest example where examples, counterexamples and the background sample say so. With few examples it hardly
departs from that rule. It is learned on vectors that are whitened by the background's covariance (shrunk towards a
multiple of the identity, as in O. Ledoit and M. Wolf 2004, Journal of Multivariate Analysis 88, 365-411) and kept on
plain ones. All that a threshold or a probability is based on is scored out of fold, by a head that did not see it.
The probability is that of J. Platt (1999) with the target values of his paper.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from index.background import Background
from index.embedder import Vectors
from index.forms import Form
from index.imprint import Mark

Floats = NDArray[np.float64]

FEWEST_WINDOWS: Final = 10
"""Windows of description and examples below which there is too little to learn from."""

FPR: Final = 0.001
"""Share of harmless exchanges that may reach a head's threshold."""

NEAR: Final = 8.0
COUNTER: Final = 4.0
SHRINKAGE: Final = 0.2
PENALTY: Final = 0.1
BACKGROUND_WEIGHT: Final = 3.0
"""Weight of all background windows together; all windows of the examples have 1."""
COUNTER_WEIGHT: Final = 1.0
"""Weight of all counterexamples together: each counts for many background windows."""

OWN_MISSED: Final = 0.15
"""Share of the held-out windows of the examples that the threshold may miss: no lower threshold is of use, and
text of a neighbouring subject that nobody gave as a counterexample stays below."""
COUNTERS_REACHED: Final = 0.02
MARGIN: Final = 0.01
FOLDS: Final = 5
_BLOCKS: Final = 10
_VERSION: Final = 1
_LAYOUT: Final = struct.Struct("<BI8d3I")


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A trained head. `weights` [dimensions]; `threshold` and `peak` are logits.

    `peak` is the highest that a harmless exchange scored out of fold, `found` the share of the concept's own held-out
    windows at or above the threshold. `own`, `counters` and `benign` count what it was trained on: windows of the
    examples, windows of the counterexamples, harmless exchanges.
    """

    weights: Floats
    bias: float
    near: float
    counter: float
    threshold: float
    steepness: float
    middle: float
    peak: float
    found: float
    own: int
    counters: int
    benign: int

    def logits(self, vectors: Vectors, own: Vectors, counters: Vectors) -> Floats:
        """One logit per row of `vectors` [n], given the windows of the examples and the counterexamples."""
        linear: Floats = vectors @ self.weights + self.bias
        return linear + self.near * _nearest(vectors, own) - self.counter * _nearest(vectors, counters)

    def probability(self, logit: float) -> float:
        """How likely text with this logit shows the concept, where half of all text does."""
        return float(expit(self.steepness * (logit - self.middle)))

    def to_bytes(self) -> bytes:
        """The head as bytes, with its version."""
        numbers = (self.bias, self.near, self.counter, self.threshold)
        shares = (self.steepness, self.middle, self.peak, self.found)
        top = _LAYOUT.pack(
            _VERSION, len(self.weights), *numbers, *shares, self.own, self.counters, self.benign
        )  # the weights follow
        return top + self.weights.astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Head:
        """The reverse. Raises `ValueError` when the bytes are of a version that is not known, or cut off."""
        if not data or data[0] != _VERSION:
            raise ValueError("a concept head of another version cannot be read")
        if len(data) < _LAYOUT.size:
            raise ValueError("the concept head is cut off")
        _, dimensions, *rest = _LAYOUT.unpack_from(data)
        if len(data) != _LAYOUT.size + 4 * dimensions:
            raise ValueError("the concept head is cut off")
        weights = np.frombuffer(data, dtype="<f4", offset=_LAYOUT.size).astype(np.float64)
        return cls(weights, *rest)


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """What was learned on whitened vectors, and how many steps it took."""

    weights: Floats
    bias: float
    steps: int


class HeadTrainer:
    """Trains heads against one background. Thread-safe: what it holds does not change."""

    def __init__(self, background: Background, fpr: float = FPR) -> None:
        self._background, self._fpr = background, fpr
        self._benign = np.concatenate([background.statements.vectors, background.pairs.vectors])
        rows = np.concatenate([background.statements.windows, background.pairs.windows])
        self._folds = background.owners[rows] % FOLDS
        self._mean, self._whitening = _whitening(self._benign)
        self._white = self._whitened(self._benign)

    def __call__(self, marks: Sequence[Mark], vectors: Vectors) -> bytes:
        """The head of a concept with these vectors, as bytes; b"" when there is too little to learn from."""
        spoken = [i for i, mark in enumerate(marks) if mark.form is not Form.TURN]
        own = vectors[[i for i in spoken if not marks[i].counter]]
        counters = vectors[[i for i in spoken if marks[i].counter]]
        head = self.train(own, counters)
        return b"" if head is None else head.to_bytes()

    def train(self, own: Vectors, counters: Vectors) -> Head | None:
        """The head of a concept: rows of its examples and of its counterexamples, each text's rows side by side."""
        if len(own) < FEWEST_WINDOWS:
            return None
        every = np.full(len(self._benign), True)
        fit = self._fit(own, counters, every)
        own_out, counters_out, benign_out = self._out_of_fold(own, counters)
        peaks = np.sort(self._peaks(benign_out))[::-1]
        threshold = float(peaks[min(len(peaks) - 1, math.floor(self._fpr * (len(peaks) + 1)))]) + MARGIN
        threshold = max(threshold, float(np.quantile(own_out, OWN_MISSED, method="lower")))
        if len(counters_out):
            threshold = max(threshold, float(np.quantile(counters_out, 1 - COUNTERS_REACHED, method="higher")) + MARGIN)
        steepness, middle = _platt(own_out, np.concatenate([counters_out, benign_out]))
        weights = self._whitening @ fit.weights
        return Head(
            weights=weights,
            bias=fit.bias - float(self._mean @ weights),
            near=NEAR,
            counter=COUNTER,
            threshold=threshold,
            steepness=steepness,
            middle=middle,
            peak=float(peaks[0]),
            found=float((own_out >= threshold).mean()),
            own=len(own),
            counters=len(counters),
            benign=len(peaks),
        )

    def _whitened(self, vectors: Vectors) -> Floats:
        return (vectors - self._mean) @ self._whitening

    def _fit(self, own: Vectors, counters: Vectors, used: NDArray[np.bool_]) -> _Fit:
        """Learn from all of `own` and `counters`, and the background rows that are `used`."""
        benign = self._benign[used]
        given = np.concatenate(
            [
                NEAR * _nearest_others(own) - COUNTER * _nearest(own, counters),
                NEAR * _nearest(counters, own) - COUNTER * _nearest_others(counters),
                NEAR * _nearest(benign, own) - COUNTER * _nearest(benign, counters),
            ]
        )
        white = np.concatenate([self._whitened(np.concatenate([own, counters])), self._white[used]])
        weights = np.concatenate(
            [
                np.full(len(own), 1 / len(own)),
                np.full(len(counters), COUNTER_WEIGHT / max(1, len(counters))),
                np.full(len(benign), BACKGROUND_WEIGHT / max(1, len(benign))),
            ]
        )
        signs = np.concatenate([np.ones(len(own)), -np.ones(len(counters) + len(benign))])
        return _logistic(white, signs, weights, given)

    def _scored(self, fit: _Fit, vectors: Vectors, own: Vectors, counters: Vectors) -> Floats:
        given = NEAR * _nearest(vectors, own) - COUNTER * _nearest(vectors, counters)
        scores: Floats = self._whitened(vectors) @ fit.weights + fit.bias + given
        return scores

    def _out_of_fold(self, own: Vectors, counters: Vectors) -> tuple[Floats, Floats, Floats]:
        """The logits of everything, each by a head that was trained without it and its neighbours."""
        own_folds, counter_folds = _contiguous(len(own), FOLDS), _contiguous(len(counters), FOLDS)
        own_out, counters_out, benign_out = np.zeros(len(own)), np.zeros(len(counters)), np.zeros(len(self._benign))
        for fold in range(FOLDS):
            kept, left = own[own_folds != fold], counters[counter_folds != fold]
            fit = self._fit(kept, left, self._folds != fold)
            own_out[own_folds == fold] = self._scored(fit, own[own_folds == fold], kept, left)
            counters_out[counter_folds == fold] = self._scored(fit, counters[counter_folds == fold], kept, left)
            benign_out[self._folds == fold] = self._scored(fit, self._benign[self._folds == fold], kept, left)
        return own_out, counters_out, benign_out

    def _peaks(self, scores: Floats) -> Floats:
        """The highest logit of each harmless exchange, its windows taken alone and with their turn."""
        background, cut = self._background, len(self._background.statements.windows)
        alone = background.per_window(background.statements, scores[:cut])
        paired = background.per_window(background.pairs, scores[cut:])
        both = np.where(np.isinf(alone), paired, np.where(np.isinf(paired), alone, (alone + paired) / 2))
        return background.per_exchange(np.maximum(alone, both))


def _whitening(vectors: Vectors) -> tuple[Floats, Floats]:
    """The mean [d], and what makes the shrunk covariance of `vectors` a multiple of the identity [d, d]."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean
    covariance = centred.T @ centred / max(1, len(vectors) - 1)
    dimensions = len(mean)
    level = max(float(np.trace(covariance)) / dimensions, 1e-12)
    values, axes = np.linalg.eigh((1 - SHRINKAGE) * covariance + SHRINKAGE * level * np.eye(dimensions))
    matrix = (axes / np.sqrt(values)) @ axes.T
    length = math.sqrt(float(((centred @ matrix) ** 2).sum(axis=1).mean())) or 1.0
    return mean, matrix / length


def _nearest(vectors: Vectors, others: Vectors) -> Floats:
    """The cosine of each row to the nearest of the others; 0 where there are none."""
    if not len(others) or not len(vectors):
        return np.zeros(len(vectors))
    best: Floats = (vectors @ others.T).max(axis=1).astype(np.float64)
    return best


def _nearest_others(vectors: Vectors) -> Floats:
    """The cosine of each row to the nearest one outside its block: windows of one text stand side by side."""
    if not len(vectors):
        return np.zeros(0)
    blocks = _contiguous(len(vectors), _BLOCKS)
    cosines = vectors @ vectors.T
    cosines[blocks[:, None] == blocks[None]] = -1.0
    best: Floats = cosines.max(axis=1).clip(0.0).astype(np.float64)
    return best


def _contiguous(n: int, count: int) -> NDArray[np.intp]:
    """Rows in at most `count` blocks of neighbours."""
    return np.arange(n) * min(count, max(1, n)) // max(1, n)


def _logistic(vectors: Floats, signs: Floats, weights: Floats, given: Floats) -> _Fit:
    """Minimise the weighted logistic loss of `vectors @ w + b + given`, plus PENALTY / 2 |w|^2."""

    def loss(point: Floats) -> tuple[float, Floats]:
        margins = signs * (vectors @ point[:-1] + point[-1] + given)
        slopes = -signs * weights * expit(-margins)
        value = float(weights @ np.logaddexp(0.0, -margins)) + PENALTY / 2 * float(point[:-1] @ point[:-1])
        return value, np.append(vectors.T @ slopes + PENALTY * point[:-1], slopes.sum())

    start = np.zeros(vectors.shape[1] + 1)
    start[-1] = -float(weights @ given) / float(weights.sum())
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return _Fit(found.x[:-1], float(found.x[-1]), int(found.nit))


def _platt(positive: Floats, negative: Floats) -> tuple[float, float]:
    """(steepness, middle) of the sigmoid that fits best, both sides weighing the same."""
    logits = np.concatenate([positive, negative])
    high, low = (len(positive) + 1) / (len(positive) + 2), 1 / (len(negative) + 2)
    targets = np.concatenate([np.full(len(positive), high), np.full(len(negative), low)])
    weights = np.concatenate([np.full(len(positive), 1 / len(positive)), np.full(len(negative), 1 / len(negative))])

    def loss(point: Floats) -> float:
        z = math.exp(point[0]) * (logits - point[1])
        return float(weights @ (targets * np.logaddexp(0.0, -z) + (1 - targets) * np.logaddexp(0.0, z)))

    start = np.array([0.0, (positive.mean() + negative.mean()) / 2])
    found = minimize(loss, start, method="L-BFGS-B", bounds=[(-2.0, 2.0), (None, None)])
    return math.exp(float(found.x[0])), float(found.x[1])
