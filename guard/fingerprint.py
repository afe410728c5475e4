"""Fingerprints: keyed hashes of runs of words, which convict verbatim text whatever its dress.

A passage of n words is known by its *shingles*, all runs of k = min(k, n) words, and by its *grams*, all shorter
runs of up to three words. Grams tell whether a tail of text may still become a shingle. A run of words that occurs
in a passage has only grams of that passage, so no tail that can become a match is ever missed; a tail made of the
grams of several passages is held for nothing, by at most k-1 words.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Protocol

from guard.detector import Evidence, Window
from guard.verdict import Kind, Match
from guard.words import Word, words_of

SHINGLE_WORDS: Final = 8
"""The default k: no run of this many words of a passage leaves."""

LONGEST_GRAM: Final = 3
DETECTOR: Final = "fingerprint"


@dataclass(frozen=True, slots=True)
class Shingler:
    """Hashes runs of normalised words under a key of 16 to 64 bytes: without it a hash confirms nothing."""

    key: bytes

    def __post_init__(self) -> None:
        if not 16 <= len(self.key) <= 64:
            raise ValueError("a fingerprint key has 16 to 64 bytes")

    def digest(self, words: Sequence[str]) -> int:
        """64 bits for this run of words."""
        data = "\x1f".join(words).encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(data, digest_size=8, key=self.key).digest(), "big")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One passage: its shingles of `length` words and its grams, as 64-bit hashes."""

    length: int
    shingles: frozenset[int]
    grams: frozenset[int]


def fingerprint(text: str, shingler: Shingler, k: int = SHINGLE_WORDS) -> Fingerprint | None:
    """The fingerprint of a passage, or None when it has no word."""
    words = [word.norm for word in words_of(text)]
    if not words:
        return None
    length = min(k, len(words))

    def runs(n: int) -> frozenset[int]:
        return frozenset(shingler.digest(words[i : i + n]) for i in range(len(words) - n + 1))

    grams = frozenset[int]().union(*(runs(n) for n in range(1, min(LONGEST_GRAM, len(words)) + 1)))
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


class FingerprintWatcher:
    """Sees one channel word by word.

    ```
        words:   the old lamp | lighter of Orsk climbed
                              |<- alive: all grams known ->|   watch_from = its first word
                                  k words alive and a known shingle: a match
    ```
    """

    def __init__(self, table: ShingleTable, shingler: Shingler) -> None:
        self._table, self._shingler = table, shingler
        self._longest = max(table.lengths, default=0)
        self._tail: deque[Word] = deque(maxlen=max(self._longest, LONGEST_GRAM))
        self._alive = 0

    def push(self, word: Word) -> Sequence[Match]:
        """Take the next word; answer the matches that it completes."""
        if not self._longest:
            return ()
        self._tail.append(word)
        self._alive = self._alive_after()
        if not self._alive:
            return ()
        found: list[Match] = []
        tail = list(self._tail)
        for length in self._table.lengths:
            if length > self._alive:
                break
            run = tail[-length:]
            for entry_id, kind in self._table.entries(self._shingler.digest([w.norm for w in run])):
                found.append(Match(entry_id, kind, DETECTOR, 1.0, 1.0, run[0].start, run[-1].end))
        return found

    def _alive_after(self) -> int:
        """How many of the last words have only known grams."""
        norms = [w.norm for w in self._tail][-LONGEST_GRAM:]
        for n in range(1, len(norms) + 1):
            if not self._table.continues(self._shingler.digest(norms[-n:])):
                return n - 1
        return self._alive + 1 if len(norms) == LONGEST_GRAM else len(norms)

    @property
    def watch_from(self) -> int | None:
        """Where the earliest run begins that the next word may complete."""
        held = min(self._alive, self._longest - 1)
        return self._tail[-held].start if held > 0 else None


class FingerprintDetector:
    """The same as a stage of a cascade: judges complete windows."""

    name = DETECTOR

    def __init__(self, table: ShingleTable, shingler: Shingler) -> None:
        self._table, self._shingler = table, shingler

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
        """Matching runs of each window, with positions in the channel."""
        return [self._find(window) for window in windows]

    def _find(self, window: Window) -> list[Evidence]:
        watcher = FingerprintWatcher(self._table, self._shingler)
        spans: dict[tuple[str, Kind], list[tuple[int, int]]] = {}
        for word in words_of(window.text):
            for match in watcher.push(word):
                runs = spans.setdefault((match.entry_id, match.kind), [])
                if runs and match.start <= runs[-1][1]:
                    runs[-1] = (runs[-1][0], match.end)
                else:
                    runs.append((match.start, match.end))
        return [
            Evidence(entry_id, kind, 1.0, window.start + start, window.start + end)
            for (entry_id, kind), runs in spans.items()
            for start, end in runs
        ]
