"""What a detector is given, what it answers, and the two forms it may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from guard.verdict import PLAIN, Kind, Match
from guard.words import Word


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of a channel that is judged at once.

    `text` is what would leave (spans that are already redacted show their placeholder); `start` and `end` are
    positions in the channel's original text. `context` is the turn that the window answers, given only where the
    window is near the beginning of an answer: a short answer says something only together with its question.
    `view` names the reading that `text` is: `plain`, or the dress that was taken off. `places` then holds, per
    character of `text`, the span of the original that it was read from. A window that is `part` of a sentence may seem
    to claim what the whole does not. One that is `unfinished` ends where the text did when it was asked about: how
    the sentence goes on is not known.
    """

    text: str
    start: int
    end: int
    context: str = ""
    view: str = PLAIN
    places: Sequence[tuple[int, int]] | None = None
    part: bool = False
    unfinished: bool = False

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where text[start:end] stands in the channel's original text; start < end."""
        if self.places is None:
            return self.start + start, self.start + end
        told = self.places[start:end]
        return min(place[0] for place in told), max(place[1] for place in told)


@dataclass(frozen=True, slots=True)
class Evidence:
    """How near one window came to one entry: entry, its kind, the score, and the span in the channel.

    `view` is set where the detector itself read the window in another way.
    """

    entry_id: str
    kind: Kind
    score: float
    start: int
    end: int
    view: str = PLAIN


class Detector(Protocol):
    """Finds what a window resembles. Batched, thread-safe, synchronous; its authority is data (`Stage`).

    `find` answers one sequence of evidence per window, strongest first, and raises `DetectorUnavailable` when it
    cannot tell; it never guesses.
    """

    @property
    def name(self) -> str: ...

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]: ...


@dataclass(frozen=True, slots=True)
class Suspect:
    """A window and what earlier stages found in it that is neither convicted nor cleared yet."""

    window: Window
    evidence: tuple[Evidence, ...]


class Reviewer(Protocol):
    """Looks again at what an embedding suspects: slower, surer, and it knows which entries are meant.

    `review` answers per suspect the same entries with scores on its own scale; an entry that it leaves out stays
    suspect. Raises `DetectorUnavailable` when it cannot tell; it never guesses.
    """

    @property
    def name(self) -> str: ...

    def review(self, suspects: Sequence[Suspect]) -> Sequence[Sequence[Evidence]]: ...


class Watcher(Protocol):
    """A cheap detector that sees one channel word by word, in order. It may convict, never clear.

    `push` answers the matches that this word completed. `watch_from` is the position of the earliest word from
    which the text so far may still become a match, or None when no tail can.
    """

    def push(self, word: Word) -> Sequence[Match]: ...

    @property
    def watch_from(self) -> int | None: ...
