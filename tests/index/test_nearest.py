"""Both kinds of rows answer alike where nothing is approximate, and rows that were removed stay hidden."""

from __future__ import annotations

import numpy as np
import pytest

from index import inverted, nearest
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
