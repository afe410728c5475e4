"""The matching rule: from cosines to one score per entry, on the scale that the thresholds are on.

Two exchanges with the same question are close whatever is answered, and two statements of the same shape are close
whomever they speak of. Neither cosine is enough for a fact: their mean is, less a penalty where the names and numbers
differ. How the constants were found, and what they cost, is in docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from guard.policy import Policy
from guard.verdict import Kind

NAME_PENALTY: Final = 0.20
"""Taken from a fact's score when none of its names and numbers agree."""

LONE_STATEMENT: Final = 0.02
"""Taken from a fact's score when only the statement speaks for it."""

UNMISTAKABLE: Final = 0.12
"""This far above the threshold, statement and exchange together need no names."""

BRIEF_WORDS: Final = 8
BRIEF_PENALTY: Final = 0.05
"""Taken from a passage's score when the window has fewer words than `BRIEF_WORDS`."""

_ENDS: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Closeness:
    """How near a window of `words` words comes to one entry: cosines, None where a form was not compared."""

    statement: float | None
    exchange: float | None
    words: int


def upper_score(kind: Kind, near: Closeness) -> float:
    """The score if all names agreed: what can still be lost is the name penalty."""
    alone = near.statement if near.statement is not None else -1.0
    both = (alone + near.exchange) / 2 if near.exchange is not None and near.statement is not None else -1.0
    if kind is Kind.FACT:
        if near.statement is None and near.exchange is not None:
            both = near.exchange - LONE_STATEMENT  # a brief answer: only the exchange can speak
        return max(both, alone - LONE_STATEMENT)
    if kind is Kind.PASSAGE:
        return alone - (BRIEF_PENALTY if near.words < BRIEF_WORDS else 0.0)
    return max(alone, both)


def score(kind: Kind, near: Closeness, agreement: float) -> float:
    """The score of one entry; `agreement` of names and numbers, 0 to 1, matters for facts."""
    upper = upper_score(kind, near)
    if kind is not Kind.FACT:
        return upper
    both = (near.statement + near.exchange) / 2 if near.statement is not None and near.exchange is not None else -1.0
    return max(upper - NAME_PENALTY * (1.0 - agreement), both - UNMISTAKABLE)


def carried(value: float, threshold: float, onto: float) -> float:
    """`value` on a scale where `threshold` becomes `onto`; 0 and 1 keep their places and the order stays."""
    if threshold == onto:
        return value
    if value <= threshold:
        return value * onto / max(threshold, _ENDS)
    return onto + (value - threshold) * (1.0 - onto) / max(1.0 - threshold, _ENDS)


@dataclass(frozen=True, slots=True)
class Scale:
    """The thresholds of one namespace.

    `convict_at` is what a stage compares with. A policy that overrides the threshold of a kind has its entries' scores
    carried so that they reach `convict_at` exactly where they reach its threshold. `floor` is the lowest cosine
    of any form that may convict: a search must find everything from there on.
    """

    convict_at: Mapping[Kind, float]
    thresholds: Mapping[Kind, float]
    floor: float

    @classmethod
    def of(cls, thresholds: Mapping[Kind, float], policies: Iterable[Policy]) -> Scale:
        """The scale of a namespace whose active entries use these policies."""
        used = list(policies)
        wanted = {kind: {p.thresholds.get(kind, thresholds[kind]) for p in used} or {thresholds[kind]} for kind in Kind}
        convict_at = {kind: min(found) if len(found) == 1 else thresholds[kind] for kind, found in wanted.items()}
        return cls(convict_at, thresholds, min(level for found in wanted.values() for level in found))

    def wanted(self, kind: Kind, policy: Policy) -> float:
        """The threshold on the detector's own scale that this policy asks for."""
        return policy.thresholds.get(kind, self.thresholds[kind])

    def placed(self, value: float, kind: Kind, policy: Policy) -> float:
        """A score, to compare with `convict_at[kind]`."""
        return carried(value, self.wanted(kind, policy), self.convict_at[kind])
