"""Vectors of what must be forgotten, searched by inner product.

```
    base      faiss, immutable, may hold rows of entries that were removed since (skipped while searching)
    overlay   a small matrix of what was written since
```

A table never changes: a write gives a new one that shares the base. `compacted` folds the overlay into a new base.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import faiss
import numpy as np

from guard.verdict import Kind
from index.embedder import Vectors

FIRST: Final = 16
"""Rows fetched per query to begin with."""

SMALLEST_OVERLAY: Final = 2048
LARGEST_OVERLAY: Final = 16384


@dataclass(frozen=True, slots=True)
class Row:
    """Whose vector this is. A `counter` row stands for a counterexample: what the entry does not mean."""

    entry_id: str
    kind: Kind
    counter: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that was found, and its cosine with the query."""

    row: Row
    cosine: float


class VectorTable:
    """Rows with their vectors. Immutable, so that searches need no lock."""

    __slots__ = ("_at", "_base", "_base_at", "_base_rows", "_dead", "_matrix", "_rows", "_search", "dimensions")

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._base: Any = None
        self._base_rows: tuple[Row, ...] = ()
        self._base_at: Mapping[str, Sequence[int]] = {}  # where the rows of an entry are
        self._dead: frozenset[str] = frozenset()
        self._search: Any = None  # faiss parameters that skip dead rows
        self._matrix: Vectors = np.zeros((0, dimensions), dtype=np.float32)
        self._rows: tuple[Row, ...] = ()
        self._at: Mapping[str, Sequence[int]] | None = None  # the same for the overlay, made when first asked for

    @classmethod
    def built(cls, rows: Sequence[Row], matrix: Vectors) -> VectorTable:
        """A table of these rows; the matrix has one vector per row."""
        table = cls(matrix.shape[1])
        table._rows, table._matrix = tuple(rows), np.ascontiguousarray(matrix, dtype=np.float32)
        if len(rows) != len(matrix):
            raise ValueError(f"{len(rows)} rows for {len(matrix)} vectors")
        return table.compacted() if len(rows) > SMALLEST_OVERLAY else table

    def __len__(self) -> int:
        """Rows that can be found."""
        return len(self._base_rows) - self._dead_rows + len(self._rows)

    @property
    def _dead_rows(self) -> int:
        return sum(len(self._base_at[entry_id]) for entry_id in self._dead)

    def changed(self, removed: Collection[str], rows: Sequence[Row], matrix: Vectors) -> VectorTable:
        """The table without the rows of the entries in `removed`, and with these rows added."""
        table = VectorTable(self.dimensions)
        gone = frozenset(removed)
        table._base, table._base_rows, table._base_at = self._base, self._base_rows, self._base_at
        table._dead, table._search = self._dead, self._search
        newly_dead = {entry_id for entry_id in gone if entry_id in self._base_at} - self._dead
        if newly_dead:
            table._dead = self._dead | newly_dead
            table._search = _skipping([i for entry_id in table._dead for i in self._base_at[entry_id]])
        kept = [i for i, row in enumerate(self._rows) if row.entry_id not in gone]
        table._rows = (*(self._rows[i] for i in kept), *rows)
        table._matrix = np.concatenate([self._matrix[kept], matrix.astype(np.float32, copy=False)])
        return table

    @property
    def needs_compacting(self) -> bool:
        """True when a search would be quicker after `compacted`."""
        most = min(LARGEST_OVERLAY, max(SMALLEST_OVERLAY, len(self._base_rows) // 8))
        return len(self._rows) > most or len(self._dead) * 4 > max(64, len(self._base_at))

    def compacted(self) -> VectorTable:
        """The same rows in one base. Takes time in proportion to all of them: never on the way of a request."""
        table = VectorTable(self.dimensions)
        live = [i for i, row in enumerate(self._base_rows) if row.entry_id not in self._dead]
        rows = (*(self._base_rows[i] for i in live), *self._rows)
        if len(rows) <= SMALLEST_OVERLAY:
            table._rows, table._matrix = rows, np.concatenate([self._base_matrix(live), self._matrix])
            return table
        index = faiss.IndexFlatIP(self.dimensions)
        index.add(self._base_matrix(live))
        index.add(self._matrix)
        table._base, table._base_rows, table._base_at = index, rows, _positions(rows)
        return table

    def _base_matrix(self, positions: Sequence[int]) -> Vectors:
        if self._base is None or not positions:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        stored = faiss.rev_swig_ptr(self._base.get_xb(), self._base.ntotal * self.dimensions)
        matrix: Vectors = stored.reshape(self._base.ntotal, self.dimensions)[positions]
        return matrix

    def search(self, queries: Vectors, floor: float) -> list[list[Hit]]:
        """Per query the nearest rows, best first: some in any case, and every row with a cosine of at least `floor`."""
        found = [self._near(queries, floor), self._far(queries, floor)]
        return [sorted((*a, *b), key=lambda hit: -hit.cosine) for a, b in zip(*found, strict=True)]

    def rows_of(self, queries: Vectors, entries: Collection[str]) -> list[Hit]:
        """Every row of these entries with its best cosine to any of the queries, however far it is."""
        if self._at is None:
            self._at = _positions(self._rows)
        at = self._at
        near = [i for e in entries for i in at.get(e, ())]
        far = [i for e in entries if e not in self._dead for i in self._base_at.get(e, ())]
        hits = [(self._rows, near, self._matrix[near]), (self._base_rows, far, self._base_matrix(far))]
        return [
            Hit(rows[i], float(cosine))
            for rows, places, matrix in hits
            if places
            for i, cosine in zip(places, (queries @ matrix.T).max(axis=0), strict=True)
        ]

    def vectors_of(self, entry_id: str) -> Vectors:
        """The vectors of an entry, [n, dimensions], those of its counterexamples left out."""
        if self._at is None:
            self._at = _positions(self._rows)
        near = [i for i in self._at.get(entry_id, ()) if not self._rows[i].counter]
        gone = entry_id in self._dead
        far = [] if gone else [i for i in self._base_at.get(entry_id, ()) if not self._base_rows[i].counter]
        return np.concatenate([self._matrix[near], self._base_matrix(far)])

    def _near(self, queries: Vectors, floor: float) -> list[list[Hit]]:
        if not self._rows:
            return [[] for _ in queries]
        cosines = queries @ self._matrix.T
        some = min(FIRST, len(self._rows))
        best = np.argpartition(-cosines, some - 1, axis=1)[:, :some]
        hits = []
        for line, top in zip(cosines, best, strict=True):
            chosen = {*top.tolist(), *np.flatnonzero(line >= floor).tolist()}
            hits.append([Hit(self._rows[i], float(line[i])) for i in chosen])
        return hits

    def _far(self, queries: Vectors, floor: float) -> list[list[Hit]]:
        """Fetches more rows as long as the last one fetched is still above the floor."""
        hits: list[list[Hit]] = [[] for _ in queries]
        if self._base is None:
            return hits
        total, count, waiting = len(self._base_rows), FIRST, list(range(len(queries)))
        while waiting:
            count = min(count, total)
            cosines, positions = self._base.search(np.ascontiguousarray(queries[waiting]), count, params=self._search)
            again = []
            for query, line, where in zip(waiting, cosines, positions, strict=True):
                if where[-1] >= 0 and line[-1] >= floor and count < total:
                    again.append(query)
                    continue
                pairs = zip(where.tolist(), line.tolist(), strict=True)
                hits[query] = [Hit(self._base_rows[i], cosine) for i, cosine in pairs if i >= 0]
            waiting, count = again, count * 8
        return hits


def _positions(rows: Sequence[Row]) -> Mapping[str, Sequence[int]]:
    at: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        at.setdefault(row.entry_id, []).append(i)
    return at


def _skipping(positions: Sequence[int]) -> Any:
    """Search parameters that skip these rows. faiss keeps a bare pointer, so the parts stay referenced."""
    selector = faiss.IDSelectorNot(faiss.IDSelectorBatch(np.asarray(positions, dtype=np.int64)))
    return faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]  # faiss adds it at import
