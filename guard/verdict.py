"""What was found and what was concluded. No forget text: ids, spans and scores only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

PLAIN: Final = "plain"
"""The view of a text that is read as it stands."""


class Kind(StrEnum):
    """What an entry is."""

    PASSAGE = "passage"
    FACT = "fact"
    CONCEPT = "concept"


class Side(StrEnum):
    """Which half of an exchange a text belongs to."""

    PROMPT = "prompt"
    ANSWER = "answer"


class Action(IntEnum):
    """What is done about a match. The strongest wins by `max()`."""

    ALLOW = 0
    FLAG = 1
    REDACT = 2
    REWRITE = 3
    BLOCK = 4

    @property
    def label(self) -> str:
        """The lower-case name that the API and the metrics use."""
        return self.name.lower()

    @classmethod
    def from_label(cls, label: str) -> Action:
        """The action of that lower-case name; ValueError when there is none."""
        try:
            return cls[label.upper()]
        except KeyError:
            known = ", ".join(a.label for a in cls)
            raise ValueError(f"unknown action {label!r}: choose one of {known}") from None

    @property
    def stops(self) -> bool:
        """True when nothing more of the text may leave."""
        return self >= Action.REWRITE


@dataclass(frozen=True, slots=True)
class Match:
    """Evidence that text[start:end] of a channel resembles an entry.

    `score` and `threshold` are on the detector's own scale (cosine for embeddings, 1.0 for fingerprints). `view` names
    the reading of the text that it was found in.
    """

    entry_id: str
    kind: Kind
    detector: str
    score: float
    threshold: float
    start: int
    end: int
    view: str = PLAIN

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"a match needs 0 <= start <= end, not {self.start}..{self.end}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The conclusion about one text, under the index of one revision.

    `failed` names the detectors that could not tell; a verdict with failures was decided by the failure rule.
    `shadowed` is what would have been done if the policy enforced.
    """

    action: Action = Action.ALLOW
    matches: tuple[Match, ...] = ()
    failed: tuple[str, ...] = ()
    revision: int = 0
    shadowed: Action = Action.ALLOW
