"""Fingerprints: keyed hashes of runs of words, which convict verbatim text whatever its dress.

A passage of n words is known by its *shingles*, all runs of k = min(k, n) words, and by its *grams*, all shorter
runs of up to three words. Grams tell whether a tail of text may still become a shingle. A run of words that occurs
in a passage has only grams of that passage, so no tail that can become a match is ever missed; a tail made of the
grams of several passages is held for nothing, by at most k-1 words. The same grams and shingles find a passage that is
written backwards or between other words, where a tail of k-1 words is as long as its gaps make it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

from guard.detector import Evidence, Window
from guard.disorder import History, Order, reach
from guard.letters import LetterTable, find_letters, joined
from guard.shingler import Shingler as Shingler  # noqa: PLC0414  # what fingerprints are made with is found here too
from guard.shingler import Terms
from guard.verdict import PLAIN, Kind, Match
from guard.words import Word, words_of

SHINGLE_WORDS: Final = 8
"""The default k: no run of this many words of a passage leaves."""

LONGEST_GRAM: Final = 3
SHORTEST_DISORDERED: Final = 4
"""Passages of fewer words are found in the order of the text only: a name read backwards is ordinary text."""

SHORTEST_MENDED: Final = 6
"""The same where the words do not stand at one distance."""

ORDERS: Final = (("reversed words", 1, True), ("every 2nd word", 2, False), ("every 3rd word", 3, False))
"""View, stride, and whether it is read backwards, of each other order."""

_LONGEST_REACH: Final = max(reach(stride) for _, stride, _ in ORDERS)

DETECTOR: Final = "fingerprint"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One passage: its shingles of `length` words and its grams, as 64-bit hashes."""

    length: int
    shingles: frozenset[int]
    grams: frozenset[int]


def fingerprint(text: str, shingler: Shingler, k: int = SHINGLE_WORDS) -> Fingerprint | None:
    """The fingerprint of a passage, or None when it has no word."""
    ids = [shingler.id(word.norm) for word in words_of(text)]
    if not ids:
        return None
    length = min(k, len(ids))

    def runs(n: int) -> frozenset[int]:
        return frozenset(shingler.run(ids[i : i + n]) for i in range(len(ids) - n + 1))

    grams = frozenset[int]().union(*(runs(n) for n in range(1, min(LONGEST_GRAM, len(ids)) + 1)))
    return Fingerprint(length, runs(length), grams)


class ShingleTable(Protocol):
    """The fingerprints of all passages of one namespace."""

    @property
    def lengths(self) -> Sequence[int]:
        """The distinct shingle lengths, ascending; empty when there is no passage."""

    def entries(self, digest: int) -> Sequence[tuple[str, Kind]]:
        """The entries that hold this shingle."""

    def continues(self, digest: int) -> bool:
        """True when this gram occurs in a passage."""


class PassageTable(ShingleTable, LetterTable, Protocol):
    """Words and letters of all passages of one namespace."""


