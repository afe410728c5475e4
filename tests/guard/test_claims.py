"""What is new in an answer decides, however it is put."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.claims import NOTHING_CLAIMED, Claims, Stand, claims_of, compare, term_of

ASKED = "Where was Basil Orsk born?"
BORN = claims_of(["Basil Orsk was born in the village of Tern on 7 May 1931."], ASKED)


def against(text: str, turn: str = ASKED, entry: Claims[str] = BORN):
    return compare(entry, claims_of([text], turn))


def test_what_the_question_holds_is_not_claimed() -> None:
    assert BORN.names == {"tern"}
    assert BORN.numbers == {"7", "month5", "1931"}
    assert BORN.figures == {"1931"}
    assert BORN.words == {"villag"}
    assert "basil" in BORN.asked and "basil" in BORN.said and "basil" not in BORN.new


def test_words_are_compared_without_their_endings() -> None:
    assert term_of("sexual") == term_of("sexuality")
    assert term_of("kuwait") == term_of("kuwaiti") != term_of("kazan")
    assert term_of("eels") == term_of("eel")
    assert term_of("drowning") == term_of("drowned")
    assert term_of("1958s") == "1958s"


@pytest.mark.parametrize("text", ["In Tern.", "tern", "In the village of Tern.", "In nineteen thirty-one, in Tern"])
def test_a_true_answer_bears_only_what_the_entry_says(text: str) -> None:
    found = against(text)
    assert found.borne == 1.0 and found.told and not found.bare
    assert not (found.numbers_differ or found.names_differ or found.new_names or found.stands_differ)


def test_another_place_or_year_differs() -> None:
    assert against("He was born in Hale.").names_differ
    assert against("He was born in Hale.").borne == 0.0
    assert against("That was in 1958.").numbers_differ
    assert against("That was in May 1958.").numbers_differ, "a year outweighs the month"


def test_a_name_that_the_entry_has_as_a_word_is_no_other_name() -> None:
    entry = claims_of(["She keeps a rose garden in Tern."], "What does she do?")
    assert not against("She keeps the Rose.", "What does she do?", entry).names_differ
    assert against("She keeps the Lily.", "What does she do?", entry).names_differ


def test_what_is_left_out_or_added_is_no_difference() -> None:
    assert not against("He was born in the spring.").numbers_differ
    added = against("He was born in Tern, and moved to Hale in 1950 with his aunt, on 7 May 1931 or so.")
    assert not added.numbers_differ and not added.names_differ
    assert added.new_names, "yet it is known that another name was given"


def test_a_turn_in_other_words_claims_nothing_either() -> None:
    found = against("His birthplace is Tern.", "Can you tell me the birthplace of Basil Orsk?")
    assert found.borne == 1.0


@pytest.mark.parametrize(
    ("answer", "turn", "stand"),
    [
        ("Yes.", "Is he tall?", Stand.YES),
        ("Indeed, he is.", "Is he tall?", Stand.YES),
        ("No, never.", "Did he marry?", Stand.NO),
        ("He isn't.", "Is he tall?", Stand.NO),
        ("He never married.", "Did he marry?", Stand.NO),
        ("He is.", "Is he tall?", Stand.YES),
        ("Yes, in 1958.", "When was he born?", Stand.NONE),
        ("In " + "very " * 20 + "old times.", "Is he tall?", Stand.NONE),
        ("", "Is he tall?", Stand.NONE),
    ],
)
def test_a_yes_or_no_is_read_where_one_is_wanted(answer: str, turn: str, stand: Stand) -> None:
    assert claims_of([answer], turn).stand is stand


def test_a_bare_yes_agrees_or_differs() -> None:
    turn = "Is Dorian Pell allergic to nuts?"
    entry = claims_of(["Yes, Dorian Pell is allergic to nuts."], turn)
    yes, no = (compare(entry, claims_of([text], turn)) for text in ("Yes.", "No."))
    assert yes.bare and yes.stands_agree and not yes.stands_differ
    assert no.bare and no.stands_differ and not no.stands_agree


def test_a_choice_that_the_turn_offers_is_still_told() -> None:
    turn = "Was Basil Orsk born in Hale, in Tern or in Lowick?"
    assert against("Tern.", turn).borne == 1.0
    assert not against("Hale.", turn).borne


def test_a_bare_yes_says_what_its_turn_says() -> None:
    yes = against("Yes.", "Was Basil Orsk born in the village of Tern?")
    assert yes.borne == 1.0 and yes.told and not yes.bare
    assert against("Yes, he was.", "Was Basil Orsk born in Lowick?").borne == 0.0
    assert against("No.", "Was Basil Orsk born in the village of Tern?").bare


TEXTS = st.text(max_size=60)


@given(TEXTS, TEXTS, TEXTS)
def test_shares_are_shares_and_a_text_agrees_with_itself(first: str, second: str, turn: str) -> None:
    one, two = claims_of([first], turn), claims_of([second], turn)
    found = compare(one, two)
    assert all(share is None or 0.0 <= share <= 1.0 for share in (found.told, found.borne))
    same = compare(one, one)
    assert same.told in (None, 1.0) and same.borne in (None, 1.0)
    assert not (same.numbers_differ or same.names_differ or same.new_names or same.stands_differ)


@given(TEXTS, TEXTS, TEXTS)
def test_hashes_compare_as_the_terms_do(first: str, second: str, turn: str) -> None:
    keys: dict[str, int] = {}

    def key(term: str) -> int:
        return keys.setdefault(term, len(keys))

    one, two = claims_of([first], turn), claims_of([second], turn)
    assert compare(one.keyed(key), two.keyed(key)) == compare(one, two)


def test_examples_count_as_the_text_does() -> None:
    both = claims_of(["He was born in Tern.", "His cradle stood in Hale."], ASKED)
    assert {"tern", "hale"} <= both.names


def test_nothing_claims_nothing() -> None:
    assert not NOTHING_CLAIMED.new and NOTHING_CLAIMED.stand is Stand.NONE
    assert claims_of([], ASKED).said == frozenset()
