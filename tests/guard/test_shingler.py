"""Hashes of runs are equal for equal runs only, depend on the key, and tell nothing of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.shingler import _LONGEST_KEPT, _MOST_KEPT, Shingler

SHINGLER = Shingler(b"0123456789abcdef")
RUNS = st.lists(st.text(st.sampled_from("ab\u4e16\ud800"), min_size=1, max_size=3), min_size=1, max_size=6)


@given(RUNS, RUNS)
def test_runs_have_the_same_hash_when_they_are_the_same(one: list[str], other: list[str]) -> None:
    assert (SHINGLER.digest(one) == SHINGLER.digest(other)) == (one == other)


@given(RUNS)
def test_a_hash_depends_on_order_number_parting_and_key(run: list[str]) -> None:
    digest = SHINGLER.digest(run)
    assert 0 <= digest < 2**64
    assert digest == Shingler(SHINGLER.key).digest(run), "another process gets the same"
    assert digest not in (SHINGLER.digest(run + run), SHINGLER.digest([*run, "b"]), SHINGLER.digest(["b", *run]))
    if run != run[::-1]:
        assert digest != SHINGLER.digest(run[::-1])
    if len(run) > 1:
        assert digest != SHINGLER.digest(["".join(run)])
    assert digest != Shingler(b"another key, 32 bytes long......").digest(run)


@given(st.lists(st.sampled_from(["the", "lamp", "of", "orsk"]), min_size=3, max_size=3))
def test_short_runs_have_a_shorter_way_to_the_same_hash(run: list[str]) -> None:
    first, middle, last = (SHINGLER.terms(word) for word in run)
    assert SHINGLER.three(first, middle, last) == SHINGLER.digest(run)
    assert SHINGLER.two(middle, last) == SHINGLER.digest(run[1:])
    assert last.alone == SHINGLER.digest(run[2:])


def test_first_bits_are_spread_evenly() -> None:
    """Tables find a hash by its first bits."""
    buckets = [0] * 16
    for n in range(4000):
        buckets[SHINGLER.digest([str(n), "lamp"]) >> 60] += 1
    assert min(buckets) > 150 and max(buckets) < 350


def test_few_words_are_kept_and_forgetting_them_changes_nothing() -> None:
    shingler = Shingler(b"0123456789abcdef")
    before = [shingler.digest(["lamp", "keeper"]), shingler.digest(["x" * (_LONGEST_KEPT + 1)])]
    assert set(shingler._terms) == {"lamp", "keeper"}
    for n in range(_MOST_KEPT + 10):
        shingler.id(str(n))
    assert len(shingler._terms) <= _MOST_KEPT
    assert [shingler.digest(["lamp", "keeper"]), shingler.digest(["x" * (_LONGEST_KEPT + 1)])] == before


def test_a_shingler_shows_neither_its_key_nor_what_it_read() -> None:
    SHINGLER.digest(["vermillionne"])
    assert repr(SHINGLER) == "Shingler()"
    with pytest.raises(ValueError, match="16 to 64"):
        Shingler(b"short")
