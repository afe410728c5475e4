"""Words whose letters were exchanged or turned round: rotations, Atbash, reversed text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from guard.decoders.lexicon import ATBASH, COMMON, EVIDENCE, ROTATIONS
from guard.decoders.reading import Decoder, Place, Reading, Stretch

_UNBROKEN: Final = re.compile(r"\S+")
ENOUGH: Final = 4
"""Evidence from which a transform is taken off: two for a word of three letters or more, one for a shorter one."""


def _weight(norm: str) -> int:
    return 2 if len(norm) > 2 else 1


def evidence_of(norms: Iterable[str]) -> Counter[str]:
    """How strongly each transform shows in these words; a word counts once."""
    found: Counter[str] = Counter()
    for norm in set(norms):
        for name in EVIDENCE.get(norm, ()):
            found[name] += _weight(norm)
    return found


def _region(stretch: Stretch, name: str) -> tuple[int, int] | None:
    """Where words show the transform more than plain words speak against it, with the unknown words around; None
    when that is nowhere so.

    The run of words with the greatest sum of votes (Kadane's algorithm; Bentley, Programming Pearls, 1984).
    """
    spots = stretch.spots
    best = votes = first = begin = last = 0
    for number, spot in enumerate(spots):
        if votes <= 0:
            votes, begin = 0, number
        if name in EVIDENCE.get(spot.norm, ()):
            votes += _weight(spot.norm)
        elif spot.norm in COMMON:
            votes -= _weight(spot.norm) - 1
        if votes > best:
            best, first, last = votes, begin, number
    if best < ENOUGH:
        return None

    def goes_on(i: int) -> bool:
        return len(spots[i].norm) < 3 or spots[i].norm not in COMMON

    while first > 0 and goes_on(first - 1):
        first -= 1
    while last + 1 < len(spots) and goes_on(last + 1):
        last += 1
    return spots[max(0, first - 2)].start, spots[min(len(spots) - 1, last + 2)].end


def _along(start: int, end: int) -> list[Place]:
    return [(at, at + 1) for at in range(start, end)]


def _ciphers(stretch: Stretch) -> Iterator[Reading]:
    found = evidence_of([spot.norm for spot in stretch.spots])
    for name, weight in found.most_common(6):
        if weight < max(ENOUGH, 0.5 * found.most_common(1)[0][1]):
            break
        region = _region(stretch, name) if name != "nato" else None
        if region is None:
            continue
        start, end = region
        text = stretch.text[start:end]
        if name == "reversed":
            yield Reading("reversed", text[::-1], _along(start, end)[::-1])
            yield _word_by_word(stretch, start, end)
        elif name == "atbash":
            yield Reading(name, text.translate(ATBASH), _along(start, end))
        else:
            yield Reading(name, text.translate(ROTATIONS[-int(name[3:]) % 26]), _along(start, end))


def _word_by_word(stretch: Stretch, start: int, end: int) -> Reading:
    text, places, at = [], [], start
    for word in _UNBROKEN.finditer(stretch.text, start, end):
        text += [stretch.text[at : word.start()], word[0][::-1]]
        places += _along(at, word.start()) + _along(*word.span())[::-1]
        at = word.end()
    return Reading("reversed letters", "".join(text), places)


CIPHERS: Final = Decoder("cipher", _ciphers)
