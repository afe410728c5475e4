"""Openings: how the statements of entries begin, so that a sentence is known before it is finished.

Every statement is kept by the static vector of its first words, of a few more, and so on to all of them, each brought
to whole numbers of one byte. They are searched in two ways: those of entries that share a name with the sentence, all
of them; and the nearest of all, in an inverted file (Jegou, Douze and Schmid, 2011) once they are many.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from guard.segments import WindowRule
from guard.verdict import Kind
from guard.words import words_of
from index.embedder import Vectors
from index.entry import Content
from index.forms import entry_windows

LENGTHS: Final = (4, 6, 8, 12, 16, 24)
"""Words of an opening; the whole statement is one as well."""

MOST_NAMED: Final = 32
"""A name that more entries share tells none of them apart."""

MOST_ROWS: Final = 250_000
"""A namespace with more openings has none: they would no longer be searched at every word in time."""

_SHAPE: Final = struct.Struct("<II")  # openings, dimensions
_FLAT: Final = 1024
_MOST_BLOCKS: Final = 8
_PROBES: Final = 6
_ROUNDS: Final = 4  # of k-means
_SEED: Final = 1
_SAMPLED: Final = 64  # rows per centroid that k-means sees

Codes = NDArray[np.int8]
"""Shape [n, dimensions]: vectors but for their lengths."""


def openings_of(kind: Kind, content: Content, rule: WindowRule) -> list[str]:
    """The texts that an entry's openings are the vectors of: words in their normalised form.

    Passages are held by their fingerprints; only their whole statements are kept, for those that retell them. Concepts
    have none.
    """
    if kind is Kind.CONCEPT:
        return []
    found: dict[str, None] = {}
    for text in (content.text, *content.examples):
        for window in entry_windows(text, rule):
            words = [word.norm for word in words_of(window)]
            lengths = LENGTHS if kind is Kind.FACT else ()
            for length in (*(n for n in lengths if n < len(words)), len(words)):
                found[" ".join(words[:length])] = None
    return list(found)


def codes_of(vectors: Vectors) -> Codes:
    """Vectors as whole numbers of one byte: a cosine moves by less than 0.01."""
    largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), 1e-9) if vectors.size else 1.0
    codes: Codes = np.rint(vectors / largest * 127).astype(np.int8)
    return codes


def vectors_of(codes: Codes) -> Vectors:
    """The reverse: rows of length 1, or 0."""
    rows = codes.astype(np.float32)
    vectors: Vectors = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return vectors


def no_openings() -> Codes:
    """Those of an entry that has none."""
    return np.zeros((0, 0), dtype=np.int8)


def to_bytes(codes: Codes) -> bytes:
    """Openings as bytes; none of none."""
    return _SHAPE.pack(*codes.shape) + codes.tobytes() if codes.size else b""


def from_bytes(data: bytes) -> Codes:
    """The reverse. What was made before there were openings has none."""
    if not data:
        return no_openings()
    codes: Codes = np.frombuffer(data, dtype=np.int8, offset=_SHAPE.size).reshape(_SHAPE.unpack_from(data))
    return codes


@dataclass(frozen=True, slots=True)
class Opened:
    """An entry with its openings, and the hashed names by which it is told from others."""

    entry_id: str
    codes: Codes
    names: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class _Block:
    """Some entries. `starts` says where the rows of each begin, and ends with their number; `dead` are the numbers of
    those that were removed."""

    entries: tuple[Opened, ...]
    starts: NDArray[np.intp]
    codes: Codes
    named: Mapping[int, Sequence[int]]
    flat: Vectors | None
    inverted: Any = None
    dead: frozenset[int] = frozenset()
    without: Any = field(default=None, compare=False)  # faiss parameters that skip the rows of the dead

    def __reduce__(self) -> tuple[object, ...]:
        """Parameters of faiss cannot be pickled: they are made again."""
        return _restored, (self.entries, self.starts, self.codes, self.named, self.flat, self.inverted, self.dead)

    @classmethod
    def of(cls, entries: Sequence[Opened]) -> _Block:
        named: dict[int, list[int]] = {}
        for number, entry in enumerate(entries):
            for name in entry.names:
                named.setdefault(name, []).append(number)
        codes = np.concatenate([entry.codes for entry in entries])
        starts = np.cumsum([0, *(len(entry.codes) for entry in entries)])
        many = len(codes) > _FLAT
        block = cls(tuple(entries), starts, codes, named, None if many else vectors_of(codes))
        return replace(block, inverted=_inverted(codes), without=_probing(None)) if many else block

    def alive(self) -> list[Opened]:
        return [entry for number, entry in enumerate(self.entries) if number not in self.dead]

    def removed(self, gone: Collection[str]) -> _Block:
        hit = {n for n, entry in enumerate(self.entries) if entry.entry_id in gone} - self.dead
        if not hit:
            return self
        dead = self.dead | hit
        rows = np.concatenate([np.arange(self.starts[n], self.starts[n + 1]) for n in sorted(dead)])
        if self.flat is None:
            return replace(self, dead=dead, without=_probing(rows))
        flat = self.flat.copy()
        flat[rows] = 0.0
        return replace(self, dead=dead, flat=flat)

    def best(self, query: Vectors) -> float:
        if self.flat is not None:
            return float((self.flat @ query).max()) if len(self.flat) else -1.0
        found, _ = self.inverted.search(query[None], 1, params=self.without)
        return float(found[0, 0])


def _restored(*parts: Any) -> _Block:
    """A block out of a base."""
    block = _Block(*parts)
    if block.flat is not None:
        return block
    rows = [np.arange(block.starts[n], block.starts[n + 1]) for n in sorted(block.dead)]
    return replace(block, without=_probing(np.concatenate(rows) if rows else None))


def _inverted(codes: Codes) -> Any:
    """An inverted file of these rows, one byte per component."""
    vectors = vectors_of(codes)
    count, dimensions = vectors.shape
    lists = max(8, min(int(2 * np.sqrt(count)), count // 40))
    quantizer = faiss.IndexFlatIP(dimensions)
    made: Any = faiss.IndexIVFScalarQuantizer(
        quantizer, dimensions, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    made.cp.niter, made.cp.seed, made.cp.max_points_per_centroid = _ROUNDS, _SEED, _SAMPLED
    made.train(vectors)
    made.add(vectors)
    return made


def _probing(dead: NDArray[np.intp] | None) -> Any:
    """Search parameters that skip these rows. faiss keeps a bare pointer, so the parts stay referenced."""
    if dead is None:
        return faiss.SearchParametersIVF(nprobe=_PROBES)  # type: ignore[call-arg]  # faiss adds it at import
    selector = faiss.IDSelectorNot(faiss.IDSelectorBatch(np.asarray(dead, dtype=np.int64)))
    return faiss.SearchParametersIVF(sel=selector, nprobe=_PROBES)  # type: ignore[call-arg]  # as above


class OpeningTable:
    """The openings of one namespace. Immutable: a change gives a new table that shares the blocks. One that would have
    more than `most` rows is left empty for good."""

    __slots__ = ("_blocks", "_full", "_most", "entries")

    def __init__(self, most: int = MOST_ROWS) -> None:
        self._most = most
        self._blocks: tuple[_Block, ...] = ()
        self._full = False
        self.entries: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """Entries that can be found."""
        return len(self.entries)

    def changed(self, removed: Collection[str], added: Sequence[Opened]) -> OpeningTable:
        """The table without the entries in `removed`, and with these added."""
        table, gone = OpeningTable(self._most), frozenset(removed)
        if self._full:
            table._full = True
            return table
        known = gone & self.entries
        blocks = tuple(block.removed(known) for block in self._blocks) if known else self._blocks
        new = [entry for entry in added if len(entry.codes)]
        if sum(len(block.codes) for block in blocks) + sum(len(entry.codes) for entry in new) > self._most:
            table._full = True
            return table
        table._blocks = _folded((*blocks, _Block.of(new)) if new else blocks)
        table.entries = (self.entries - gone) | {entry.entry_id for entry in new}
        return table

    def best(self, query: Vectors) -> float:
        """The highest cosine of any opening to `query` [dimensions] of length 1; -1 when there is none."""
        return max((block.best(query) for block in self._blocks), default=-1.0)

    def named(self, name: int) -> list[Opened]:
        """The entries with this hashed name; none when many have it."""
        found: list[Opened] = []
        for block in self._blocks:
            if numbers := block.named.get(name):  # hardly any word is a name
                found += [block.entries[number] for number in numbers if number not in block.dead]
        return found if len(found) <= MOST_NAMED else []


def _folded(blocks: tuple[_Block, ...]) -> tuple[_Block, ...]:
    """Few blocks: the last ones are joined as long as the one before is not much larger."""
    kept = list(blocks)
    while len(kept) > 1 and (len(kept) > _MOST_BLOCKS or len(kept[-2].entries) < 2 * len(kept[-1].entries)):
        entries = [*kept[-2].alive(), *kept[-1].alive()]
        kept[-2:] = [_Block.of(entries)] if entries else []
    return tuple(
        _Block.of(block.alive()) if 2 * len(block.dead) > len(block.entries) else block
        for block in kept
        if len(block.dead) < len(block.entries)
    )
