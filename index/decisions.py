"""Decisions: what was done to which request, without any content."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from guard.verdict import Action, Kind, Side


class Label(StrEnum):
    """What an operator says a decision was."""

    HIT = "hit"
    MISS = "miss"
    FALSE_POSITIVE = "false_positive"


@dataclass(frozen=True, slots=True)
class Decision:
    """One match that led to an action (or would have, in shadow mode). `at` in epoch seconds.

    `kind`, `stage`, `entry_id`, `score` and `threshold` are None where no entry was the cause (a failed detector).
    """

    id: str
    at: float
    namespace: str
    dialect: str
    side: Side
    action: Action
    revision: int
    request_id: str
    kind: Kind | None = None
    stage: str | None = None
    entry_id: str | None = None
    score: float | None = None
    threshold: float | None = None
    shadow: bool = False
    label: Label | None = None


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which decisions to list, newest first. `since` in epoch seconds; None and "" do not filter."""

    namespace: str | None = None
    since: float = 0.0
    action: Action | None = None
    limit: int = 100
