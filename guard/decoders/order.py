"""Characters or words out of their order: every second one is filler, or the last word comes first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from guard.decoders.initials import VOTES
from guard.decoders.lexicon import COMMON, EVIDENCE
from guard.decoders.reading import Decoder, Reading, Spot, Stretch

_UNBROKEN: Final = re.compile(r"\S+")
SHORTEST_RUN: Final = 5
"""Words without a plain one among them from which characters may be interleaved."""


def _unreadable(stretch: Stretch) -> Iterator[list[Spot]]:
    """Runs of words none of which is a common one."""
    run: list[Spot] = []
    for spot in stretch.spots:
        if spot.norm in COMMON and len(spot.norm) > 2:
            if len(run) >= SHORTEST_RUN:
                yield run
            run = []
        else:
            run.append(spot)
    if len(run) >= SHORTEST_RUN:
        yield run


def _plain(text: str) -> bool:
    """True when a fair share of the words are common ones, or the letters run on as inside English words."""
    words = [word.strip(".,;:!?\"'") for word in text.lower().split()]
    known = [word for word in words if word in COMMON]
    if sum(len(word) > 2 for word in known) > 1 and 4 * len(known) >= len(words):
        return True
    letters = "".join(words)
    return len(letters) >= 24 and sum(VOTES.get(a + b, 0) for a, b in pairwise(letters)) >= 0.8 * len(letters)


def _interleaved(stretch: Stretch) -> Iterator[Reading]:
    for run in _unreadable(stretch):
        if sum(spot.norm in EVIDENCE for spot in run) > 2 or sum(s.end - s.start for s in run) < 4 * len(run):
            continue
        start, end = run[0].start, run[-1].end
        for first in (start, start + 1):
            text = stretch.text[first:end:2]
            if _plain(text):
                yield Reading("interleaved", text, [(at, min(at + 2, end)) for at in range(first, end, 2)])
        words = list(_UNBROKEN.finditer(stretch.text, start, end))
        for parity in (0, 1):
            text = "".join([word[0][parity::2] + " " for word in words])
            if _plain(text):
                yield Reading("interleaved words", text, _places(words, parity))


def _places(words: list[re.Match[str]], parity: int) -> list[tuple[int, int]]:
    """Where the characters stand; the blank behind a word has the place of its last one."""
    places: list[tuple[int, int]] = []
    last = words[0].start() + parity if words[0].end() > words[0].start() + parity else -1
    for word in words:
        for at in range(word.start() + parity, word.end(), 2):
            last = at
            places.append((at, at + 1))
        places.append((last, last + 1))
    return places


INTERLEAVED: Final = Decoder("interleaved", _interleaved)

_OPENERS: Final = ("the", "a", "an", "his", "her", "their", "its", "my", "your", "our")
_BEFORE: Final = (
    "of", "in", "to", "and", "on", "at", "for", "with", "by", "from", "into", "that", "was", "is", "as", "but", "upon",
    "through", "had", "over", "all", "like", "were", "if", "when", "or", "under", "down", "up", "out", "about", "than",
)  # fmt: skip
BACKWARDS: Final = frozenset((opener, word) for opener in _OPENERS for word in _BEFORE) | {
    ("be", "to"), ("been", "had"), ("been", "have"), ("was", "it"), ("was", "he"), ("was", "there"), ("had", "he"),
    ("be", "would"), ("be", "could"), ("is", "it"), ("not", "did"), ("i", "and"), ("was", "i"), ("had", "i"),
}  # fmt: skip
"""Pairs of words that are common the other way round."""


def _last_first(stretch: Stretch) -> Iterator[Reading]:
    spots = stretch.spots
    hits = [i for i, (a, b) in enumerate(pairwise(spots)) if (a.norm, b.norm) in BACKWARDS]
    if len(hits) < 2:
        return
    first, last = max(0, hits[0] - 8), min(len(spots) - 1, hits[-1] + 9)
    text, places = [], []
    for spot in reversed(spots[first : last + 1]):
        text.append(stretch.text[spot.start : spot.end])
        places += [(at, at + 1) for at in range(spot.start, spot.end)] + [(spot.start, spot.end)]
    yield Reading("last word first", " ".join(text), places[:-1])


LAST_FIRST: Final = Decoder("last first", _last_first)
