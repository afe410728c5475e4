"""Words in look-alike characters: read as words they are already, this writes them as text for an embedding."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from guard.decoders.lexicon import COMMON
from guard.decoders.reading import Decoder, Reading, Scroll, Stretch
from guard.words import words_of

_ODD: Final = re.compile(
    "[\u00ad\u0250-\u0358\u0370-\u058f\u13a0-\u167f\u1d00-\u1dbf\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2100-\u214f"
    "\u2460-\u24ff\u2c60-\u2c7f\ua4d0-\ua4ff\ua720-\uab6f\ufe00-\ufe0f\ufeff\uff10-\uff5a\U00010280-\U000104ff\U0001d400"
    "-\U0001d7ff\U0001f100-\U0001f1ff\U000e0000-\U000e0fff]"
)
_LATIN: Final = re.compile("[A-Za-z]")
_SCRIPTS: Final = re.compile("[\u0370-\u058f]")


def _folded(stretch: Stretch) -> Iterator[Reading]:
    text = stretch.text
    if text.isascii() or not _ODD.search(text):
        return
    scroll, at, odd = Scroll(), 0, 0
    for word in words_of(text):
        shown = text[word.start : word.end]
        gap = "".join(c for c in text[at : word.start] if not _ODD.match(c))
        scroll.add(gap, at, word.start)
        one_to_one = len(shown) == len(word.norm)
        for number, char in enumerate(word.norm):
            place = (word.start + number, word.start + number + 1) if one_to_one else (word.start, word.end)
            scroll.add(char, *place)
        at = word.end
        odd += word.norm.isascii() and _is_odd(shown, word.norm)
    if odd >= 2:
        scroll.add(text[at:], at, len(text))
        yield scroll.reading("look-alikes")


def _is_odd(shown: str, norm: str) -> bool:
    """True for a word in mixed scripts, and for a common one in letters that belong to no script's ordinary text."""
    if shown.isascii() or not _ODD.search(shown):
        return False
    return bool(_LATIN.search(shown)) or (norm in COMMON and not _SCRIPTS.search(shown))


FOLDED: Final = Decoder("folded", _folded)
