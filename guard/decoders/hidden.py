"""Messages in characters that nobody sees: tag characters, variation selectors, zero-width bits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from guard.decoders.reading import Decoder, Reading, Scroll, Stretch
from guard.decoders.runs import Byte, text_of

_TAGS: Final = re.compile("[\U000e0020-\U000e007e]{4,}")
_SELECTORS: Final = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_ZERO_WIDTH: Final = re.compile("[\u200b-\u200d\u2060\ufeff]{24,}")


def _hidden(stretch: Stretch) -> Iterator[Reading]:
    text = stretch.text
    if text.isascii():
        return
    scroll = Scroll()
    for run in _TAGS.finditer(text):
        for at in range(*run.span()):
            scroll.add(chr(ord(text[at]) - 0xE0000), at, at + 1)
    if scroll.places:
        yield scroll.reading("tag characters")
    for run in _SELECTORS.finditer(text):
        codes = [(ord(text[at]), at) for at in range(*run.span())]
        found = text_of([Byte(c - 0xFE00 if c < 0xE0100 else c - 0xE0100 + 16, at, at + 1) for c, at in codes])
        if found is not None:
            yield found.reading("variation selectors")
    for run in _ZERO_WIDTH.finditer(text):
        yield from _zero_width(text, *run.span())


def _zero_width(text: str, start: int, end: int) -> Iterator[Reading]:
    signs = sorted(set(text[start:end]))
    if len(signs) != 2:
        return
    for one in signs:
        bits = "".join("1" if c == one else "0" for c in text[start:end])
        found = text_of([Byte(int(bits[i : i + 8], 2), start + i, start + i + 8) for i in range(0, len(bits) - 7, 8)])
        if found is not None:
            yield found.reading("zero-width bits")


HIDDEN: Final = Decoder("hidden", _hidden)
