"""Readings: what a stretch of text may say once the dresses it wears are taken off, with places in the stretch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from guard.decoders import DECODERS
from guard.decoders.reading import Decoder, Stretch, inside
from guard.decoders.reading import Reading as Reading  # noqa: PLC0414  # the type of what is answered is found here too
from guard.decoders.reading import is_lettered as is_lettered  # noqa: PLC0414  # so is how to tell its two sorts
from guard.decoders.signs import looks_dressed

DEPTH: Final = 2
"""How many dresses one inside another are taken off."""

FEWEST_LETTERS: Final = 8
"""A reading with fewer letters says nothing."""

LONGEST: Final = 4096
"""Characters of a stretch that are read; more is left to the next stretch."""


def readings(text: str) -> list[Reading]:
    """All dressed readings of a text, without duplicates; none of plain prose. At most `LONGEST` characters, the last.

    Linear in the text per decoder and depth.
    """
    skipped = max(0, len(text) - LONGEST)
    seen = {text}
    found: list[Reading] = []
    level = [(d, r) for d, r in _decoded(Stretch(text[skipped:]), None) if _is_new(r, seen)]
    for _ in range(1, DEPTH):
        found += [reading for _, reading in level]
        level = [
            (inner, inside(outer, reading))
            for decoder, outer in level
            if not outer.lettered and looks_dressed(outer.text)
            for inner, reading in _decoded(Stretch(outer.text), decoder)
            if _is_new(reading, seen)
        ]
    found += [reading for _, reading in level]
    if skipped:
        found = [Reading(r.view, r.text, [(a + skipped, b + skipped) for a, b in r.places], r.lettered) for r in found]
    return found


def _decoded(stretch: Stretch, worn: Decoder | None) -> Iterator[tuple[Decoder, Reading]]:
    """The readings of each decoder, without the family that was `worn` outside."""
    for decoder in DECODERS:
        if decoder is not worn or decoder.again:
            for reading in decoder.decode(stretch):
                yield decoder, reading


def _is_new(reading: Reading, seen: set[str]) -> bool:
    if reading.text in seen or sum(map(str.isalpha, reading.text)) < FEWEST_LETTERS:
        return False
    seen.add(reading.text)
    return True
