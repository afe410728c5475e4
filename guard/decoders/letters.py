"""Words spelled out: single letters with something between them, Morse code, the spelling alphabet, narrow columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from guard.decoders.lexicon import NATO
from guard.decoders.reading import Decoder, Reading, Scroll, Stretch

FEWEST: Final = 8
"""Letters that a spelled run has at least."""

Sign = tuple[str, int, int]  # a letter and its span


def spelled(text: str, signs: Sequence[Sign], view: str, split: bool = True) -> Iterator[Reading]:
    """Readings of letters with gaps between them: the commonest gap parts letters, another one parts words.

    The lettered reading has all letters and no gaps.
    """
    gaps = [text[a[2] : b[1]] for a, b in pairwise(signs)]
    if split and len(set(gaps)) > 1:
        usual = Counter(gaps).most_common(1)[0][0]
        scroll = Scroll()
        for number, (letter, start, end) in enumerate(signs):
            scroll.add(letter, start, end)
            if number < len(gaps) and gaps[number] != usual:
                said = "".join(c for c in gaps[number] if c in ".,;:!?\n")[:1] if usual.isspace() else ""
                scroll.add(said + " ", end, signs[number + 1][1])
        yield scroll.reading(view)
    scroll = Scroll()
    for letter, start, end in signs:
        scroll.add(letter, start, end)
    yield scroll.reading(view, lettered=True)


_SPACED: Final = re.compile(r"(?<![^\W_])[^\W_](?:(?:[\W_]{1,12})[^\W_](?![^\W_])){7,}")
_ONE: Final = re.compile(r"[^\W_]")


def _spaced(stretch: Stretch) -> Iterator[Reading]:
    for run in _SPACED.finditer(stretch.text):
        signs = [(m[0], m.start(), m.end()) for m in _ONE.finditer(stretch.text, run.start(), run.end())]
        yield from spelled(stretch.text, signs, "spaced")


SPACED: Final = Decoder("spaced", _spaced)

_MORSE: Final = {
    ".-": "a", "-...": "b", "-.-.": "c", "-..": "d", ".": "e", "..-.": "f", "--.": "g", "....": "h", "..": "i",
    ".---": "j", "-.-": "k", ".-..": "l", "--": "m", "-.": "n", "---": "o", ".--.": "p", "--.-": "q", ".-.": "r",
    "...": "s", "-": "t", "..-": "u", "...-": "v", ".--": "w", "-..-": "x", "-.--": "y", "--..": "z",
    "-----": "0", ".----": "1", "..---": "2", "...--": "3", "....-": "4", ".....": "5", "-....": "6", "--...": "7",
    "---..": "8", "----.": "9", ".-.-.-": ".", "--..--": ",", "..--..": "?", ".----.": "'", "-.-.--": "!",
    "-....-": "-", "-..-.": "/", ".-..-.": '"', "---...": ":", "-.-.-.": ";", "-.--.": "(", "-.--.-": ")",
}  # fmt: skip
_DOT, _DASH = "._\u00b7\u2022\u2219\u22c5\u2024*0\u25cf", "-\u2010\u2011\u2012\u2013\u2014\u2212_\u25ac"
_KEYS: Final = ".\u00b7\u2022\u2219\u22c5*\u25cf\u2010-\u2015\u2212\u25ac_\\-"
_MORSE_RUN: Final = re.compile(f"[{_KEYS}]{{1,6}}(?:[ /|\\t\\r\\n,]{{1,6}}[{_KEYS}]{{1,6}}){{7,}}")
_MORSE_SIGN: Final = re.compile(f"[{_KEYS}]+")
_DASHES: Final = re.compile("[\u2010-\u2015\u2212\u25ac_-]")


def _morse(stretch: Stretch) -> Iterator[Reading]:
    for run in _MORSE_RUN.finditer(stretch.text):
        signs: list[Sign] = []
        unknown = 0
        for found in _MORSE_SIGN.finditer(stretch.text, run.start(), run.end()):
            code = "".join("-" if _DASHES.match(c) else "." for c in found[0])
            letter = _MORSE.get(code)
            unknown += letter is None
            if letter:
                signs.append((letter, found.start(), found.end()))
        if len(signs) >= FEWEST and unknown <= 0.15 * len(signs):
            yield from spelled(stretch.text, signs, "morse")


MORSE: Final = Decoder("morse", _morse)


def _nato(stretch: Stretch) -> Iterator[Reading]:
    signs: list[Sign] = []
    between = 0
    for norm, start, end in stretch.spots:
        if norm in NATO:
            signs.append((NATO[norm], start, end))
            between = 0
        elif norm == "ray" and signs and stretch.text[signs[-1][2] : start] == "-":
            signs[-1] = ("x", signs[-1][1], end)
        elif norm == "x":
            signs.append(("x", start, end))
        else:
            between += 1
            if between > 2:
                yield from _nato_run(stretch, signs)
                signs = []
    yield from _nato_run(stretch, signs)


def _nato_run(stretch: Stretch, signs: Sequence[Sign]) -> Iterator[Reading]:
    if len(signs) >= FEWEST:
        yield from spelled(stretch.text, signs, "spelling alphabet")


SPELLING: Final = Decoder("spelling", _nato)

WIDEST: Final = 14
"""Characters of a line in a narrow column; the lines before and behind may be part of it."""

_LETTER: Final = re.compile(r"[^\W\d_]")
_NARROW: Final = re.compile(r"(?:(?:(?<=\n)|^)[^\n]{1,14}(?:\n|$)){6,}")


def _narrow(stretch: Stretch) -> Iterator[Reading]:
    """Lines so short that words are broken without a hyphen, or stand one to a line."""
    for run in _NARROW.finditer(stretch.text):
        start, end = max(0, run.start() - WIDEST), run.end() + WIDEST
        signs = [(m[0], m.start(), m.end()) for m in _LETTER.finditer(stretch.text, start, end)]
        if len(signs) >= 3 * FEWEST:
            yield from spelled(stretch.text, signs, "narrow column", split=False)


NARROW: Final = Decoder("narrow", _narrow)
