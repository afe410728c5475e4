"""Making inverted files: cells by k-means, rows into cells, codes side by side.

Adding to an inverted file keeps its cells and copies codes as they are: only what is new is compared with the cells.
When the rows have become `OUTGROWN` times as many, or a large part of them was replaced, cells are made anew.
"""

from __future__ import annotations

import math
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from index.embedder import Vectors
from index.nearest import InvertedRows, NearestRows, Positions

FEWEST: Final = 20_000
"""Rows from which on an inverted file is worth its inexactness: exact search of fewer takes about a millisecond."""

OUTGROWN: Final = 4

_CELLS_PER_ROOT: Final = 4  # cells per square root of the rows
_SAMPLED: Final = 48  # rows per cell that the cells are made from
_ROUNDS: Final = 10
_SPARE: Final = 0.25  # of a dimension's range, added at both ends: the sample does not hold the extremes
_CHUNK: Final = 4096  # rows that are computed together: searches of other threads get their turn in between


def inverted(rows: NearestRows, kept: Positions, fresh: Vectors) -> tuple[InvertedRows, Positions]:
    """The rows `kept` [n] of `rows` and then `fresh` [m, dimensions], in one inverted file.

    Answers also which of these n + m rows each row of the file is [n + m]. Takes minutes for a million rows, seconds
    when `rows` is an inverted file that has not been outgrown.
    """
    total = len(kept) + len(fresh)
    if isinstance(rows, InvertedRows) and total <= OUTGROWN * rows.trained_on:
        return _joined(rows, kept, fresh)
    return _made(rows, kept, fresh)


def _made(rows: NearestRows, kept: Positions, fresh: Vectors) -> tuple[InvertedRows, Positions]:
    total, dimensions = len(kept) + len(fresh), fresh.shape[1]
    cells = max(1, min(total, int(_CELLS_PER_ROOT * math.sqrt(total))))

    def taken(chosen: Positions) -> Vectors:
        """Rows by their place in what is to be kept, then in what is fresh."""
        old = chosen < len(kept)
        made: Vectors = np.empty((len(chosen), dimensions), dtype=np.float32)
        made[old] = rows.rows(kept[chosen[old]])
        made[~old] = fresh[chosen[~old] - len(kept)]
        return made

    few = min(total, _SAMPLED * cells)
    sample = taken(np.sort(np.random.default_rng(0).choice(total, few, replace=False)))
    quantizer = _centres(sample, cells)
    index = _empty(quantizer)
    index.train(sample)
    found = np.concatenate([_cells(quantizer, taken(chunk)) for chunk in _chunks(total)])
    order = np.argsort(found, kind="stable")
    halves = np.empty((total, dimensions), dtype=np.float16)
    for chunk in _chunks(total):
        x, ids = np.ascontiguousarray(taken(order[chunk])), np.ascontiguousarray(chunk)
        lists = np.ascontiguousarray(found[order[chunk]])
        index.add_core(len(x), faiss.swig_ptr(x), faiss.swig_ptr(ids), faiss.swig_ptr(lists))
        halves[chunk] = x
    return InvertedRows(index, _starts(found, cells), halves, total), order


def _centres(sample: Vectors, cells: int) -> Any:
    """The cells' centres, of length 1, found by plain k-means: that misses fewer rows than spherical k-means does."""
    nearest: Any = faiss.IndexFlatL2(sample.shape[1])
    clustering: Any = faiss.Clustering(sample.shape[1], cells)
    clustering.niter, clustering.min_points_per_centroid = _ROUNDS, 1
    clustering.train(sample, nearest)
    found = nearest.reconstruct_n(0, cells)
    quantizer: Any = faiss.IndexFlatIP(sample.shape[1])
    quantizer.add(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9))
    return quantizer


def _joined(rows: InvertedRows, kept: Positions, fresh: Vectors) -> tuple[InvertedRows, Positions]:
    old, size = rows.index, rows.index.code_size
    index = _empty(_copied(old.quantizer))
    faiss.copy_array_to_vector(faiss.vector_to_array(old.sq.trained), index.sq.trained)
    index.is_trained = True
    new = np.concatenate([np.zeros(0, dtype=np.int64), *(_cells(old.quantizer, fresh[c]) for c in _chunks(len(fresh)))])
    own = rows.cells_of(kept)
    order = np.argsort(np.concatenate([own, new]), kind="stable")
    starts = _starts(np.concatenate([own, new]), old.nlist)
    codes = index.sq.compute_codes(fresh) if len(fresh) else np.zeros((0, size), dtype=np.uint8)
    place = np.sort(kept)
    if not np.array_equal(place, kept):
        raise ValueError("rows to be kept must be in their order")
    own_ends, by_cell = np.searchsorted(place, rows.starts), np.argsort(new, kind="stable")
    new_ends = np.searchsorted(new[by_cell], np.arange(old.nlist + 1))
    for cell in range(old.nlist):
        mine = kept[own_ends[cell] : own_ends[cell + 1]] - rows.starts[cell]
        added = codes[by_cell[new_ends[cell] : new_ends[cell + 1]]]
        together = np.concatenate([rows.codes(cell)[mine], added])
        if len(together):
            ids = np.arange(starts[cell], starts[cell + 1], dtype=np.int64)
            index.invlists.add_entries(cell, len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(together))
    index.ntotal = len(order)
    halves = np.empty((len(order), old.d), dtype=np.float16)
    for chunk in _chunks(len(order)):
        source = order[chunk]
        is_old = source < len(kept)
        halves[chunk[is_old]] = rows.halves[kept[source[is_old]]]
        halves[chunk[~is_old]] = fresh[source[~is_old] - len(kept)]
    return InvertedRows(index, starts, halves, rows.trained_on), order


def _copied(quantizer: Any) -> Any:
    """Cells of its own: a clone by faiss would still lie in the memory of the one before."""
    before: Any = faiss.downcast_index(quantizer)
    centres = faiss.rev_swig_ptr(before.get_xb(), before.ntotal * before.d).reshape(before.ntotal, before.d)
    made: Any = faiss.IndexFlatIP(before.d)
    made.add(np.ascontiguousarray(centres))
    return made


def _empty(quantizer: Any) -> Any:
    dimensions, cells = quantizer.d, quantizer.ntotal
    kind, metric = faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    index: Any = faiss.IndexIVFScalarQuantizer(quantizer, dimensions, cells, kind, metric, False)
    index.sq.rangestat_arg = _SPARE
    return index


def _cells(quantizer: Any, rows: Vectors) -> Positions:
    _, nearest = quantizer.search(np.ascontiguousarray(rows), 1)
    cells: Positions = nearest[:, 0]
    return cells


def _chunks(total: int) -> list[Positions]:
    return [np.arange(at, min(at + _CHUNK, total), dtype=np.int64) for at in range(0, total, _CHUNK)]


def _starts(cells: Positions, count: int) -> Positions:
    sizes: NDArray[np.int64] = np.bincount(cells, minlength=count).astype(np.int64)
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
