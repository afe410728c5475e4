"""The table of static vectors: of thousands of rows the near ones, in some ten microseconds.

```
    small block    rows as they are                                  searched by one product
    large block    rows as they are, and 4-bit codes beside them     the codes choose, the rows themselves are compared
```

Codes are product quantization read with shuffles in registers (Jégou, Douze and Schmid, 2011; André, Kermarrec and Le
Scouarnec, 2017; faiss calls it FastScan): 128 pieces of two dimensions, 64 bytes per row. They only choose which rows
are looked at; every score that leaves is that of the row itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from guard.verdict import Kind
from index.embedder import Vectors
from index.vectors import Row

MOST_BLOCKS: Final = 8

LARGE: Final = 2048
"""Rows from which a block has codes."""

MOST_ROWS: Final = 64
"""Rows of a block that are looked at for one query, the nearest ones: half as many lose 1 in 400 more of the windows
that the transformer convicts, where 20 entries speak of the same person."""

SLACK: Final = 0.1
"""How far a code may understate a cosine: four times the standard deviation of its error at 20,000 rows."""

MOST_SHUT: Final = 8
"""A block is made anew when more than one in so many of its rows are shut."""

_PIECE: Final = 2
_BITS: Final = 4
_ROUNDS: Final = 8
_TRAINED_ON: Final = 256  # rows per centroid


@dataclass(frozen=True)
class _Block:
    """Rows of one kind: their entries, their vectors [n, dimensions], and which of them are shut.

    `shut` is None, or [n], true for the rows of entries that were removed.
    """

    entries: tuple[str, ...]
    matrix: Vectors
    shut: NDArray[np.bool_] | None = None

    @cached_property
    def codes(self) -> Any:
        """The faiss index of codes; None for a small block, or for dimensions that are no whole pieces."""
        return _coded(self.matrix) if len(self.entries) >= LARGE and self.matrix.shape[1] % _PIECE == 0 else None

    def without(self, gone: Collection[str]) -> _Block:
        """The same block, the rows of those entries shut."""
        hit = [i for i, entry_id in enumerate(self.entries) if entry_id in gone]
        if not hit:
            return self
        shut = np.zeros(len(self.entries), dtype=np.bool_) if self.shut is None else self.shut.copy()
        shut[hit] = True
        block = _Block(self.entries, self.matrix, shut)
        if int(shut.sum()) * MOST_SHUT > len(self.entries):
            return _Block(*block.open())
        block.__dict__["codes"] = self.codes  # the rows are the same
        return block

    def open(self) -> tuple[tuple[str, ...], Vectors]:
        """The rows that can be found."""
        if self.shut is None:
            return self.entries, self.matrix
        at = np.flatnonzero(~self.shut)
        return tuple(self.entries[i] for i in at), np.ascontiguousarray(self.matrix[at])

    def near(self, queries: Vectors, floor: float) -> list[tuple[NDArray[np.int64], Vectors]]:
        """Per query rows and their cosines: the nearest row, and those from `floor` on."""
        found = self._flat(queries, floor) if self.codes is None else self._coded(queries, floor)
        if self.shut is None:
            return found
        live = [~self.shut[rows] for rows, _ in found]
        return [(rows[open_], cosines[open_]) for (rows, cosines), open_ in zip(found, live, strict=True)]

    def tell(self, queries: Vectors, floor: float, best: Sequence[dict[str, float]]) -> None:
        """The same as the best cosine of each entry, per query added to what is in `best`."""
        for found, (rows, cosines) in zip(best, self.near(queries, floor), strict=True):
            if not len(rows):
                continue
            order = cosines.argsort()  # of several rows of an entry the best one is told last
            places, entries = rows[order].tolist(), self.entries
            told = dict(zip([entries[place] for place in places], cosines[order].tolist(), strict=True))
            found.update({e: c for e, c in told.items() if c > found.get(e, -2.0)} if found else told)

    def _flat(self, queries: Vectors, floor: float) -> list[tuple[NDArray[np.int64], Vectors]]:
        cosines = queries @ self.matrix.T
        if self.shut is not None:
            cosines[:, self.shut] = -np.inf
        wanted = np.minimum(cosines.max(axis=1), floor)
        found = []
        for line, least in zip(cosines, wanted, strict=True):
            rows = np.flatnonzero(line >= least)
            if len(rows) > MOST_ROWS:
                rows = np.flatnonzero(line >= -np.partition(-line, MOST_ROWS - 1)[MOST_ROWS - 1])
            found.append((rows, line[rows]))
        return found

    def _coded(self, queries: Vectors, floor: float) -> list[tuple[NDArray[np.int64], Vectors]]:
        shut = 0 if self.shut is None else min(MOST_ROWS, int(self.shut.sum()))
        told, places = self.codes.search(np.ascontiguousarray(queries), min(MOST_ROWS + shut, len(self.entries)))
        found = []
        for query, scores, line in zip(queries, told, places, strict=True):
            rows = line[(line >= 0) & (scores >= min(float(scores[0]), floor) - SLACK)]
            found.append((rows, self.matrix[rows] @ query))
        return found


def _coded(matrix: Vectors) -> Any:
    index: Any = faiss.IndexPQFastScan(matrix.shape[1], matrix.shape[1] // _PIECE, _BITS, faiss.METRIC_INNER_PRODUCT)
    index.pq.cp.niter = _ROUNDS
    index.pq.cp.max_points_per_centroid = _TRAINED_ON
    index.train(matrix)
    index.add(matrix)
    return index


class StaticTable:
    """Static vectors of one form, by kind. Immutable: a change gives a new table that shares the blocks.

    Counterexamples are left out: only a look closer can tell that they explain a window.
    """

    __slots__ = ("_blocks", "entries")

    def __init__(self) -> None:
        self._blocks: Mapping[Kind, tuple[_Block, ...]] = {}
        self.entries: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """Entries that can be found."""
        return len(self.entries)

    @property
    def kinds(self) -> Collection[Kind]:
        """The kinds of which there were rows."""
        return self._blocks.keys()

    def changed(self, removed: Collection[str], rows: Sequence[Row], matrix: Vectors) -> StaticTable:
        """The table without the rows of the entries in `removed`, and with these rows added."""
        if len(rows) != len(matrix):
            raise ValueError(f"{len(rows)} rows for {len(matrix)} vectors")
        table, gone = StaticTable(), frozenset(removed)
        blocks = {kind: _without(found, gone & self.entries) for kind, found in self._blocks.items()}
        for kind in Kind:
            at = [i for i, row in enumerate(rows) if row.kind is kind and not row.counter]
            if at:
                added = _Block(tuple(rows[i].entry_id for i in at), np.ascontiguousarray(matrix[at], dtype=np.float32))
                blocks[kind] = _folded((*blocks.get(kind, ()), added))
        table._blocks = {kind: found for kind, found in blocks.items() if found}
        table.entries = (self.entries - gone) | {row.entry_id for row in rows if not row.counter}
        return table

    def near(self, queries: Vectors, floor: float) -> dict[Kind, list[dict[str, float]]]:
        """Per kind and query the best cosine of each entry that is near: of the nearest one, and of those with a cosine
        of at least `floor`. In a block that has many of them only the nearest `MOST_ROWS` rows are looked at."""
        found: dict[Kind, list[dict[str, float]]] = {}
        for kind, blocks in self._blocks.items():
            best: list[dict[str, float]] = [{} for _ in queries]
            for block in blocks:
                block.tell(queries, floor, best)
            found[kind] = best
        return found


def _without(blocks: tuple[_Block, ...], gone: Collection[str]) -> tuple[_Block, ...]:
    left = blocks if not gone else tuple(block.without(gone) for block in blocks)
    return tuple(block for block in left if block.entries)


def _folded(blocks: tuple[_Block, ...]) -> tuple[_Block, ...]:
    """Few blocks: the last ones are joined as long as the one before is not much larger."""
    kept = list(blocks)
    while len(kept) > 1 and (len(kept) > MOST_BLOCKS or len(kept[-2].entries) < 2 * len(kept[-1].entries)):
        (first, above), (second, below) = kept[-2].open(), kept[-1].open()
        kept[-2:] = [_Block((*first, *second), np.concatenate([above, below]))]
    for block in kept:
        _ = block.codes  # made here, not while a request waits
    return tuple(kept)
