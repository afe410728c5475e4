"""The fingerprints of all passages of a namespace, looked up by hash.

Sorted arrays instead of dictionaries: 12 bytes per hash, so that a library of books fits in memory. As with vectors,
an immutable base is shared by tables with a small overlay of what was written since.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from guard.fingerprint import Fingerprint
from guard.verdict import Kind

Hashes = NDArray[np.uint64]
Owners = NDArray[np.int32]

SMALLEST_OVERLAY: Final = 20_000
LARGEST_OVERLAY: Final = 500_000
"""Hashes in the overlay after which it is worth folding it into the base, for a small and for a large one."""


@dataclass(frozen=True, slots=True)
class Print:
    """One text of an entry, as shingles of `length` words and as grams."""

    entry_id: str
    kind: Kind
    length: int
    shingles: Hashes
    grams: Hashes

    @classmethod
    def of(cls, entry_id: str, kind: Kind, known: Fingerprint) -> Print:
        """A fingerprint as arrays."""
        return cls(entry_id, kind, known.length, _array(known.shingles), _array(known.grams))


def _array(hashes: Collection[int]) -> Hashes:
    return np.fromiter(hashes, dtype=np.uint64, count=len(hashes))


@dataclass(frozen=True, slots=True)
class _Postings:
    """Hashes, ascending, and which text each belongs to."""

    hashes: Hashes
    owners: Owners

    @classmethod
    def of(cls, parts: Sequence[tuple[Hashes, Owners]]) -> _Postings:
        if not parts:
            return _NONE
        hashes, owners = np.concatenate([h for h, _ in parts]), np.concatenate([o for _, o in parts])
        order = np.argsort(hashes, kind="stable")
        return cls(hashes[order], owners[order])

    def find(self, digest: int) -> list[int]:
        """The texts that hold this hash."""
        wanted = np.uint64(digest)
        start = int(np.searchsorted(self.hashes, wanted))
        end = start
        while end < len(self.hashes) and self.hashes[end] == wanted:
            end += 1
        return [int(owner) for owner in self.owners[start:end]]

    def holds(self, digest: int) -> bool:
        """True when any text holds this hash."""
        wanted = np.uint64(digest)
        at = int(np.searchsorted(self.hashes, wanted))
        return at < len(self.hashes) and bool(self.hashes[at] == wanted)


_NONE: Final = _Postings(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int32))


@dataclass(frozen=True, slots=True)
class _Text:
    entry_id: str
    kind: Kind
    length: int


@dataclass(frozen=True, slots=True)
class _Layer:
    texts: tuple[_Text, ...] = ()
    shingles: _Postings = _NONE
    grams: _Postings = _NONE
    ids: frozenset[str] = frozenset()
    lengths: frozenset[int] = frozenset()

    @classmethod
    def made(cls, texts: Sequence[_Text], shingles: _Postings, grams: _Postings) -> _Layer:
        ids, lengths = frozenset(text.entry_id for text in texts), frozenset(text.length for text in texts)
        return cls(tuple(texts), shingles, grams, ids, lengths)

    def lengths_without(self, removed: Collection[str]) -> frozenset[int]:
        """The shingle lengths of the texts that are left."""
        if not removed:
            return self.lengths
        return frozenset(text.length for text in self.texts if text.entry_id not in removed)

    @classmethod
    def of(cls, prints: Sequence[Print]) -> _Layer:
        def owned(hashes: Hashes, owner: int) -> tuple[Hashes, Owners]:
            return hashes, np.full(len(hashes), owner, dtype=np.int32)

        return cls.made(
            [_Text(p.entry_id, p.kind, p.length) for p in prints],
            _Postings.of([owned(p.shingles, i) for i, p in enumerate(prints)]),
            _Postings.of([owned(p.grams, i) for i, p in enumerate(prints)]),
        )

    def joined(self, other: _Layer, removed: Collection[str]) -> _Layer:
        """Both layers as one, without the texts of removed entries in this one."""
        places = np.full(len(self.texts), -1, dtype=np.int32)
        texts: list[_Text] = []
        for i, text in enumerate(self.texts):
            if text.entry_id not in removed:
                places[i] = len(texts)
                texts.append(text)
        shift = np.int32(len(texts))

        def merged(mine: _Postings, theirs: _Postings) -> _Postings:
            owners = places[mine.owners]
            live = owners >= 0
            return _Postings.of([(mine.hashes[live], owners[live]), (theirs.hashes, theirs.owners + shift)])

        return _Layer.made(
            (*texts, *other.texts), merged(self.shingles, other.shingles), merged(self.grams, other.grams)
        )


class ShingleTable:
    """Implements `guard.fingerprint.ShingleTable`. Immutable.

    Grams of a removed entry stay known until the table is compacted: text may then be held back, by at most k-1 words,
    for nothing; it is never convicted.
    """

    __slots__ = ("_base", "_lengths", "_overlay", "_removed")

    def __init__(self, prints: Sequence[Print] = ()) -> None:
        self._set(_Layer.of(prints), _Layer(), frozenset())

    def _set(self, base: _Layer, overlay: _Layer, removed: frozenset[str]) -> None:
        self._base, self._overlay, self._removed = base, overlay, removed
        self._lengths = tuple(sorted(base.lengths_without(removed) | overlay.lengths))

    @property
    def lengths(self) -> Sequence[int]:
        """The distinct shingle lengths, ascending; empty when there is no passage."""
        return self._lengths

    def entries(self, digest: int) -> Sequence[tuple[str, Kind]]:
        """The entries that hold this shingle."""
        found = [self._base.texts[i] for i in self._base.shingles.find(digest)]
        live = [text for text in found if text.entry_id not in self._removed]
        live += [self._overlay.texts[i] for i in self._overlay.shingles.find(digest)]
        return list(dict.fromkeys((text.entry_id, text.kind) for text in live))

    def continues(self, digest: int) -> bool:
        """True when this gram occurs in a passage."""
        return self._overlay.grams.holds(digest) or self._base.grams.holds(digest)

    def changed(self, removed: Collection[str], prints: Sequence[Print]) -> ShingleTable:
        """The table without the texts of the entries in `removed`, and with these added."""
        gone = frozenset(removed)
        overlay, written = self._overlay, _Layer.of(prints)
        if written.texts or gone & overlay.ids:
            overlay = overlay.joined(written, gone)
        table = ShingleTable.__new__(ShingleTable)
        table._set(self._base, overlay, self._removed | (gone & self._base.ids))
        return table

    @property
    def needs_compacting(self) -> bool:
        """True when the overlay has grown or the base holds much that was removed."""
        most = min(LARGEST_OVERLAY, max(SMALLEST_OVERLAY, len(self._base.grams.hashes) // 8))
        return len(self._overlay.grams.hashes) > most or len(self._removed) * 4 > max(64, len(self._base.texts))

    def compacted(self) -> ShingleTable:
        """The same in one base."""
        table = ShingleTable.__new__(ShingleTable)
        table._set(self._base.joined(self._overlay, self._removed), _Layer(), frozenset())
        return table
