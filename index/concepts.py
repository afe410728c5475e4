"""How a window is weighed against a concept: by its head, or by its nearest example where it has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np

from guard.policy import Rule
from guard.verdict import Kind
from index.embedder import Vectors
from index.forms import PROMPT_FORMS, Form
from index.head import Floats, Head
from index.imprint import Imprint
from index.matching import Closeness, Scale, carried, upper_score
from index.weighing import Asked

CLOSE: Final = 2.0
"""Logits below its threshold from which on a concept is weighed closely."""


@dataclass(frozen=True, slots=True, eq=False)
class Concept:
    """A concept with its head, and the windows of its examples and counterexamples, one row each."""

    head: Head
    own: Vectors
    counters: Vectors

    def logit(self, asked: Asked) -> float | None:
        """The logit of a window: the mean of the window alone and with its turn, or the one of them that there is."""
        best = [float(self.head.logits(rows, self.own, self.counters).max()) for rows in _asking(asked)]
        return sum(best) / len(best) if best else None

    def placed(self, logit: float, threshold: float) -> float:
        """The logit on a scale of 0 to 1 where the head's own threshold stands at `threshold`."""
        head = self.head
        return carried(head.probability(logit), head.probability(head.threshold), threshold)


def _asking(asked: Asked) -> list[Vectors]:
    """The rows that ask for a window: alone (a prompt's turn is the same text), and with the turn that it answers."""
    alone = [asked.vectors[form] for form in PROMPT_FORMS if form in asked.vectors][:1]
    paired = [asked.vectors[form] for form in (Form.EXCHANGE,) if form in asked.vectors]
    return [rows for rows in (*alone, *paired) if len(rows)]


def concept_of(imprint: Imprint) -> Concept | None:
    """The trained concept of an imprint, None when it has no head. Raises `ValueError` for a head it cannot read."""
    if not imprint.head:
        return None
    spoken = [i for i, mark in enumerate(imprint.marks) if mark.form is not Form.TURN]
    own = [i for i in spoken if not imprint.marks[i].counter]
    counters = [i for i in spoken if imprint.marks[i].counter]
    return Concept(Head.from_bytes(imprint.head), imprint.vectors[own], imprint.vectors[counters])


@dataclass(frozen=True, slots=True, eq=False)
class _Stack:
    """All trained concepts side by side, so that one product weighs them all.

    A concept without counterexamples has a row of zeros in their place.
    """

    weights: Floats  # [concepts, dimensions]
    numbers: Floats  # [4, concepts]: bias, near, counter, threshold
    own: Vectors
    own_starts: list[int]
    counters: Vectors
    counter_starts: list[int]

    @classmethod
    def of(cls, concepts: Sequence[Concept]) -> _Stack:
        heads = [concept.head for concept in concepts]
        own = [concept.own for concept in concepts]
        nothing = np.zeros_like(own[0][:1])
        counters = [concept.counters if len(concept.counters) else nothing for concept in concepts]
        return cls(
            np.stack([head.weights for head in heads]),
            np.array([[head.bias, head.near, head.counter, head.threshold] for head in heads]).T,
            np.concatenate(own),
            [0, *accumulate(len(rows) for rows in own)][:-1],
            np.concatenate(counters),
            [0, *accumulate(len(rows) for rows in counters)][:-1],
        )

    def best(self, vectors: Vectors) -> Floats:
        """The highest logit of any row of `vectors`, per concept [concepts]."""
        bias, slope, counter_slope, _ = self.numbers
        near = np.maximum.reduceat(vectors @ self.own.T, self.own_starts, axis=1)
        counter = np.maximum.reduceat(vectors @ self.counters.T, self.counter_starts, axis=1)
        logits: Floats = (vectors @ self.weights.T + bias + slope * near - counter_slope * counter).max(axis=0)
        return logits


class ConceptWeigher:
    """Weighs concepts. `trained` holds those that have a head, by entry. Thread-safe."""

    def __init__(self, trained: Mapping[str, Concept] | None = None) -> None:
        self.trained: Mapping[str, Concept] = trained or {}
        self._stack: _Stack | None = None  # made when the first window is asked for; the same for everyone

    @property
    def needs_exchanges(self) -> bool:
        """True when windows must be asked together with their turn, whatever the tables hold."""
        return bool(self.trained)

    def candidates(self, asked: Asked) -> list[str]:
        """The trained concepts that a window comes near: the nearest example may be far away all the same."""
        asking = _asking(asked)
        if not self.trained or not asking:
            return []
        stack = self._stack
        if stack is None:
            stack = self._stack = _Stack.of(list(self.trained.values()))
        logits = np.mean([stack.best(rows) for rows in asking], axis=0)
        near = logits >= stack.numbers[3] - CLOSE
        return [entry_id for entry_id, close in zip(self.trained, near, strict=True) if close]

    def decides(self, entry_id: str) -> bool:
        """True when the head has weighed the counterexamples already, so that a near one is no reason to stop."""
        return entry_id in self.trained

    def score(self, asked: Asked, rule: Rule, scale: Scale) -> float | None:
        """See `Weigher.score`."""
        concept = self.trained.get(rule.entry_id)
        if concept is None:
            return _nearest(asked, rule)
        logit = concept.logit(asked)
        return None if logit is None else concept.placed(logit, scale.wanted(Kind.CONCEPT, rule.policy))


def _nearest(asked: Asked, rule: Rule) -> float | None:
    """The nearest example: the statement, or its mean with the exchange."""
    near = asked.of(rule.entry_id)
    alone = max((near[form] for form in PROMPT_FORMS if form in near), default=None)
    value = upper_score(rule.kind, Closeness(alone, near.get(Form.EXCHANGE), asked.words))
    return value if value >= -0.5 else None
