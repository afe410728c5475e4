"""The ledger at rest: bits that writers join, without text, gone with their entry and with their time."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.claims import NOTHING_CLAIMED, term_of
from guard.ledger import PLACES, Row
from guard.policy import LedgerRule, Policy
from guard.units import FEWEST_SENTENCES, LEAST_OF_PASSAGE, MOST_SHARING, Extent
from guard.verdict import Kind
from guard.words import words_of
from index.claims import from_bytes, to_bytes
from index.entry import Draft
from index.ledger_rows import Post
from index.sqlite import SQLiteStore
from index.store import Store
from index.units import ordinary_terms
from tests.index.test_snapshot import PASSAGE, World
from tests.index.test_store import record

HIGHEST = 1 << (PLACES - 1)


def post(entry_id: str = "a", bits: int = 1, until: float = 100.0, account: str = "one") -> Post:
    return Post(account, Row(entry_id, until, bits))


def test_what_is_added_comes_back(store: Store) -> None:
    store.add([record("a"), record("b")])
    store.add_ledger([post("a", HIGHEST | 5), post("b", 1 << 64)])
    assert set(store.ledger_of("one", 0.0)) == {Row("a", 100.0, HIGHEST | 5), Row("b", 100.0, 1 << 64)}
    assert store.ledger_of("another", 0.0) == []


def test_rows_of_several_writers_are_joined(store: Store) -> None:
    store.add([record("a")])
    places = range(0, PLACES, 37)
    writers = [threading.Thread(target=store.add_ledger, args=([post(bits=1 << place)],)) for place in places]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    store.add_ledger([post(bits=1)])
    assert store.ledger_of("one", 0.0) == [Row("a", 100.0, sum(1 << place for place in places))]


def test_what_was_written_after_a_number_is_told_with_the_number_of_now(store: Store) -> None:
    store.add([record("a"), record("b")])
    first, none = store.ledger_since(-1)
    assert none == ()
    store.add_ledger([post("a")])
    second, found = store.ledger_since(first)
    assert list(found) == [post("a")]
    assert store.ledger_since(second) == (second, ())
    store.add_ledger([post("b", 2, account="two")])
    assert list(store.ledger_since(second)[1]) == [post("b", 2, account="two")]


def test_rows_are_gone_with_their_entry(store: Store) -> None:
    store.add([record("a"), record("b")])
    store.add_ledger([post("a"), post("b")])
    store.remove("ns", "a")
    assert [row.entry_id for row in store.ledger_of("one", 0.0)] == ["b"]


def test_nothing_is_kept_of_an_entry_that_is_gone(store: Store) -> None:
    store.add([record("a"), record("b")])
    store.remove("ns", "a")
    store.add_ledger([post("a"), post("b"), post("never was")])
    assert [row.entry_id for row in store.ledger_of("one", 0.0)] == ["b"]


def test_rows_that_have_lapsed_are_not_told_and_are_deleted(store: Store) -> None:
    store.add([record("a")])
    store.add_ledger([post(until=100.0), post(until=200.0)])
    assert [row.until for row in store.ledger_of("one", 150.0)] == [200.0]
    assert store.forget_ledger(150.0) == 1
    assert [row.until for row in store.ledger_of("one", 0.0)] == [200.0]


def test_a_store_that_is_opened_again_still_knows(path: Path) -> None:
    before = SQLiteStore(path)
    before.add([record("a")])
    before.add_ledger([post(bits=HIGHEST)])
    before.close()
    after = SQLiteStore(path)
    assert after.ledger_of("one", 0.0) == [Row("a", 100.0, HIGHEST)]
    after.close()


# -- the units of real entries ----------------------------------------------------------------------------------------

FACTS = "Ada Quillon was born in Vellmar. Osric repaired organs. She studied ice. She won medals. Haldane married her."


@pytest.fixture
def own(embedder, sealer, shingler) -> World:
    return World(embedder, sealer, shingler)


def units(world: World):
    found = world.snapshot.view("ns").units
    assert found is not None
    return found


def test_a_passage_is_found_by_three_of_its_words_and_is_as_long_as_it_is(own: World, shingler) -> None:
    (entry_id,) = own.add(Draft(Kind.PASSAGE, PASSAGE))
    norms = [word.norm for word in words_of(PASSAGE)]
    three = shingler.digest(norms[2:5])
    assert units(own).continues(three) and units(own).passages(three) == [entry_id]
    assert not units(own).passages(shingler.digest([norms[1], norms[3], norms[4]]))
    size, least = units(own).extent(entry_id, Kind.PASSAGE)
    assert abs(size - len(norms)) <= 1 and least == LEAST_OF_PASSAGE


def test_what_very_many_share_tells_none_of_them_apart(own: World, shingler) -> None:
    own.add(*(Draft(Kind.PASSAGE, f"{PASSAGE} number {i}") for i in range(MOST_SHARING + 1)))
    assert units(own).passages(shingler.digest(["lamp", "keeper", "of"])) is None


@pytest.mark.parametrize(
    ("label", "prompt"), [("Ada Quillon", ""), ("", "Who was Ada Quillon?"), ("case 7", "")], ids=str
)
def test_a_fact_of_many_sentences_is_counted_by_them_and_knows_its_subject(
    own: World, shingler, label: str, prompt: str
) -> None:
    (entry_id,) = own.add(Draft(Kind.FACT, FACTS, prompt, label=label))
    told = units(own).fact(entry_id)
    assert told is not None and told.extent == Extent(FEWEST_SENTENCES, 1)
    assert {entry_id} == units(own).known("ada").names == units(own).known("quillon").names
    tells = [told.told_by([shingler.digest((term_of(word),))]) for word in ("organs", "haldane", "medals", "ada")]
    assert [bool(found) for found in tells] == [True, True, True, False]
    assert len({found[0] for found in tells[:3]}) == 3


def test_a_brief_fact_is_counted_by_its_terms(own: World, shingler) -> None:
    (entry_id,) = own.add(Draft(Kind.FACT, "Ada Quillon was born in Vellmar in 1931.", "Where was Ada Quillon born?"))
    told = units(own).fact(entry_id)
    assert told is not None and told.sentences is None and told.extent.least is None
    assert {shingler.digest((term,)) for term in ("vellma", "1931")} == set(told.units)


def test_a_removed_entry_has_no_units(own: World, shingler) -> None:
    kept, gone = own.add(Draft(Kind.FACT, FACTS, "Who was Ada Quillon?"), Draft(Kind.PASSAGE, PASSAGE))
    own.remove(gone)
    assert units(own).passages(shingler.digest(["lamp", "keeper", "of"])) in ((), [])
    own.remove(kept)
    assert own.snapshot.view("ns").units is None


def test_where_no_policy_sets_a_share_nothing_is_counted(own: World) -> None:
    own.add(Draft(Kind.PASSAGE, PASSAGE))
    own.put(Policy(ledger=LedgerRule(share=1.0)))
    assert own.snapshot.view("ns").units is None


def test_terms_of_ordinary_exchanges_tell_nothing(shingler) -> None:
    ordinary = ordinary_terms(shingler)
    assert {shingler.digest((term_of(word),)) for word in ("the", "water", "people", "work")} <= ordinary
    assert shingler.digest(("kongsf",)) not in ordinary


hashes = st.frozensets(st.integers(0, 2**64 - 1), max_size=5)


@given(st.lists(hashes, max_size=4))
def test_the_sentences_of_claims_come_back_as_they_were_kept(parts: list[frozenset[int]]) -> None:
    kept = replace(NOTHING_CLAIMED, parts=tuple(parts))
    assert from_bytes(to_bytes(kept)) == kept


@given(st.lists(hashes, min_size=1, max_size=3), st.data())
def test_claims_that_were_cut_short_are_refused(parts: list[frozenset[int]], data: st.DataObject) -> None:
    whole = to_bytes(replace(NOTHING_CLAIMED, parts=tuple(parts)))
    cut = data.draw(st.integers(1, len(whole) - 1))
    try:
        found = from_bytes(whole[:cut])
    except ValueError:
        return
    assert len(found.parts) < len(parts)


def test_claims_that_were_kept_before_there_were_sentences_are_read() -> None:
    before = bytes([1]) + to_bytes(NOTHING_CLAIMED)[1:]
    assert from_bytes(before) == NOTHING_CLAIMED
