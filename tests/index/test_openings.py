"""Openings: how statements begin, kept small, found by name or by nearness, and gone with their entry."""

from __future__ import annotations

import numpy as np
import pytest

from guard.segments import DEFAULT_RULE
from guard.verdict import Kind
from index.entry import Content
from index.openings import (
    LENGTHS,
    MOST_NAMED,
    Opened,
    OpeningTable,
    codes_of,
    from_bytes,
    no_openings,
    openings_of,
    to_bytes,
    vectors_of,
)

LONG = "Basil Orsk was born in the village of Tern and kept the nine green lamps of its harbour for forty years."


def opened(model, entry_id: str, *texts: str, names: tuple[int, ...] = ()) -> Opened:
    return Opened(entry_id, codes_of(model.encode(list(texts))), names)


def test_a_fact_opens_with_ever_more_of_its_words() -> None:
    found = openings_of(Kind.FACT, Content(LONG), DEFAULT_RULE)
    words = found[-1].split()
    assert [len(text.split()) for text in found] == [n for n in LENGTHS if n < len(words)] + [len(words)]
    assert all(" ".join(words[: len(text.split())]) == text for text in found)
    assert "basil orsk was born" in found


def test_a_passage_is_kept_whole_and_a_concept_not_at_all() -> None:
    assert openings_of(Kind.PASSAGE, Content("Nine green lamps."), DEFAULT_RULE) == ["nine green lamps"]
    assert openings_of(Kind.CONCEPT, Content(LONG), DEFAULT_RULE) == []


def test_bytes_keep_what_they_are_made_of(static_model) -> None:
    vectors = static_model.encode([LONG, "Nine green lamps."])
    codes = codes_of(vectors)
    np.testing.assert_array_equal(from_bytes(to_bytes(codes)), codes)
    assert from_bytes(to_bytes(no_openings())).shape == (0, 0)
    assert (vectors_of(codes) * vectors).sum(axis=1).min() > 0.999


@pytest.mark.parametrize("count", [100, 1000], ids=["compared one by one", "in an inverted file"])
def test_the_nearest_is_found_and_is_gone_with_its_entry(static_model, count) -> None:
    others = [opened(static_model, f"o{i}", f"the {i} ferries of {i}", f"lamp {i} burns") for i in range(count)]
    table = OpeningTable().changed((), [*others, opened(static_model, "f", "basil orsk was born")])
    (query,) = static_model.encode(["basil orsk was born"])
    assert table.best(query) > 0.99 and len(table) == count + 1
    without = table.changed({"f"}, ())
    assert without.best(query) < 0.9 and "f" not in without.entries and table.best(query) > 0.99
    assert without.changed({"f"}, [opened(static_model, "f", "basil orsk was born")]).best(query) > 0.99


def test_a_name_finds_its_entries_unless_many_share_it(static_model) -> None:
    few = [opened(static_model, f"e{i}", f"lamp {i}", names=(7, i)) for i in range(100, 100 + MOST_NAMED)]
    table = OpeningTable().changed((), few[:-1]).changed((), few[-1:])
    assert {entry.entry_id for entry in table.named(7)} == {entry.entry_id for entry in few}
    assert [entry.entry_id for entry in table.named(100)] == ["e100"] and not table.named(8)
    assert not table.changed({"e100"}, ()).named(100)
    assert not table.changed((), [opened(static_model, "one more", "lamp", names=(7,))]).named(7)


def test_many_small_changes_leave_few_blocks_and_the_same_answers(static_model) -> None:
    texts = [f"the keeper counted {i} lamps" for i in range(60)]
    table = OpeningTable()
    for i, text in enumerate(texts):
        table = table.changed({f"e{i - 3}"} if i % 2 else (), [opened(static_model, f"e{i}", text, names=(i,))])
    assert len(table._blocks) <= 8
    gone = {i - 3 for i in range(60) if i % 2}
    assert table.entries == {f"e{i}" for i in range(60)} - {f"e{i}" for i in gone}
    assert all(bool(table.named(i)) == (i not in gone) for i in range(60))


def test_a_namespace_with_too_many_has_none(static_model) -> None:
    table = OpeningTable(most=3).changed((), [opened(static_model, f"e{i}", "lamp") for i in range(3)])
    assert len(table) == 3
    full = table.changed((), [opened(static_model, "e3", "lamp")])
    assert len(full) == 0 and len(full.changed((), [opened(static_model, "e4", "lamp")])) == 0
