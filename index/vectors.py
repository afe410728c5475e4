"""Vectors of what must be forgotten, searched by inner product.

```
    base      immutable, may lie in shared memory, may hold rows of entries that were removed since (skipped)
    overlay   a small matrix of what was written since
```

A table never changes: a write gives a new one that shares the base. `compacted` folds the overlay into a new base of
the same kind, `folded` into one of the kind that suits its size: below `index.inverted.FEWEST` rows a base is exact.
From there on it is an inverted file of 8-bit codes: a search compares the rows of the nearest cells only, so a row
may be missed (docs/benchmarks.md says how many are), a cosine may be off by some thousandths, and of very many rows
above the floor the `MOST` nearest are found. What was written since is always compared, exactly.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from guard.verdict import Kind
from index import inverted
from index.embedder import Vectors
from index.ids import Ids
from index.nearest import FlatRows, NearestRows, Positions, Selected

FIRST: Final = 16
"""Rows fetched per query to begin with."""

MOST: Final = 256
"""Rows fetched at most per query from an inverted file."""

SMALLEST_OVERLAY: Final = 2048
LARGEST_OVERLAY: Final = 16384
LARGEST_BESIDE: Final = 4096
"""Rows in the overlay after which it is folded, for a small base, a large exact one, and an inverted file."""

_KINDS: Final = tuple(Kind)
_COUNTER: Final = 0x80


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


@dataclass(frozen=True, slots=True, eq=False)
class _Owned:
    """Whose the rows of a base are, as arrays: `owners` [n] and `flags` [n] by row, and `at` [n] the rows entry by
    entry, those of entry e from `starts[e]` on."""

    ids: Ids
    owners: NDArray[np.int32]
    flags: NDArray[np.uint8]
    at: Positions
    starts: Positions

    @classmethod
    def of(cls, ids: Ids, owners: NDArray[np.int32], flags: NDArray[np.uint8]) -> _Owned:
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(owners, minlength=len(ids)))])
        return cls(ids, owners, flags, np.argsort(owners, kind="stable").astype(np.int64), starts)

    def rows_of(self, entry: int) -> Positions:
        """The rows of an entry, by its place in `ids`."""
        return self.at[self.starts[entry] : self.starts[entry + 1]]

    def rows(self, positions: Positions) -> list[Row]:
        flags, names = self.flags[positions].tolist(), self.ids.at(self.owners[positions])
        return [Row(n, _KINDS[f & ~_COUNTER], f >= _COUNTER) for n, f in zip(names, flags, strict=True)]


def _flags(rows: Sequence[Row]) -> NDArray[np.uint8]:
    flags = (_KINDS.index(row.kind) | _COUNTER * row.counter for row in rows)
    return np.fromiter(flags, dtype=np.uint8, count=len(rows))


_NOBODY: Final = _Owned.of(Ids(), np.zeros(0, np.int32), np.zeros(0, np.uint8))


class VectorTable:
    """Rows with their vectors. Immutable, so that searches need no lock."""

    __slots__ = ("_at", "_base", "_dead", "_live", "_matrix", "_owned", "_rows", "_selected", "dimensions")

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._base: NearestRows | None = None
        self._owned = _NOBODY
        self._dead: frozenset[int] = frozenset()  # places in `_owned.ids`
        self._live: NDArray[np.bool_] | None = None  # rows of the base that can be found; None for all
        self._selected: Selected | None = None
        self._matrix: Vectors = np.zeros((0, dimensions), dtype=np.float32)
        self._rows: tuple[Row, ...] = ()
        self._at: Mapping[str, Sequence[int]] | None = None  # rows by entry in the overlay, made when first asked for

    @classmethod
    def built(cls, rows: Sequence[Row], matrix: Vectors) -> VectorTable:
        """A table of these rows; the matrix has one vector per row."""
        if len(rows) != len(matrix):
            raise ValueError(f"{len(rows)} rows for {len(matrix)} vectors")
        table = cls(matrix.shape[1])
        table._rows, table._matrix = tuple(rows), np.ascontiguousarray(matrix, dtype=np.float32)
        return table.compacted() if len(rows) > SMALLEST_OVERLAY else table

    @classmethod
    def over(cls, base: NearestRows, rows: Sequence[Row]) -> VectorTable:
        """A table of what is in that base already; `rows` say whose each of its rows is."""
        table, ids = cls(base.rows(np.zeros(1, dtype=np.int64)).shape[1]), Ids(row.entry_id for row in rows)
        if len(rows) != len(base):
            raise ValueError(f"{len(rows)} rows for {len(base)} vectors")
        table._base = base
        table._owned = _Owned.of(ids, ids.find_all([row.entry_id for row in rows]), _flags(rows))
        return table

    def __getstate__(self) -> tuple[object, ...]:
        return self.dimensions, self._base, self._owned, self._live, self._matrix, self._rows

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dimensions, self._base, self._owned, self._live, self._matrix, self._rows = state
        self._at = self._selected = None
        self._dead = frozenset()
        if self._live is not None:
            self._dead = frozenset(np.unique(self._owned.owners[~self._live]).tolist())
            self._selected = Selected(self._live)

    def __len__(self) -> int:
        """Rows that can be found."""
        return self._found_in_base + len(self._rows)

    @property
    def _found_in_base(self) -> int:
        return len(self._owned.owners) if self._live is None else int(np.count_nonzero(self._live))

    @property
    def exact(self) -> bool:
        """True when every row is compared, and as it was given."""
        return self._base is None or self._base.exact

    def changed(self, removed: Collection[str], rows: Sequence[Row], matrix: Vectors) -> VectorTable:
        """The table without the rows of the entries in `removed`, and with these rows added."""
        table = VectorTable(self.dimensions)
        gone = frozenset(removed)
        table._base, table._owned = self._base, self._owned
        table._dead, table._live, table._selected = self._dead, self._live, self._selected
        newly_dead = {place for name in gone if (place := self._owned.ids.find(name)) >= 0} - self._dead
        if newly_dead:
            table._dead = self._dead | newly_dead
            live = np.ones(len(self._owned.owners), dtype=np.bool_) if self._live is None else self._live.copy()
            for place in newly_dead:
                live[self._owned.rows_of(place)] = False
            table._live, table._selected = live, Selected(live)
        kept = [i for i, row in enumerate(self._rows) if row.entry_id not in gone]
        whole = len(kept) == len(self._rows)
        table._rows = (*(self._rows if whole else (self._rows[i] for i in kept)), *rows)
        left = self._matrix if whole else self._matrix[kept]
        table._matrix = np.concatenate([left, matrix.astype(np.float32, copy=False)])
        return table

    @property
    def needs_compacting(self) -> bool:
        """True when a search would be quicker after `compacted` or `folded`."""
        largest = LARGEST_OVERLAY if self.exact else LARGEST_BESIDE
        most = min(largest, max(SMALLEST_OVERLAY, len(self._owned.owners) // 8))
        return len(self._rows) > most or len(self._dead) * 4 > max(64, len(self._owned.ids))

    @property
    def needs_folding(self) -> bool:
        """True when `folded` would give a base of another kind."""
        return self.exact and len(self) >= inverted.FEWEST

    def compacted(self) -> VectorTable:
        """The same rows in one base. Takes time in proportion to all of them: never on the way of a request."""
        return self._compacted(to_inverted=not self.exact)

    def folded(self) -> VectorTable:
        """The same rows in one base of the kind that suits their number: minutes for a million."""
        settled = not (self.exact or self._rows or self._dead)
        return self if settled else self._compacted(to_inverted=len(self) >= inverted.FEWEST)

    def _compacted(self, to_inverted: bool) -> VectorTable:
        table = VectorTable(self.dimensions)
        live = np.arange(len(self._owned.owners)) if self._live is None else np.flatnonzero(self._live)
        if len(live) + len(self._rows) <= SMALLEST_OVERLAY:
            table._rows = (*self._owned.rows(live), *self._rows)
            table._matrix = np.concatenate([self._base_matrix(live), self._matrix])
            return table
        flags = np.concatenate([self._owned.flags[live], _flags(self._rows)])
        added = Ids(row.entry_id for row in self._rows)
        used = np.zeros(len(self._owned.ids), dtype=np.bool_)
        used[self._owned.owners[live]] = True
        renumbered = np.cumsum(used) - 1
        ids, mine, theirs = self._owned.ids.kept(used).merged(added)
        new = theirs[added.find_all([row.entry_id for row in self._rows])] if self._rows else np.zeros(0, np.int32)
        owners = np.concatenate([mine[renumbered[self._owned.owners[live]]], new]).astype(np.int32)
        if to_inverted:
            before = self._base if self._base is not None else FlatRows(self._matrix[:0])
            table._base, order = inverted.inverted(before, live, self._matrix)
            owners, flags = owners[order], flags[order]
        else:
            table._base = FlatRows(np.concatenate([self._base_matrix(live), self._matrix]))
        table._owned = _Owned.of(ids, owners, flags)
        return table

    def _base_matrix(self, positions: Positions) -> Vectors:
        if self._base is None or not len(positions):
            return np.zeros((0, self.dimensions), dtype=np.float32)
        return self._base.rows(positions)

    def search(self, queries: Vectors, floor: float) -> list[list[Hit]]:
        """Per query the nearest rows, best first: some in any case, and every row with a cosine of at least `floor`.

        See above for what that means when the base is an inverted file.
        """
        found = [self._near(queries, floor), self._far(queries, floor)]
        return [sorted((*a, *b), key=lambda hit: -hit.cosine) for a, b in zip(*found, strict=True)]

    def rows_of(self, queries: Vectors, entries: Collection[str]) -> list[Hit]:
        """Every row of these entries with its best cosine to any of the queries, however far it is."""
        if self._at is None:
            self._at = _positions(self._rows)
        at = self._at
        near = [i for e in entries for i in at.get(e, ())]
        hits = []
        if near:
            best = (queries @ self._matrix[near].T).max(axis=0).tolist()
            hits += [Hit(self._rows[i], cosine) for i, cosine in zip(near, best, strict=True)]
        far = [self._in_base(entry_id) for entry_id in entries]
        if any(map(len, far)):
            positions = np.concatenate(far)
            best = (queries @ self._base_matrix(positions).T).max(axis=0).tolist()
            hits += [Hit(row, cosine) for row, cosine in zip(self._owned.rows(positions), best, strict=True)]
        return hits

    def _in_base(self, entry_id: str) -> Positions:
        """The rows of an entry in the base that can be found."""
        place = self._owned.ids.find(entry_id)
        return np.zeros(0, np.int64) if place < 0 or place in self._dead else self._owned.rows_of(place)

    def vectors_of(self, entry_id: str) -> Vectors:
        """The vectors of an entry, [n, dimensions], those of its counterexamples left out."""
        if self._at is None:
            self._at = _positions(self._rows)
        near = [i for i in self._at.get(entry_id, ()) if not self._rows[i].counter]
        far = self._in_base(entry_id)
        return np.concatenate([self._matrix[near], self._base_matrix(far[self._owned.flags[far] < _COUNTER])])

    def _near(self, queries: Vectors, floor: float) -> list[list[Hit]]:
        if not self._rows:
            return [[] for _ in queries]
        cosines = queries @ self._matrix.T
        some = min(FIRST, len(self._rows))
        best = np.argpartition(-cosines, some - 1, axis=1)[:, :some]
        hits: list[list[Hit]] = []
        for line, top in zip(cosines, best, strict=True):
            chosen = {*top.tolist(), *np.flatnonzero(line >= floor).tolist()}
            hits.append([Hit(self._rows[i], float(line[i])) for i in chosen])
        return hits

    def _far(self, queries: Vectors, floor: float) -> list[list[Hit]]:
        """Fetches more rows as long as the last one fetched is still above the floor; from an inverted file, `MOST`."""
        hits: list[list[Hit]] = [[] for _ in queries]
        if self._base is None:
            return hits
        exact, total, waiting = self._base.exact, len(self._base), list(range(len(queries)))
        count = FIRST if exact else MOST
        while waiting:
            count = min(count, total)
            cosines, positions = self._base.search(queries[waiting], count, self._selected)
            again = []
            for query, line, where in zip(waiting, cosines, positions, strict=True):
                if exact and where[-1] >= 0 and line[-1] >= floor and count < total:
                    again.append(query)
                    continue
                wanted = (where >= 0) & ((line >= floor) | (np.arange(len(line)) < FIRST))
                pairs = zip(self._owned.rows(where[wanted]), line[wanted].tolist(), strict=True)
                hits[query] = [Hit(row, cosine) for row, cosine in pairs]
            waiting, count = again, count * 8
        return hits


def _positions(rows: Sequence[Row]) -> Mapping[str, Sequence[int]]:
    at: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        at.setdefault(row.entry_id, []).append(i)
    return at
