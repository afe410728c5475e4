"""Rows of vectors that are searched by inner product: exactly, or in an inverted file of 8-bit codes.

```
    FlatRows      float32, every row is compared; where they are many, first by one byte per dimension
    InvertedRows  k-means cells; the rows of the `PROBED` nearest cells are compared by one byte per dimension,
                  and the best of them again by two
```

The inverted file is that of Jégou et al. 2011 (Product quantization for nearest neighbor search) with scalar
quantisation in the place of products, as faiss does it (`IndexIVFScalarQuantizer`). Rows lie in the order of their
cells, so that a row's number says where its code is. Neither ever changes; both may lie in shared memory.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from index.embedder import Vectors

Positions = NDArray[np.int64]

Halves = NDArray[np.float16]

PROBED: Final = 96
"""Cells that are looked into for each query."""

CODED: Final = 4096
"""Rows from which exact rows have codes too."""

CHOSEN: Final = 112
"""Rows more than are asked for that are chosen by codes."""

FEW: Final = 8
"""Queries at once from which comparing all rows costs less for each."""

_ROUNDED: Final = 1e-5  # more than sums of single precision are off by
_LOWEST: Final = np.finfo(np.float32).min

AGAIN: Final = 24
"""Rows more than are asked for that are compared again: an 8-bit code may put a row some places too low."""


class Selected:
    """Which rows may be found, as faiss wants to be told; it keeps bare pointers, so the parts are kept here."""

    __slots__ = ("_bits", "_selector")

    def __init__(self, live: NDArray[np.bool_]) -> None:
        self._bits = np.packbits(live, bitorder="little")
        self._selector: Any = _parameters(faiss.IDSelectorBitmap, self._bits)

    @property
    def selector(self) -> Any:
        """The selector of faiss."""
        return self._selector


class NearestRows(Protocol):
    """Numbered rows [n, dimensions] and how they are searched."""

    @property
    def exact(self) -> bool:
        """True when every row is compared, and as it was given."""

    def __len__(self) -> int: ...

    def search(self, queries: Vectors, count: int, selected: Selected | None) -> tuple[Vectors, Positions]:
        """The cosines and numbers of the `count` nearest rows, best first [queries, count]; -1 where there are none."""

    def rows(self, positions: Positions) -> Vectors:
        """These rows [n, dimensions]."""


class FlatRows:
    """Implements `NearestRows`: exact.

    A search of many rows takes as long as reading them. Codes of one byte per dimension are a quarter to read; they
    choose rows that are then compared as they are. `_off` is the most by which a code can misstate a cosine: when what
    was not chosen may lie that close, everything is compared after all.
    """

    __slots__ = ("_codes", "_index", "_off")
    exact = True

    def __init__(self, matrix: Vectors) -> None:
        index: Any = faiss.IndexFlatIP(matrix.shape[1])
        index.add(np.ascontiguousarray(matrix, dtype=np.float32))
        self._set(index)

    def _set(self, index: Any) -> None:
        self._index, self._codes, self._off = index, None, 0.0
        if index.ntotal >= CODED:
            self._codes, self._off = _coded(self._stored())

    def __reduce__(self) -> tuple[Any, ...]:
        """Codes are made anew: a matter of milliseconds."""
        return _flat, (self._index,)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, queries: Vectors, count: int, selected: Selected | None) -> tuple[Vectors, Positions]:
        """See `NearestRows.search`."""
        queries = np.ascontiguousarray(queries)
        if self._codes is None or len(queries) > FEW or count > CHOSEN:
            return self._all(queries, count, selected)
        parameters = None if selected is None else _parameters(faiss.SearchParameters, sel=selected.selector)
        told, chosen = self._codes.search(queries, count + CHOSEN, params=parameters)
        near: Vectors = np.full((len(queries), count), _LOWEST, dtype=np.float32)
        found = np.full((len(queries), count), -1, dtype=np.int64)
        for i, query in enumerate(queries):
            there = chosen[i][chosen[i] >= 0]
            cosines = self.rows(there) @ query
            best = np.argsort(-cosines)[:count]
            near[i, : len(best)], found[i, : len(best)] = cosines[best], there[best]
            if len(there) == count + CHOSEN and told[i, -1] + self._off > near[i, -1]:
                near[i : i + 1], found[i : i + 1] = self._all(queries[i : i + 1], count, selected)
        return near, found

    def _all(self, queries: Vectors, count: int, selected: Selected | None) -> tuple[Vectors, Positions]:
        parameters = None if selected is None else _parameters(faiss.SearchParameters, sel=selected.selector)
        cosines, positions = self._index.search(queries, count, params=parameters)
        return cosines, positions

    def _stored(self) -> Vectors:
        total, dimensions = self._index.ntotal, self._index.d
        stored: Vectors = faiss.rev_swig_ptr(self._index.get_xb(), total * dimensions).reshape(total, dimensions)
        return stored

    def rows(self, positions: Positions) -> Vectors:
        """See `NearestRows.rows`."""
        found: Vectors = self._stored()[positions]
        return found


def _flat(index: Any) -> FlatRows:
    """Rows out of a base."""
    rows = FlatRows.__new__(FlatRows)
    rows._set(index)
    return rows


def _coded(matrix: Vectors) -> tuple[Any, float]:
    """An index of codes of these rows, and the most by which a cosine to them is off: the greatest length of what a row
    and its code differ by."""
    codes: Any = faiss.IndexScalarQuantizer(
        matrix.shape[1], faiss.ScalarQuantizer.QT_8bit_uniform, faiss.METRIC_INNER_PRODUCT
    )
    codes.train(matrix)
    codes.add(matrix)
    off = 0.0
    for at in range(0, len(matrix), CODED):
        part = matrix[at : at + CODED]
        off = max(off, float(np.linalg.norm(codes.reconstruct_n(at, len(part)) - part, axis=1).max()))
    return codes, off + _ROUNDED


class InvertedRows:
    """Implements `NearestRows`: a row in a far cell is missed. Cosines are those of half-precision numbers, off by
    less than 0.001.

    `starts` [cells + 1] says where each cell's rows begin, `halves` [n, dimensions] are the rows in that order,
    `trained_on` is how many rows there were when the cells were made.
    """

    __slots__ = ("halves", "index", "starts", "trained_on")
    exact = False

    def __init__(self, index: Any, starts: Positions, halves: Halves, trained_on: int) -> None:
        self.index, self.starts, self.halves, self.trained_on = index, starts, halves, trained_on

    def __len__(self) -> int:
        return len(self.halves)

    def search(self, queries: Vectors, count: int, selected: Selected | None) -> tuple[Vectors, Positions]:
        """See `NearestRows.search`."""
        queries = np.ascontiguousarray(queries)
        chosen = {} if selected is None else {"sel": selected.selector}
        parameters = _parameters(faiss.SearchParametersIVF, nprobe=min(PROBED, self.index.nlist), **chosen)
        _, positions = self.index.search(queries, min(count + AGAIN, len(self)), params=parameters)
        near: Vectors = np.full((len(queries), count), -2.0, dtype=np.float32)
        found = np.full((len(queries), count), -1, dtype=np.int64)
        for i, (query, line) in enumerate(zip(queries, positions, strict=True)):
            there = line[line >= 0]
            cosines = self.rows(there) @ query
            best = np.argsort(-cosines)[:count]
            near[i, : len(best)], found[i, : len(best)] = cosines[best], there[best]
        return near, found

    def rows(self, positions: Positions) -> Vectors:
        """See `NearestRows.rows`."""
        found: Vectors = self.halves[positions].astype(np.float32)
        return found

    def cells_of(self, positions: Positions) -> Positions:
        """The cell of each row."""
        cells: Positions = np.searchsorted(self.starts, positions, side="right") - 1
        return cells

    def codes(self, cell: int) -> NDArray[np.uint8]:
        """The codes of one cell [n, bytes per code], where they lie."""
        size = int(self.starts[cell + 1] - self.starts[cell])
        if not size:
            return np.zeros((0, self.index.code_size), dtype=np.uint8)
        found = faiss.rev_swig_ptr(self.index.invlists.get_codes(cell), size * self.index.code_size)
        codes: NDArray[np.uint8] = found.reshape(size, -1)
        return codes


def _parameters(kind: Any, *given: Any, **values: Any) -> Any:
    """faiss changes what its classes take at import, where no type checker sees it."""
    return kind(*given, **values)
