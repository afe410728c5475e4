"""What every decoder is given and answers: a stretch of text, and readings of it with places."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

Place = tuple[int, int]

LETTERED_SUFFIX: Final = " letters"
"""Views of lettered readings end with this."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Another text that a stretch may stand for.

    `view` names the dress that was taken off, `places` is per character of `text` its span in the stretch.
    `lettered`: the letters are in order, but where words begin and end is not known.
    """

    view: str
    text: str
    places: Sequence[Place]
    lettered: bool = False


def is_lettered(view: str) -> bool:
    """True for a view whose text is letters in order without known words."""
    return view.endswith(LETTERED_SUFFIX)


class Spot(NamedTuple):
    """A word of a stretch in small ASCII letters where it has any, and its span."""

    norm: str
    start: int
    end: int


_SPOT: Final = re.compile(r"[^\W_]+")


class Stretch:
    """A text to be read again; what several decoders need of it is made once."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def spots(self) -> list[Spot]:
        """The words of the text."""
        if self.text.isascii():
            return [Spot(m[0], *m.span()) for m in _SPOT.finditer(self.text.lower())]
        return [Spot(m[0].lower(), *m.span()) for m in _SPOT.finditer(self.text)]


class Decoder(NamedTuple):
    """One family of dresses. `again`: a dress of the family may be worn over another one of it."""

    name: str
    decode: Callable[[Stretch], Iterable[Reading]]
    again: bool = False


class Scroll:
    """A reading while it is written: text with places."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.places: list[Place] = []

    def add(self, text: str, start: int, end: int) -> None:
        """Append `text`, all of whose characters stand for the span start..end."""
        self._pieces.append(text)
        self.places.extend([(start, end)] * len(text))

    def keep(self, text: str, start: int) -> None:
        """Append `text` that stands in the stretch as it is, from `start`."""
        self._pieces.append(text)
        self.places.extend((at, at + 1) for at in range(start, start + len(text)))

    @property
    def text(self) -> str:
        """What was written so far."""
        return "".join(self._pieces)

    def reading(self, view: str, lettered: bool = False) -> Reading:
        """The reading that was written."""
        return Reading(view + (LETTERED_SUFFIX if lettered else ""), self.text, self.places, lettered)


def replaced(
    stretch: Stretch, pattern: re.Pattern[str], stands_for: Callable[[re.Match[str]], str], view: str
) -> Reading | None:
    """The stretch with each match of `pattern` read as `stands_for`, and a little of what stands around them; None when
    nothing changes."""
    changes = [(m, meant) for m in pattern.finditer(stretch.text) if (meant := stands_for(m)) != m[0]]
    if not changes:
        return None
    at, until = around(stretch.text, changes[0][0].start(), changes[-1][0].end())
    scroll = Scroll()
    for found, meant in changes:
        scroll.keep(stretch.text[at : found.start()], at)
        scroll.add(meant, found.start(), found.end())
        at = found.end()
    scroll.keep(stretch.text[at:until], at)
    return scroll.reading(view)


MARGIN: Final = 64
"""Characters before and behind what is dressed that are read with it: a word there may be in a passage as well."""


def around(text: str, start: int, end: int) -> tuple[int, int]:
    """The span with its margins, cut between words where that can be."""
    first, last = max(0, start - MARGIN), min(len(text), end + MARGIN)
    if first:
        first = max(text.find(" ", first, start), first)
    if last < len(text):
        last = max(text.rfind(" ", end, last), end) if " " in text[end:last] else last
    return first, last


def inside(outer: Reading, inner: Reading) -> Reading:
    """`inner` is a reading of outer's text: the same with places in outer's stretch."""
    places = outer.places

    def place(start: int, end: int) -> Place:
        first, last = places[start], places[max(start, end - 1)]
        return min(first[0], last[0]), max(first[1], last[1])

    return Reading(
        f"{outer.view}+{inner.view}", inner.text, [place(start, end) for start, end in inner.places], inner.lettered
    )


_PROSE: Final = re.compile(r"[^\W_]|[\s.,;:!?'\"()-]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ue000-\uf8ff]")


def is_prose(text: str, share: float = 0.85) -> bool:
    """True when nearly all of the characters are what sentences are made of, and none is a control character."""
    if not text or _CONTROL.search(text):
        return False
    return len(_PROSE.findall(text)) >= share * len(text)
