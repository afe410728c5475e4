"""Ids and the mappings by them behave as a set and a dictionary would, whatever was changed and packed on the way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy import Policy
from guard.verdict import Kind
from index.base import opened, pack
from index.ids import Ids
from index.layered import Codec, Layered
from index.rulebook import RuleBook

NAMES = st.text("abc\u00e9", min_size=1, max_size=4)


@given(st.sets(NAMES), st.sets(NAMES), st.lists(NAMES))
def test_ids_are_a_sorted_set(first: set[str], second: set[str], asked: list[str]) -> None:
    ids = Ids(first)
    assert ids[:] == sorted(first, key=str.encode)
    assert [name in ids for name in asked] == [name in first for name in asked]
    assert ids.find_all(asked).tolist() == [ids.find(name) for name in asked]
    both, mine, theirs = ids.merged(Ids(second))
    assert set(both[:]) == first | second
    assert [both[at] for at in mine.tolist()] == ids[:]
    assert [both[at] for at in theirs.tolist()] == Ids(second)[:]


TEXT = Codec(str.encode, bytes.decode)
STEPS = st.lists(st.tuples(st.sets(NAMES, max_size=3), st.dictionaries(NAMES, st.text(max_size=3)), st.booleans()))


@settings(deadline=None)
@given(STEPS)
def test_a_layered_mapping_is_a_dictionary(steps: list[tuple[set[str], dict[str, str], bool]]) -> None:
    layered, truth = Layered(TEXT), dict[str, str]()
    for removed, added, packs in steps:
        layered = layered.changed(removed, added)
        truth = {name: value for name, value in truth.items() if name not in removed} | added
        if packs:
            layered = layered.packed()
        assert dict(layered) == truth
        assert len(layered) == len(truth)
        assert all(name in layered for name in truth)
        assert not [name for name in removed - added.keys() if name in layered]


def test_rules_follow_their_policies_and_are_counted_by_kind() -> None:
    asked = {"a": (Kind.FACT, "p", "label"), "b": (Kind.FACT, "none such", ""), "c": (Kind.CONCEPT, "p", "")}
    book = RuleBook().changed((), asked, {})
    strict = Policy("p", refusal="No.")
    base = pack(1, book.changed(("c",), {}, {"p": strict}).packed())
    shared: RuleBook = opened(base)
    base.close()
    assert book.counts == {Kind.FACT: 2, Kind.CONCEPT: 1}
    assert shared.counts == {Kind.FACT: 2}
    assert (shared["a"].policy, shared["a"].label) == (strict, "label")
    assert shared["b"].policy == Policy("none such"), "an unknown policy is the default one by another name"
    assert {rule.policy.name for rule in shared.few} == {"p", "none such"}
    assert dict(book)["c"].kind is Kind.CONCEPT, "the book before stays as it was"
    again = shared.changed((), {"a": (Kind.PASSAGE, "p", "")}, {})
    assert again.counts == {Kind.FACT: 1, Kind.PASSAGE: 1} and len(again) == 2


def test_a_book_knows_an_entry_of_each_kind_whatever_is_removed() -> None:
    asked = {"a": (Kind.FACT, "p", ""), "b": (Kind.FACT, "p", ""), "c": (Kind.CONCEPT, "p", "")}
    book = RuleBook().changed((), asked, {}).packed()
    for gone in ("a", "b", "c"):
        book = book.changed((gone,), {}, {})
        assert book.examples.keys() == book.counts.keys()
        assert all(book[entry_id].kind is kind for kind, entry_id in book.examples.items())
    assert not book.examples
