"""What a detector is given, what it answers, and the two forms it may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from guard.verdict import Kind, Match
from guard.words import Word


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of a channel that is judged at once.

    `text` is what would leave (spans that are already redacted show their placeholder); `start` and `end` are
    positions in the channel's original text. `context` is the turn that the window answers, given only where the
    window is near the beginning of an answer: a short answer says something only together with its question.
    """

    text: str
    start: int
    end: int
    context: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How near one window came to one entry: entry, its kind, the score, and the span in the channel."""

    entry_id: str
    kind: Kind
    score: float
    start: int
    end: int


class Detector(Protocol):
    """Finds what a window resembles. Batched, thread-safe, synchronous; its authority is data (`Stage`).

    `find` answers one sequence of evidence per window, strongest first, and raises `DetectorUnavailable` when it
    cannot tell; it never guesses.
    """

    @property
    def name(self) -> str: ...

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]: ...


class Watcher(Protocol):
    """A cheap detector that sees one channel word by word, in order. It may convict, never clear.

    `push` answers the matches that this word completed. `watch_from` is the position of the earliest word from
    which the text so far may still become a match, or None when no tail can.
    """

    def push(self, word: Word) -> Sequence[Match]: ...

    @property
    def watch_from(self) -> int | None: ...
