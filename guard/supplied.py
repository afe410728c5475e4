"""What the user supplied in a request: which words of an answer merely repeat it.

Permission is tied to the user's own words. A run of words is supplied when it stands, word for word, in one of the
user's texts; a longer stretch when nearly all of it is made of a few such runs. What continues, completes or joins the
user's words is not supplied, so that the half of a passage never excuses the other half.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from guard.detector import Watcher
from guard.verdict import Match
from guard.words import Word, words_of

RUN_WORDS: Final = 5
"""Words that a run must share with the user's text to count as repeated."""

SHORTEST_WORDS: Final = 4
"""A stretch of fewer words says nothing by itself: that it also stands in the user's text excuses nothing."""

UNCOVERED: Final = 0.05
"""Share of a stretch's words that may be the speaker's own, in whole words rounded down."""

WORDS_PER_RUN: Final = 16
"""A stretch of n words may be made of 2 + n // WORDS_PER_RUN runs: a mosaic of many small ones is a new text."""

MOST_WORDS: Final = 200_000
"""Words of a request that are remembered; what is beyond excuses nothing."""

_BORDER: Final = "\0"
_SURROGATES: Final = range(0xD800, 0xE000)


class Supplied:
    """The words of the user's texts, in memory and for one request.

    Each distinct word is one character of a string, so that runs of words are found by substring search: exact, and
    linear in the texts. Its repr shows nothing.
    """

    __slots__ = ("_known", "_told")

    def __init__(self, texts: Iterable[str], most: int = MOST_WORDS) -> None:
        self._known: dict[str, str] = {}
        told = [_BORDER]
        for text in texts:
            if most <= 0:
                break
            words = words_of(text)[:most]
            most -= len(words)
            told += [self._symbol(word.norm) for word in words]
            told.append(_BORDER)
        self._told = "".join(told)

    def _symbol(self, norm: str) -> str:
        known = self._known.get(norm)
        if known is None:
            code = len(self._known) + 1
            known = self._known[norm] = chr(code if code < _SURROGATES.start else code + len(_SURROGATES))
        return known

    def holds(self, norms: Sequence[str]) -> bool:
        """True when these normalised words stand in one of the texts in this order, nothing between them."""
        symbols = [self._known.get(norm) for norm in norms]
        return bool(symbols) and None not in symbols and "".join(s for s in symbols if s) in self._told

    def runs(self, norms: Sequence[str], spare: int | None = None) -> list[tuple[int, int]]:
        """The stretches norms[start:end] that are repeated, from left to right, each as long as it can be.

        Each has at least `RUN_WORDS` words, or all of `norms` where that has fewer. Given `spare`, the search ends as
        soon as more than that many words are not repeated.
        """
        said = "".join(self._known.get(norm, _BORDER) for norm in norms)
        shortest = min(RUN_WORDS, len(said))
        found: list[tuple[int, int]] = []
        at = passed = 0
        while shortest and at + shortest <= len(said) and (spare is None or passed <= spare):
            end = self._reach(said, at, shortest)
            if end:
                found.append((at, end))
            else:
                passed += 1
            at = end or at + 1
        return found

    def _reach(self, said: str, start: int, shortest: int) -> int:
        """Where the longest repeated stretch from `start` ends; 0 when there is none of `shortest` words."""
        low = start + shortest
        if _BORDER in said[start:low] or said[start:low] not in self._told:
            return 0
        border = said.find(_BORDER, low)
        high = len(said) if border < 0 else border
        while low < high:
            middle = (low + high + 1) // 2
            if said[start:middle] in self._told:
                low = middle
            else:
                high = middle - 1
        return low

    def covers(self, norms: Sequence[str]) -> bool:
        """True when a stretch of this many words says next to nothing but what the user supplied."""
        total = len(norms)
        if total < SHORTEST_WORDS:
            return False
        spare = int(UNCOVERED * total)
        runs = self.runs(norms, spare)
        own = total - sum(end - start for start, end in runs)
        return own <= spare and len(runs) <= 2 + total // WORDS_PER_RUN


class Remembering:
    """A watcher that remembers the last words it was shown, so that the words of a match can be looked at."""

    __slots__ = ("_tail", "_watcher")

    def __init__(self, watcher: Watcher, most: int = 64) -> None:
        self._watcher = watcher
        self._tail: deque[Word] = deque(maxlen=most)

    def push(self, word: Word) -> Sequence[Match]:
        """See `Watcher.push`."""
        self._tail.append(word)
        return self._watcher.push(word)

    @property
    def watch_from(self) -> int | None:
        """See `Watcher.watch_from`."""
        return self._watcher.watch_from

    def words(self, start: int, end: int) -> list[str]:
        """The normalised words from position `start` to `end`; empty when the first of them is forgotten already."""
        if not self._tail or self._tail[0].start > start:
            return []
        return [word.norm for word in self._tail if start <= word.start and word.end <= end]
