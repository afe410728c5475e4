"""Names and numbers tell apart what embeddings confuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.names import agreement, mentions

ENTRY = mentions("When was Orla Venn born?", "Orla Venn was born in Tarsk on 7 May 1958.")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Orla Venn was born in Tarsk on 07 May 1958.", {"orla", "venn", "tarsk", "7", "may", "1958"} - {"may"}),
        ("The river is long. It is cold.", set()),
        ("Great rivers flow.", set()),
        ("Great Venn rivers flow.", {"great", "venn"}),
        ("He met Anne-Marie Du\u0161ek's aunt.", {"anne", "marie", "dusek"}),
    ],
)
def test_names_and_numbers_are_found(text: str, names: set[str]) -> None:
    assert mentions(text).names == names


def test_the_same_subject_agrees_and_another_does_not() -> None:
    same = agreement(ENTRY, mentions("Venn, whose first name is Orla, came into the world in Tarsk in 1958."))
    other = agreement(ENTRY, mentions("Pavel Dorr was born in Lund on 9 June 1961."))
    assert same == 1.0
    assert other == 0.0


def test_small_letters_still_agree() -> None:
    assert agreement(ENTRY, mentions("orla venn was born in tarsk on 7 may 1958")) == 1.0


def test_nothing_is_concluded_where_there_are_no_names() -> None:
    assert agreement(mentions("he likes tea"), ENTRY) == 1.0
    assert agreement(ENTRY, mentions("he likes tea")) == 0.5


@given(st.text(max_size=60), st.text(max_size=60))
def test_agreement_is_a_share(first: str, second: str) -> None:
    assert 0.0 <= agreement(mentions(first), mentions(second)) <= 1.0
    assert agreement(mentions(first), mentions(first)) == 1.0
