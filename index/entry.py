"""Entries: what an operator hands in, and what can be told about it afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from guard.policy import DEFAULT_POLICY
from guard.verdict import Kind


class Retention(StrEnum):
    """`encrypted` keeps the text under the entry's own data key; `sealed` keeps fingerprints and embeddings only."""

    ENCRYPTED = "encrypted"
    SEALED = "sealed"


class Unset(StrEnum):
    """Tells "leave it as it is" from "make it None"."""

    UNSET = "unset"


UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True, repr=False)
class Content:
    """The forget text of an entry. Its repr shows nothing, so that it cannot slip into a log."""

    text: str
    prompt: str = ""
    examples: tuple[str, ...] = ()
    counterexamples: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Content(…)"


@dataclass(frozen=True, slots=True, repr=False)
class Draft:
    """An entry as it is handed in.

    `expires_at` is in seconds since the epoch. `force` keeps an entry that looks too broad. Its repr shows nothing.
    """

    kind: Kind
    text: str
    prompt: str = ""
    examples: tuple[str, ...] = ()
    counterexamples: tuple[str, ...] = ()
    label: str = ""
    policy: str = DEFAULT_POLICY
    retention: Retention = Retention.ENCRYPTED
    reference: str = ""
    expires_at: float | None = None
    force: bool = False

    def __repr__(self) -> str:
        return f"Draft({self.kind}, …)"

    @property
    def content(self) -> Content:
        """The part that must never be seen outside."""
        return Content(self.text, self.prompt, tuple(self.examples), tuple(self.counterexamples))


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it may be shown: no text. `windows` counts the vectors that stand for it."""

    id: str
    namespace: str
    kind: Kind
    label: str
    policy: str
    retention: Retention
    reference: str
    created_at: float
    expires_at: float | None
    revision: int
    windows: int


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """What to change about an entry. None leaves a field as it is; `expires_at=None` lets the entry live on.

    Any of `text`, `prompt`, `examples`, `counterexamples` makes the entry be embedded again, under a new data key.
    """

    label: str | None = None
    policy: str | None = None
    reference: str | None = None
    expires_at: float | Unset | None = UNSET
    text: str | None = None
    prompt: str | None = None
    examples: tuple[str, ...] | None = None
    counterexamples: tuple[str, ...] | None = None
    force: bool = False

    def __repr__(self) -> str:
        return "Change(…)"

    @property
    def touches_content(self) -> bool:
        """True when the entry must be embedded again."""
        return any(part is not None for part in (self.text, self.prompt, self.examples, self.counterexamples))


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, newest first. `next_cursor` is None on the last page."""

    entries: tuple[Entry, ...]
    next_cursor: str | None = None
