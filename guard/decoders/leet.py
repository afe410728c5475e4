"""Leetspeak: digits and signs for the letters that they resemble."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from guard.decoders.lexicon import COMMON
from guard.decoders.reading import Decoder, Reading, Scroll, Stretch, around

_PAIRS: Final = (
    ("|_|", "u"), ("|\\/|", "m"), ("|\\|", "n"), ("\\/\\/", "w"), ("\\/", "v"), ("|-|", "h"), ("|<", "k"), ("|)", "d"),
    ("|>", "p"), ("()", "o"), ("/\\", "a"), ("vv", "w"), ("><", "x"), ("|=", "f"),
)  # fmt: skip
_SINGLE: Final = str.maketrans("034578962@$!|+(<{\u20ac\u00a3\u00a5#", "oeastbggzasiltcccelyh")
_PAIR: Final = re.compile("|".join(re.escape(pair) for pair, _ in sorted(_PAIRS, key=lambda p: -len(p[0]))))
_MEANS: Final = dict(_PAIRS)
_WORD: Final = re.compile(r"[A-Za-z0-9@$!|+(){}<>/\\_\u20ac\u00a3\u00a5#-]*[A-Za-z0-9@$|]|(?<!\S)!(?!\S)")


def _single(char: str, one: str) -> str:
    return one if char == "1" else char.lower().translate(_SINGLE)


def _spelled(word: str, start: int, one: str) -> tuple[str, list[tuple[int, int]]]:
    letters, places, at = "", [], 0
    while at < len(word):
        pair = _PAIR.match(word, at) if word[at] in "|\\/()><v" else None
        size = len(pair[0]) if pair else 1
        letters += _MEANS[pair[0]] if pair else _single(word[at], one)
        places.append((start + at, start + at + size))
        at += size
    return letters, places


def _leet(stretch: Stretch) -> Iterator[Reading]:
    """Digits and signs as the letters they resemble; a one is an i or an l."""
    tokens = [m for m in _WORD.finditer(stretch.text) if not m[0].isalpha()]
    if sum(_told(m[0]) for m in tokens) < 3:
        return
    start, end = around(stretch.text, tokens[0].start(), tokens[-1].end())
    texts = []
    for one in "il":
        scroll, at = Scroll(), start
        for found in tokens:
            scroll.keep(stretch.text[at : found.start()], at)
            at = found.end()
            letters, places = _spelled(found[0], found.start(), one)
            other, _ = _spelled(found[0], found.start(), "l" if one == "i" else "i")
            for letter, place in zip(other if _is_common(other) else letters, places, strict=True):
                scroll.add(letter, *place)
        scroll.keep(stretch.text[at:end], at)
        texts.append(scroll)
        yield scroll.reading(f"leet {one}")
    yield texts[0].reading("leet", lettered=True)


def _is_common(word: str) -> bool:
    return word.strip("-") in COMMON


def _told(token: str) -> int:
    """Evidence of one token: it reads as a common word, and its letters are not all of it."""
    if not any(c in "0134578@$!|+9(" for c in token) or not any(map(str.isalpha, token)):
        return 0
    for one in "il":
        word = _spelled(token, 0, one)[0].strip("-")
        if len(word) > 1 and word in COMMON:
            return 2 if len(word) > 2 else 1
    return 0


LEET: Final = Decoder("leet", _leet)
