"""A vector table answers as an exhaustive search would, whatever was written and removed on the way."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.verdict import Kind
from index import inverted, vectors
from index.base import opened, pack
from index.nearest import FlatRows
from index.vectors import Row, VectorTable

D = 8


def unit(seed: int, n: int) -> np.ndarray:
    matrix = np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def rows(entry_id: str, n: int) -> list[Row]:
    return [Row(entry_id, Kind.FACT, counter=i % 3 == 2) for i in range(n)]


def in_one_base(table: VectorTable) -> VectorTable:
    """What another process sees: the table out of shared memory."""
    base = pack(1, table)
    found: VectorTable = opened(base)
    base.close()
    return found


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 12), st.integers(1, 40)),
        st.tuples(st.just("remove"), st.integers(0, 12), st.just(0)),
        st.tuples(st.sampled_from(["compact", "fold", "share"]), st.just(0), st.just(0)),
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
        elif what == "fold":
            table = table.folded()
        elif what == "share":
            table = in_one_base(table)
        elif what == "remove":
            table = table.changed([name], [], np.zeros((0, D), dtype=np.float32))
            truth.pop(name, None)
        else:
            matrix = unit(seed, n)
            table = table.changed([name], rows(name, n), matrix)
            truth[name] = matrix
    assert len(table) == sum(len(m) for m in truth.values())
    queries = unit(99, 3)
    off = 1e-5 if table.exact else 1e-3  # an inverted file keeps half precision
    for query, hits in zip(queries, table.search(queries, floor), strict=True):
        expected = sorted((float(v @ query) for m in truth.values() for v in m), reverse=True)
        found = [hit.cosine for hit in hits]
        assert found == sorted(found, reverse=True)
        enough = max(min(len(expected), vectors.FIRST), sum(c >= floor + off for c in expected))
        assert len(found) >= enough
        np.testing.assert_allclose(found[:enough], expected[:enough], atol=off)
        for hit in hits:
            assert any(abs(float(v @ query) - hit.cosine) < off for v in truth[hit.row.entry_id])


@pytest.fixture(scope="module")
def monkeypatch_small():
    """A base is made of few rows, and an inverted file of not many more, so that small examples reach both."""
    patch = pytest.MonkeyPatch()
    patch.setattr(vectors, "SMALLEST_OVERLAY", 20)
    patch.setattr(inverted, "FEWEST", 60)
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


def test_a_large_table_is_folded_into_an_inverted_file_and_answers_as_before(monkeypatch_small) -> None:
    table = VectorTable.built([Row(f"e{i // 3}", Kind.FACT, i % 3 == 2) for i in range(300)], unit(1, 300))
    assert table.exact and table.needs_folding
    folded = in_one_base(table.folded())
    assert not folded.exact and not folded.needs_folding
    ours, others = (t.vectors_of("e7")[np.argsort(t.vectors_of("e7")[:, 0])] for t in (table, folded))
    np.testing.assert_allclose(ours, others, atol=1e-3)
    mine, theirs = (sorted(t.rows_of(unit(2, 2), ["e7", "e8"]), key=lambda h: h.cosine) for t in (table, folded))
    assert [hit.row for hit in mine] == [hit.row for hit in theirs]
    after = folded.changed(["e7"], [Row("new", Kind.CONCEPT)], unit(5, 1))
    assert not after.rows_of(unit(2, 1), ["e7"]) and not len(after.vectors_of("e7"))
    assert {hit.row.entry_id for hit in after.search(unit(5, 1), 0.99)[0] if hit.cosine > 0.99} == {"new"}
    again = after.folded()
    assert len(again) == len(after) == 298
    assert all(hit.row.entry_id != "e7" for hit in again.search(unit(1, 300)[21:22], -1.0)[0])


def test_an_inverted_file_gives_at_most_so_many_rows_above_the_floor(monkeypatch_small) -> None:
    matrix = np.tile(unit(1, 1), (1000, 1))
    table = VectorTable.built([Row(f"e{i}", Kind.FACT) for i in range(1000)], matrix)
    assert len(table.search(matrix[:1], 0.9)[0]) == 1000
    assert len(table.folded().search(matrix[:1], 0.9)[0]) == vectors.MOST


def test_a_table_over_a_base_that_is_there_already_knows_whose_its_rows_are() -> None:
    matrix = unit(1, 40)
    table = VectorTable.over(FlatRows(matrix), [Row(f"e{i // 2}", Kind.FACT, i % 2 == 1) for i in range(40)])
    (best, *_), *_ = table.search(matrix[7:8], 0.99)
    assert best.row == Row("e3", Kind.FACT, counter=True) and len(table) == 40
    np.testing.assert_allclose(table.vectors_of("e3"), matrix[6:7])
    with pytest.raises(ValueError, match="1 rows for 40 vectors"):
        VectorTable.over(FlatRows(matrix), [Row("a", Kind.FACT)])
