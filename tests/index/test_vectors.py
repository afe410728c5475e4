"""A vector table answers as an exhaustive search would, whatever was written and removed on the way."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.verdict import Kind
from index import vectors
from index.vectors import Row, VectorTable

D = 8


def unit(seed: int, n: int) -> np.ndarray:
    matrix = np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def rows(entry_id: str, n: int) -> list[Row]:
    return [Row(entry_id, Kind.FACT, counter=i % 3 == 2) for i in range(n)]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 12), st.integers(1, 40)),
        st.tuples(st.just("remove"), st.integers(0, 12), st.just(0)),
        st.tuples(st.just("compact"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.floats(-0.5, 0.95))
def test_it_finds_what_an_exhaustive_search_finds(monkeypatch_small, steps, floor) -> None:
    table, truth = VectorTable(D), {}
    for seed, (what, number, n) in enumerate(steps):
        name = f"e{number}"
        if what == "compact":
            table = table.compacted()
        elif what == "remove":
            table = table.changed([name], [], np.zeros((0, D), dtype=np.float32))
            truth.pop(name, None)
        else:
            matrix = unit(seed, n)
            table = table.changed([name], rows(name, n), matrix)
            truth[name] = matrix
    assert len(table) == sum(len(m) for m in truth.values())
    queries = unit(99, 3)
    for query, hits in zip(queries, table.search(queries, floor), strict=True):
        expected = sorted((float(v @ query) for m in truth.values() for v in m), reverse=True)
        found = [hit.cosine for hit in hits]
        assert found == sorted(found, reverse=True)
        enough = max(min(len(expected), vectors.FIRST), sum(c >= floor + 1e-5 for c in expected))
        assert len(found) >= enough
        np.testing.assert_allclose(found[:enough], expected[:enough], atol=1e-5)
        for hit in hits:
            assert any(abs(float(v @ query) - hit.cosine) < 1e-5 for v in truth[hit.row.entry_id])


@pytest.fixture(scope="module")
def monkeypatch_small():
    """A base is made of few rows, so that small examples reach it."""
    patch = pytest.MonkeyPatch()
    patch.setattr(vectors, "SMALLEST_OVERLAY", 20)
    yield
    patch.undo()


def test_a_change_leaves_the_table_before_it_as_it_was() -> None:
    before = VectorTable.built(rows("a", 3000), unit(1, 3000))
    after = before.changed(["a"], rows("b", 2), unit(2, 2))
    query = unit(3, 1)
    assert {hit.row.entry_id for hit in before.search(query, 1.0)[0]} == {"a"}
    assert {hit.row.entry_id for hit in after.search(query, -1.0)[0]} == {"b"}
    assert (len(before), len(after)) == (3000, 2)


def test_compacting_is_asked_for_when_the_overlay_or_the_dead_are_many() -> None:
    table = VectorTable.built([Row(f"e{i}", Kind.FACT) for i in range(4000)], unit(1, 4000))
    assert not table.needs_compacting
    grown = table.changed([], rows("b", 2100), unit(2, 2100))
    assert grown.needs_compacting and not grown.compacted().needs_compacting
    thinned = table.changed([f"e{i}" for i in range(1500)], [], unit(2, 0))
    assert thinned.needs_compacting and len(thinned.compacted()) == 2500


def test_an_empty_table_finds_nothing() -> None:
    assert VectorTable(D).search(unit(1, 2), 0.0) == [[], []]


def test_rows_and_vectors_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="2 rows for 3 vectors"):
        VectorTable.built(rows("a", 2), unit(1, 3))


def test_searches_on_many_threads_agree() -> None:
    table = VectorTable.built(rows("a", 5000), unit(1, 5000)).changed([], rows("b", 50), unit(2, 50))
    queries = unit(3, 20)
    expected = table.search(queries, 0.9)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(table.search(queries, 0.9))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answer == expected for answer in answers)
