"""Threads run through a text in each order, and are mended where writers count words otherwise."""

from __future__ import annotations

import pytest

from guard.disorder import History, Order, reach
from guard.fingerprint import (
    SHINGLE_WORDS,
    SHORTEST_DISORDERED,
    SHORTEST_MENDED,
    FingerprintWatcher,
    Shingler,
    fingerprint,
)
from guard.letters import joined
from guard.verdict import Kind
from guard.words import words_of
from index.shingles import Print, ShingleTable

SHINGLER = Shingler(b"0123456789abcdef")
PASSAGE = "the keeper's lamp didn't answer him when well-known ships came by night and he didn't see them"


def table_of(text: str) -> ShingleTable:
    """A table of one passage, with shingles of the usual length."""
    known = fingerprint(text, SHINGLER)
    assert known is not None
    return ShingleTable([Print.of("p", Kind.PASSAGE, known)])


TABLE = table_of(PASSAGE)


def filled(text: str, fillers: list[str]) -> str:
    """What stands between blanks, with as many fillers behind each."""
    return " ".join(f"{word} {' '.join(fillers)}" for word in text.split())


@pytest.mark.parametrize(
    ("view", "text"),
    [
        ("reversed words", " ".join(reversed(PASSAGE.split()))),
        ("every 2nd word", filled(PASSAGE, ["rain"])),
        ("every 3rd word", filled(PASSAGE, ["rain", "falls"])),
    ],
)
def test_what_stands_between_blanks_counts_as_one_word(view: str, text: str) -> None:
    """Nearly all of the passage is seen, though some of what stands between blanks is two words."""
    watcher = FingerprintWatcher(TABLE, SHINGLER)
    spans = joined([(m.start, m.end) for word in words_of(text) for m in watcher.push(word) if m.view == view])
    assert sum(end - start for start, end in spans) > 0.8 * len(text)


@pytest.mark.parametrize("filler", ["rain", "rain-fall", "-", "it's"])
def test_a_filler_may_be_two_words_or_none(filler: str) -> None:
    words = PASSAGE.replace("'", "").replace("-", "").split()
    run = [word for pair in zip(words, ["rain"] * 5 + [filler] + ["rain"] * 9, strict=False) for word in pair]
    watcher = FingerprintWatcher(table_of(" ".join(words)), SHINGLER)
    ends = [m.end for word in words_of(" ".join(run)) for m in watcher.push(word) if m.view == "every 2nd word"]
    assert len(set(ends)) == len(words) - SHINGLE_WORDS + 1 - (len(words) - len(run) // 2)


def numbers(order: Order, text: str) -> list[list[int]]:
    """The threads that are open after each word."""
    history = History(40)
    for word in words_of(text):
        terms = SHINGLER.terms(word.norm)
        history.add(word, terms if TABLE.continues(terms.alone) else None)
        order.push(history, TABLE, SHINGLER)
    return order.threads


def test_a_thread_is_three_words_and_ends_when_no_word_can_continue_it() -> None:
    assert numbers(Order("", 2, False, 8), "lamp rain didn rain") == []
    assert numbers(Order("", 2, False, 8), "lamp rain didn rain t") == [[0, 2, 4]]
    assert numbers(Order("", 2, False, 8), "lamp rain didn rain t rain answer") == [[0, 2, 4, 6]]
    assert numbers(Order("", 2, False, 8), "lamp rain didn rain t" + " zebra" * (reach(2) - 1)) == [[0, 2, 4]]
    assert numbers(Order("", 2, False, 8), "lamp rain didn rain t" + " zebra" * reach(2)) == []


def test_a_thread_keeps_no_more_than_it_may() -> None:
    assert numbers(Order("", 1, True, 4), "him answer t didn lamp") == [[1, 2, 3, 4]]


def test_threads_that_end_alike_are_one() -> None:
    """However often a text repeats itself, only few threads are open."""
    table = table_of("no no no no no no")
    order, history = Order("", 3, False, 8), History(40)
    for word in words_of("no " * 200):
        history.add(word, SHINGLER.terms(word.norm))
        order.push(history, table, SHINGLER)
        assert len(order.threads) <= reach(3) ** 2
    assert all(len(thread) == 8 for thread in order.threads)


def test_two_words_left_in_their_order_are_mended_only_where_both_fit() -> None:
    assert numbers(Order("", 1, True, 8), "when him answer didn t lamp")[0] == [0, 1, 2, 4, 3, 5]
    assert [0, 1, 2, 4] not in numbers(Order("", 1, True, 8), "when him answer zebra t")


@pytest.mark.parametrize("count", range(SHORTEST_DISORDERED - 1, SHORTEST_MENDED + 1))
def test_a_short_passage_is_found_at_one_distance_only(count: int) -> None:
    words = ["lamp", "keeper", "ships", "came", "by", "night"][:count]
    table = table_of(" ".join(words))

    def views(text: str) -> set[str]:
        watcher = FingerprintWatcher(table, SHINGLER)
        return {m.view for word in words_of(text) for m in watcher.push(word)}

    even = " zebra ".join(words)
    assert views(even) == ({"every 2nd word"} if count >= SHORTEST_DISORDERED else set())
    uneven = f"{' zebra '.join(words[:3])} zebra rain {' zebra '.join(words[3:])}"
    assert views(uneven) == ({"every 2nd word"} if count >= SHORTEST_MENDED else set())