class FingerprintWatcher:
    """Sees one channel word by word: in the order of the text, and in the orders that hide a passage from whoever reads
    every word (see `guard.disorder`).

    ```
        words:   the old lamp | lighter of Orsk climbed
                              |<- alive: all grams known ->|   from three words on: watch_from = its first word
                                  k words alive and a known shingle: a match
    ```

    A tail is held once three words of it are alive, since ordinary text has words and pairs of some passage everywhere:
    the first two words may have left when the third comes, and never more. Where there are passages of three words or
    fewer, a tail in the order of the text is held as many words earlier.
    """

    def __init__(self, table: ShingleTable, shingler: Shingler) -> None:
        self._table, self._shingler = table, shingler
        self._longest = max(table.lengths, default=0)
        self._shortest_shingle = min(table.lengths, default=0)
        self._least = max(1, min(LONGEST_GRAM, self._shortest_shingle - 1))
        self._alive = 0
        self._orders: tuple[Order, ...] = ()
        if self._longest >= SHORTEST_DISORDERED:
            self._orders = tuple(Order(*order, self._longest) for order in ORDERS)
        self._history = History(max(self._longest, LONGEST_GRAM) * _LONGEST_REACH)

    def push(self, word: Word) -> Sequence[Match]:
        """Take the next word; answer the matches that it completes."""
        if not self._longest:
            return ()
        terms, history = self._shingler.terms(word.norm), self._history
        known = self._table.continues(terms.alone)
        history.add(word, terms if known else None)
        found: list[Match] = []
        self._alive = self._alive_after(terms) if known else 0
        if self._alive >= self._shortest_shingle:
            found = self._matches(range(history.count - self._alive, history.count), PLAIN)
        for order in self._orders:
            if order.threads or (known and order.may_begin(history, self._table, self._shingler)):
                for thread in order.push(history, self._table, self._shingler):
                    if len(thread) >= SHORTEST_DISORDERED:
                        found += self._matches(thread, order.view, order.backwards)
        return found

    def _alive_after(self, own: Terms) -> int:
        """How many of the last words have only known grams. The last word alone is known."""
        terms = self._history.terms
        before = self._alive and terms[-2]
        if not before or not self._table.continues(self._shingler.two(before, own)):
            return 1
        first = self._alive > 1 and terms[-3]
        if not first or not self._table.continues(self._shingler.three(first, before, own)):
            return 2
        return min(self._alive + 1, self._longest)

    def _matches(self, thread: Sequence[int], view: str, backwards: bool = False) -> list[Match]:
        """The matches that end with this thread of words."""
        found: list[Match] = []
        for length in self._table.lengths:
            if length > len(thread):
                break
            run = thread[-length:]
            if view != PLAIN and length < self._shortest(run):
                continue
            ids = [terms.last for number in run if (terms := self._history.terms_of(number))]
            entries = self._table.entries(self._shingler.run(ids[::-1] if backwards else ids))
            span = self._history.span(run) if entries else (0, 0)
            found += [Match(entry_id, kind, DETECTOR, 1.0, 1.0, *span, view) for entry_id, kind in entries]
        return found

    def _shortest(self, run: Sequence[int]) -> int:
        evenly = len({after - before for before, after in pairwise(run)}) == 1
        return SHORTEST_DISORDERED if evenly else SHORTEST_MENDED

    @property
    def watch_from(self) -> int | None:
        """Where the earliest run begins that the next words may complete."""
        longest = self._longest - 1
        held = min(self._alive, longest)
        earliest = self._history.words[-held].start if held >= self._least else None
        for order in self._orders:
            for thread in order.threads:
                start = self._history.span(thread[-longest:])[0]
                earliest = start if earliest is None else min(earliest, start)
        return earliest


class FingerprintDetector:
    """The same as a stage of a cascade: judges complete windows.

    Where a dress was taken off a window its words may be parted otherwise than the passage's, so its letters are
    compared too.
    """

    name = DETECTOR

    def __init__(self, table: PassageTable, shingler: Shingler) -> None:
        self._table, self._shingler = table, shingler

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
        """Matching runs of each window, with positions in the channel."""
        return [self._find(window) for window in windows]

    def _find(self, window: Window) -> list[Evidence]:
        watcher = FingerprintWatcher(self._table, self._shingler)
        spans: dict[tuple[str, Kind, str], list[tuple[int, int]]] = {}
        for word in words_of(window.text):
            for match in watcher.push(word):
                spans.setdefault((match.entry_id, match.kind, match.view), []).append((match.start, match.end))
        if window.view != PLAIN:
            for e in find_letters(window.text, self._table, self._shingler):
                spans.setdefault((e.entry_id, e.kind, PLAIN), []).append((e.start, e.end))
        return [
            Evidence(entry_id, kind, 1.0, *window.span(start, end), view)
            for (entry_id, kind, view), runs in spans.items()
            for start, end in joined(runs)
        ]
