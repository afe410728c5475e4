"""Numbers are the same however they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.numerals import numerals
from guard.words import words_of


def found(text: str) -> set[str]:
    return set(numerals(text, words_of(text))[0])


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("nineteen fifty-eight", {"1958"}),
        ("nineteen hundred and five", {"1905"}),
        ("twenty twenty-one", {"2021"}),
        ("One hundred and seventeen rooms", {"117"}),
        ("eighty-three metres", {"83"}),
        ("two hundred thousand", {"200000"}),
        ("seven or eight", {"7", "8"}),
        ("no one came", set()),
        ("7 May 1958", {"7", "month5", "1958"}),
        ("May 7th, 1958", {"7", "month5", "1958"}),
        ("1958-05-07", {"7", "month5", "1958"}),
        ("the seventh of May, nineteen fifty-eight", {"7", "month5", "1958"}),
        ("She may go in 1958", {"1958"}),
        ("42,000 crowns", {"42000"}),
        ("42000 crowns", {"42000"}),
        ("0471 558 203", {"471558203"}),
        ("1958-1961", {"1958", "1961"}),
        ("in the 20th century", {"20"}),
        ("tamarind-88", {"88"}),
        ("007", {"7"}),
        ("", set()),
    ],
)
def test_numbers_are_read_in_every_spelling(text: str, numbers: set[str]) -> None:
    assert found(text) == numbers


def test_the_words_of_a_number_are_named() -> None:
    text = "It has one hundred and seventeen rooms"
    _, taken = numerals(text, words_of(text))
    assert taken == {2, 3, 4, 5}


@given(st.integers(0, 10**9))
def test_digits_are_a_number_whatever_groups_them(value: int) -> None:
    assert found(f"It costs {value}.") == found(f"It costs {value:,}.") == {str(value)}


@given(st.text(max_size=80))
def test_any_text_has_its_places_among_its_words(text: str) -> None:
    words = words_of(text)
    numbers, taken = numerals(text, words)
    assert all(0 <= at < len(words) for at in taken)
    assert all(numbers)
