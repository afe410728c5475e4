"""Both kinds of rows answer alike where nothing is approximate, and rows that were removed stay hidden."""

from __future__ import annotations

import numpy as np
import pytest

from index import inverted, nearest
from index.base import opened, pack
from index.nearest import FlatRows, InvertedRows, Selected

D = 16


def unit(seed: int, n: int) -> np.ndarray:
    matrix = np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def in_file(matrix: np.ndarray) -> tuple[InvertedRows, np.ndarray]:
    return inverted.inverted(FlatRows(matrix[:0]), np.zeros(0, dtype=np.int64), matrix)


def test_an_inverted_file_whose_cells_are_all_probed_finds_what_exact_search_finds() -> None:
    matrix, queries = unit(1, 500), unit(2, 20)
    rows, order = in_file(matrix)
    assert rows.index.nlist <= nearest.PROBED, "not every cell is probed: this test proves nothing"
    cosines, positions = rows.search(queries, 10, None)
    exact, expected = FlatRows(matrix).search(queries, 10, None)
    np.testing.assert_allclose(cosines, exact, atol=1e-3)
    assert np.mean(order[positions] == expected) > 0.98, "half precision may swap equals, and nothing else"


def test_rows_are_numbered_as_the_order_says_and_kept_in_half_precision() -> None:
    matrix = unit(1, 300)
    rows, order = in_file(matrix)
    assert sorted(order.tolist()) == list(range(300))
    np.testing.assert_allclose(rows.rows(np.arange(300)), matrix[order], atol=1e-3)


def test_adding_to_an_inverted_file_keeps_its_cells_and_what_was_kept() -> None:
    matrix, fresh = unit(1, 400), unit(2, 50)
    rows, order = in_file(matrix)
    kept = np.flatnonzero(np.arange(400) % 3 > 0)
    joined, source = inverted.inverted(rows, kept, fresh)
    assert (len(joined), joined.trained_on, joined.index.nlist) == (len(kept) + 50, 400, rows.index.nlist)
    both = np.concatenate([matrix[order][kept], fresh])
    np.testing.assert_allclose(joined.rows(np.arange(len(joined))), both[source], atol=1e-3)
    found = joined.search(both, 1, None)[1][:, 0]
    assert np.mean(source[found] == np.arange(len(both))) == 1.0, "every row is the nearest one to itself"


def test_a_file_that_was_outgrown_is_made_anew() -> None:
    rows, _ = in_file(unit(1, 50))
    joined, _ = inverted.inverted(rows, np.arange(50), unit(2, 500))
    assert joined.trained_on == 550 and joined.index.nlist > rows.index.nlist


@pytest.mark.parametrize("kind", ["flat", "inverted"])
def test_rows_that_are_not_selected_are_never_found(kind: str) -> None:
    matrix = unit(1, 300)
    rows = FlatRows(matrix) if kind == "flat" else in_file(matrix)[0]
    live = np.arange(300) % 2 == 0
    cosines, positions = rows.search(unit(3, 10), 300, Selected(live))
    found = positions[positions >= 0]
    assert set(found.tolist()) <= set(np.flatnonzero(live).tolist())
    assert (positions >= 0).sum(axis=1).tolist() == [150] * 10
    assert (np.diff(cosines, axis=1) <= 0).all(), "best first, what is missing last"


def crowded(n: int) -> np.ndarray:
    """Rows of which hundreds are nearly the same."""
    matrix = np.repeat(unit(1, n // 512), 512, axis=0) + 0.001 * unit(2, n // 512 * 512)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("matrix", [unit(1, nearest.CODED), crowded(nearest.CODED)], ids=["scattered", "crowded"])
def test_rows_chosen_by_codes_are_those_that_comparing_all_rows_finds(matrix: np.ndarray, hidden: bool) -> None:
    live = np.arange(len(matrix)) % 3 > 0 if hidden else np.ones(len(matrix), dtype=np.bool_)
    queries = np.concatenate([unit(3, 3), matrix[:2]])
    cosines, positions = FlatRows(matrix).search(queries, 16, Selected(live) if hidden else None)
    exact = np.where(live, queries @ matrix.T, -2.0)
    best = -np.sort(-exact, axis=1)[:, :16]
    np.testing.assert_allclose(cosines, best, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(exact, positions, axis=1), best, atol=1e-5)
    assert all(len(set(line)) == 16 for line in positions.tolist())


def test_when_few_of_many_rows_are_selected_all_of_them_are_found() -> None:
    matrix = unit(1, nearest.CODED)
    live = np.arange(len(matrix)) < 5
    cosines, positions = FlatRows(matrix).search(unit(3, 2), 16, Selected(live))
    assert [sorted(line) for line in positions.tolist()] == [[-1] * 11 + [0, 1, 2, 3, 4]] * 2
    assert (cosines[positions < 0] < -1.0).all()


def test_rows_answer_the_same_out_of_a_base() -> None:
    rows = FlatRows(unit(1, nearest.CODED))
    base = pack(1, rows)
    for before, after in zip(rows.search(unit(3, 4), 16, None), opened(base).search(unit(3, 4), 16, None), strict=True):
        np.testing.assert_array_equal(before, after)
    base.close()
