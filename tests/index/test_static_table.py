"""The table of static vectors finds what a search of all rows finds, whatever was added and removed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.verdict import Kind
from index.static_table import LARGE, MOST_ROWS, MOST_SHUT, StaticTable
from index.vectors import Row

DIMENSIONS = 256
FLOOR = 0.5


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def some(seed: int, count: int, dimensions: int = DIMENSIONS) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((count, dimensions)))


def around(rows: np.ndarray, cosine: float, seed: int) -> np.ndarray:
    """A vector about so near to each row."""
    return unit(cosine * rows + (1 - cosine**2) ** 0.5 * some(seed, len(rows), rows.shape[1]))


def table(matrix: np.ndarray, first: int = 0) -> StaticTable:
    return StaticTable().changed((), facts(matrix, first), matrix)


def facts(matrix: np.ndarray, first: int = 0) -> list[Row]:
    return [Row(f"e{first + i}", Kind.FACT) for i in range(len(matrix))]


def nearest(known: StaticTable, query: np.ndarray) -> tuple[str, float]:
    (found,) = known.near(query[None], 1.0)[Kind.FACT]
    return max(found.items(), key=lambda pair: pair[1])


@pytest.fixture(scope="module")
def large() -> tuple[np.ndarray, StaticTable]:
    matrix = some(1, LARGE + 500)
    return matrix, table(matrix)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.integers(1, 5)), min_size=1, max_size=25), st.integers())
def test_a_changed_table_finds_what_a_search_of_all_rows_finds(steps, seed) -> None:
    draw = np.random.default_rng(abs(seed))
    live: dict[str, np.ndarray] = {}
    found = StaticTable()
    for number, drop, count in steps:
        entry_id = f"e{number}"
        live.pop(entry_id, None)
        if drop:
            found = found.changed({entry_id}, [], np.zeros((0, 4), dtype=np.float32))
            continue
        live[entry_id] = unit(draw.standard_normal((count, 4)))
        found = found.changed({entry_id}, [Row(entry_id, Kind.FACT)] * count, live[entry_id])
    queries = unit(draw.standard_normal((3, 4)))
    assert found.entries == set(live)
    if not live:
        assert found.near(queries, FLOOR) == {}
        return
    for query, near in zip(queries, found.near(queries, FLOOR)[Kind.FACT], strict=True):
        scores = {e: float((rows @ query).max()) for e, rows in live.items()}
        wanted = {e for e, score in scores.items() if score >= FLOOR + 1e-4}
        assert wanted <= set(near) and max(scores, key=scores.__getitem__) in near
        assert all(near[e] <= scores[e] + 1e-4 for e in near)
        assert all(near[e] == pytest.approx(scores[e], abs=1e-4) for e in wanted)


def test_a_large_table_loses_next_to_nothing_of_what_is_near(large) -> None:
    matrix, known = large
    for cosine, least in ((0.9, 1.0), (0.7, 0.999), (0.5, 0.995)):
        queries = around(matrix[:1000], cosine, 2)
        true = queries @ matrix.T
        found = known.near(queries, FLOOR)[Kind.FACT]
        wanted = [{f"e{i}" for i in np.flatnonzero(line >= FLOOR)} for line in true]
        total = sum(map(len, wanted))
        assert total > 400
        assert sum(len(own & set(near)) for own, near in zip(wanted, found, strict=True)) >= least * total
        for line, near in zip(true[:50], found, strict=False):
            assert all(score == pytest.approx(float(line[int(e[1:])]), abs=1e-4) for e, score in near.items())


def test_batches_do_not_matter(large) -> None:
    matrix, known = large
    queries = around(matrix[:40], 0.6, 3)
    together = known.near(queries, FLOOR)[Kind.FACT]
    for query, found in zip(queries, together, strict=True):
        (alone,) = known.near(query[None], FLOOR)[Kind.FACT]
        assert alone.keys() == found.keys()


def test_what_was_removed_is_not_found_and_hides_nothing(large) -> None:
    matrix, known = large
    rows = around(np.repeat(matrix[:1], MOST_ROWS, axis=0), 0.95, 4)
    crowded = known.changed((), facts(rows, 10_000), rows)
    assert nearest(crowded, matrix[0]) == ("e0", pytest.approx(1.0, abs=1e-4))
    gone = {f"e{10_000 + i}" for i in range(MOST_ROWS)}
    left = crowded.changed(gone, [], matrix[:0])
    (found,) = left.near(matrix[:1], FLOOR)[Kind.FACT]
    assert "e0" in found and not gone & found.keys()
    assert gone & set(crowded.near(matrix[:1], FLOOR)[Kind.FACT][0])


def test_a_table_of_which_much_was_removed_still_finds_the_rest(large) -> None:
    matrix, known = large
    kept = [i for i in range(len(matrix)) if i % (MOST_SHUT // 2)]
    gone = {f"e{i}" for i in range(len(matrix))} - {f"e{i}" for i in kept}
    left = known.changed(gone, [], matrix[:0])
    assert len(left) == len(kept)
    for i in (0, MOST_SHUT // 2):
        assert nearest(left, matrix[i])[0] != f"e{i}"
    for i in kept[:50]:
        assert nearest(left, matrix[i])[0] == f"e{i}"
    nothing = left.changed({f"e{i}" for i in kept}, [], matrix[:0])
    assert nothing.near(matrix[:2], FLOOR) == {} and not len(nothing)


def test_a_small_change_shares_the_large_block(large) -> None:
    matrix, known = large
    more = known.changed((), facts(matrix[:1], 20_000), some(5, 1))
    assert more._blocks[Kind.FACT][0] is known._blocks[Kind.FACT][0]
    less = more.changed({"e7"}, [], matrix[:0])
    assert less._blocks[Kind.FACT][0].codes is known._blocks[Kind.FACT][0].codes
    assert nearest(less, matrix[7])[0] != "e7" and nearest(more, matrix[7])[0] == "e7"


def test_a_counterexample_makes_nothing_nearer() -> None:
    matrix = some(6, 2)
    known = StaticTable().changed((), [Row("f", Kind.FACT), Row("f", Kind.FACT, counter=True)], matrix)
    (found,) = known.near(matrix[1:], FLOOR)[Kind.FACT]
    assert found == {"f": pytest.approx(float(matrix[0] @ matrix[1]), abs=1e-5)}


def test_vectors_need_as_many_rows() -> None:
    with pytest.raises(ValueError, match="1 rows for 2 vectors"):
        StaticTable().changed((), [Row("f", Kind.FACT)], some(7, 2))
