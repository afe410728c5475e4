"""The fingerprints of all passages of a namespace, looked up by hash.

Sorted arrays instead of dictionaries: 13 to 14 bytes per hash, so that a library of books fits in memory; a table of
where hashes with the same first bits begin makes a look-up a matter of two or three comparisons. As with vectors, an
immutable base is shared by tables with a small overlay of what was written since.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from guard.fingerprint import Fingerprint
from guard.letters import LetterPrint
from guard.verdict import Kind
from index.ids import Ids

Hashes = NDArray[np.uint64]
Owners = NDArray[np.int32]

SMALLEST_OVERLAY: Final = 20_000
LARGEST_OVERLAY: Final = 500_000
"""Hashes in the overlay after which it is worth folding it into the base, for a small and for a large one."""

_PER_BUCKET: Final = 4


@dataclass(frozen=True, slots=True)
class Print:
    """One text of an entry: as shingles of `length` words and as grams, or as runs of `letters` letters."""

    entry_id: str
    kind: Kind
    length: int
    shingles: Hashes
    grams: Hashes
    letters: int
    picks: Hashes

    @classmethod
    def of(cls, entry_id: str, kind: Kind, known: Fingerprint | LetterPrint) -> Print:
        """A fingerprint or a letter print as arrays."""
        if isinstance(known, LetterPrint):
            return cls(entry_id, kind, 0, _array(()), _array(()), known.length, _array(known.picks))
        return cls(entry_id, kind, known.length, _array(known.shingles), _array(known.grams), 0, _array(()))


def _array(hashes: Collection[int]) -> Hashes:
    return np.fromiter(hashes, dtype=np.uint64, count=len(hashes))


class _Postings:
    """Hashes, ascending, and which text each belongs to.

    ```
        starts:  0     2  3        6      where hashes with the first bits 00, 01, 10, 11 begin
        hashes:  01 02 5c 81 93 a0 d3
    ```
    """

    __slots__ = ("_ascending", "_shift", "_starts", "hashes", "owners")

    def __init__(self, hashes: Hashes, owners: Owners, starts: NDArray[np.uint32] | None = None) -> None:
        self.hashes, self.owners = hashes, owners
        bits = max(1, (len(hashes) // _PER_BUCKET).bit_length())
        self._shift = 64 - bits
        if starts is None:
            firsts = np.arange(1 << bits, dtype=np.uint64) << np.uint64(self._shift)
            starts = np.append(np.searchsorted(hashes, firsts), len(hashes)).astype(np.uint32)
        self._ascending, self._starts = hashes.data, starts.data  # read one by one without boxes of numpy

    def __reduce__(self) -> tuple[type[_Postings], tuple[Hashes, Owners, NDArray[np.uint32]]]:
        return _Postings, (self.hashes, self.owners, np.asarray(self._starts))

    @classmethod
    def of(cls, parts: Sequence[tuple[Hashes, Owners]]) -> _Postings:
        if not parts:
            return _NONE
        hashes, owners = np.concatenate([h for h, _ in parts]), np.concatenate([o for _, o in parts])
        order = np.argsort(hashes, kind="stable")
        return cls(hashes[order], owners[order])

    def _first(self, digest: int) -> int:
        """Where this hash stands first, or -1."""
        bucket = digest >> self._shift
        end = self._starts[bucket + 1]
        at = bisect_left(self._ascending, digest, self._starts[bucket], end)
        return at if at < end and self._ascending[at] == digest else -1

    def find(self, digest: int, most: int = sys.maxsize) -> list[int]:
        """The texts that hold this hash, the first `most` of them."""
        start = self._first(digest)
        if start < 0:
            return []
        end, last = start + 1, min(len(self._ascending), start + most)
        while end < last and self._ascending[end] == digest:
            end += 1
        return [int(owner) for owner in self.owners[start:end]]

    def holds(self, digest: int) -> bool:
        """True when any text holds this hash."""
        bucket = digest >> self._shift  # as in `_first`, spelled out: this runs several times per word of all traffic
        end = self._starts[bucket + 1]
        at = bisect_left(self._ascending, digest, self._starts[bucket], end)
        return at < end and self._ascending[at] == digest


_NONE: Final = _Postings(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int32))


_KINDS: Final = tuple(Kind)

_Lengths = tuple[frozenset[int], frozenset[int]]
"""Of shingles in words, of letter runs in letters."""


@dataclass(frozen=True, slots=True, eq=False)
class _Texts:
    """Texts by number, as arrays [n]: whose they are (by place in `ids`), of which kind, and their two lengths."""

    ids: Ids
    owners: Owners
    kinds: NDArray[np.uint8]
    shapes: NDArray[np.int32]  # [n, 2]: words of a shingle, letters of a run; 0 for none

    @classmethod
    def of(cls, prints: Sequence[Print]) -> _Texts:
        ids = Ids(p.entry_id for p in prints)
        kinds = np.array([_KINDS.index(p.kind) for p in prints], dtype=np.uint8)
        shapes = np.array([(p.length, p.letters) for p in prints], dtype=np.int32).reshape(-1, 2)
        return cls(ids, ids.find_all([p.entry_id for p in prints]), kinds, shapes)

    def __len__(self) -> int:
        return len(self.owners)

    def entry(self, number: int) -> tuple[str, Kind]:
        """The entry that a text belongs to."""
        return self.ids[int(self.owners[number])], _KINDS[self.kinds[number]]

    def live(self, removed: Collection[str]) -> NDArray[np.bool_]:
        """Which texts belong to none of these entries [n]."""
        gone = np.zeros(len(self.ids) + 1, dtype=np.bool_)
        gone[self.ids.find_all(sorted(removed))] = True  # what is not here has place -1: the spare one
        return ~gone[self.owners]

    def lengths(self, chosen: NDArray[np.bool_]) -> _Lengths:
        """The lengths of these texts."""
        words, letters = (frozenset(np.unique(column).tolist()) - {0} for column in self.shapes[chosen].T)
        return words, letters

    def joined(self, other: _Texts, live: NDArray[np.bool_]) -> _Texts:
        """These, as far as they are `live`, then the others."""
        used = np.zeros(len(self.ids), dtype=np.bool_)
        used[self.owners[live]] = True
        ids, mine, theirs = self.ids.kept(used).merged(other.ids)
        owners = np.concatenate([mine[(np.cumsum(used) - 1)[self.owners[live]]], theirs[other.owners]])
        kinds = np.concatenate([self.kinds[live], other.kinds])
        return _Texts(ids, owners.astype(np.int32), kinds, np.concatenate([self.shapes[live], other.shapes]))


_NO_TEXTS: Final = _Texts.of(())


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    texts: _Texts = _NO_TEXTS
    shingles: _Postings = _NONE
    grams: _Postings = _NONE
    picks: _Postings = _NONE
    lengths: _Lengths = (frozenset(), frozenset())

    @classmethod
    def made(cls, texts: _Texts, shingles: _Postings, grams: _Postings, picks: _Postings) -> _Layer:
        return cls(texts, shingles, grams, picks, texts.lengths(np.ones(len(texts), dtype=np.bool_)))

    @property
    def ids(self) -> Ids:
        """The entries that have texts here."""
        return self.texts.ids

    def lengths_without(self, removed: Collection[str]) -> _Lengths:
        """The lengths of the texts that are left."""
        return self.texts.lengths(self.texts.live(removed)) if removed else self.lengths

    @classmethod
    def of(cls, prints: Sequence[Print]) -> _Layer:
        def owned(hashes: Callable[[Print], Hashes]) -> _Postings:
            all_of = [hashes(p) for p in prints]
            return _Postings.of([(h, np.full(len(h), i, dtype=np.int32)) for i, h in enumerate(all_of)])

        texts = _Texts.of(prints)
        return cls.made(texts, owned(lambda p: p.shingles), owned(lambda p: p.grams), owned(lambda p: p.picks))

    def joined(self, other: _Layer, removed: Collection[str]) -> _Layer:
        """Both layers as one, without the texts of removed entries in this one."""
        kept = self.texts.live(removed)
        places = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
        shift = np.int32(np.count_nonzero(kept))

        def merged(mine: _Postings, theirs: _Postings) -> _Postings:
            owners = places[mine.owners]
            live = owners >= 0
            return _Postings.of([(mine.hashes[live], owners[live]), (theirs.hashes, theirs.owners + shift)])

        return _Layer.made(
            self.texts.joined(other.texts, kept),
            merged(self.shingles, other.shingles),
            merged(self.grams, other.grams),
            merged(self.picks, other.picks),
        )


class ShingleTable:
    """Implements `ShingleTable` of `guard.fingerprint` and `LetterTable` of `guard.letters`. Immutable.

    Grams of a removed entry stay known until the table is compacted: text may then be held back, by at most k-1 words,
    for nothing; it is never convicted.
    """

    __slots__ = ("_base", "_layered", "_lengths", "_letter_lengths", "_overlay", "_removed")

    def __init__(self, prints: Sequence[Print] = ()) -> None:
        self._set(_Layer.of(prints), _Layer(), frozenset())

    def _set(self, base: _Layer, overlay: _Layer, removed: frozenset[str]) -> None:
        self._base, self._overlay, self._removed = base, overlay, removed
        self._layered = bool(len(overlay.texts))
        kept = base.lengths_without(removed)
        self._lengths, self._letter_lengths = (
            tuple(sorted(mine | new)) for mine, new in zip(kept, overlay.lengths, strict=True)
        )

    @property
    def lengths(self) -> Sequence[int]:
        """The distinct shingle lengths, ascending; empty when there is no passage."""
        return self._lengths

    def entries(self, digest: int) -> Sequence[tuple[str, Kind]]:
        """The entries that hold this shingle."""
        return self._owners(self._base.shingles, self._overlay.shingles, digest)

    def continues(self, digest: int) -> bool:
        """True when this gram occurs in a passage."""
        return self._base.grams.holds(digest) or (self._layered and self._overlay.grams.holds(digest))

    def sharers(self, digest: int, most: int) -> Sequence[str] | None:
        """The entries that hold this gram; None when more than `most` texts do."""
        if not self.continues(digest):
            return ()
        base, overlay = self._base.grams.find(digest, most + 1), self._overlay.grams.find(digest, most + 1)
        if len(base) + len(overlay) > most:
            return None
        kept = [name for i in base if (name := self._base.texts.entry(i)[0]) not in self._removed]
        return list(dict.fromkeys((*kept, *(self._overlay.texts.entry(i)[0] for i in overlay))))

    @property
    def letter_lengths(self) -> Sequence[int]:
        """The distinct lengths of letter runs, ascending; empty when no passage has any."""
        return self._letter_lengths

    def letter_entries(self, digest: int) -> Sequence[tuple[str, Kind]]:
        """The entries that hold this run of letters."""
        return self._owners(self._base.picks, self._overlay.picks, digest)

    def _owners(self, base: _Postings, overlay: _Postings, digest: int) -> Sequence[tuple[str, Kind]]:
        if not base.holds(digest) and not (self._layered and overlay.holds(digest)):
            return ()
        found = (self._base.texts.entry(i) for i in base.find(digest))
        live = [(entry_id, kind) for entry_id, kind in found if entry_id not in self._removed]
        live += [self._overlay.texts.entry(i) for i in overlay.find(digest)]
        return list(dict.fromkeys(live))

    def changed(self, removed: Collection[str], prints: Sequence[Print]) -> ShingleTable:
        """The table without the texts of the entries in `removed`, and with these added."""
        gone = frozenset(removed)
        overlay, written = self._overlay, _Layer.of(prints)
        if len(written.texts) or any(name in overlay.ids for name in gone):
            overlay = overlay.joined(written, gone)
        table = ShingleTable.__new__(ShingleTable)
        table._set(self._base, overlay, self._removed | {name for name in gone if name in self._base.ids})
        return table

    @property
    def needs_compacting(self) -> bool:
        """True when the overlay has grown or the base holds much that was removed."""
        most = min(LARGEST_OVERLAY, max(SMALLEST_OVERLAY, len(self._base.grams.hashes) // 8))
        return len(self._overlay.grams.hashes) > most or len(self._removed) * 4 > max(64, len(self._base.ids))

    def compacted(self) -> ShingleTable:
        """The same in one base."""
        table = ShingleTable.__new__(ShingleTable)
        table._set(self._base.joined(self._overlay, self._removed), _Layer(), frozenset())
        return table
