"""Every dress is taken off, with places that point to where the passage stood; plain prose has no readings."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.dresses import DRESSES
from guard.reading import LONGEST, Reading, is_lettered, readings
from guard.words import words_of
from tests.guard.dressed import AFTER, BEFORE, PASSAGES, PROSE, any_shows, shows, span

# Acrostics run over many segments and are read by the lattice; the others are read as words without any reading, or
# words come in an order that only hashes of pairs see.
ACROSTIC = {name for name in DRESSES if name.startswith("acrostic")}
WORDS_AT_ONCE = {
    name for name in DRESSES if any_shows(PASSAGES[0], [("plain", BEFORE + DRESSES[name](PASSAGES[0]) + AFTER)])
}


@pytest.mark.parametrize("name", sorted(set(DRESSES) - ACROSTIC - WORDS_AT_ONCE))
@pytest.mark.parametrize("passage", PASSAGES, ids=["lamp", "letters"])
def test_each_dress_is_taken_off_where_it_stands(name: str, passage: str) -> None:
    dressed = DRESSES[name](passage)
    text = f"{BEFORE}{dressed}{AFTER}"
    found = [r for r in readings(text) if shows(passage, r.view, r.text)]
    assert found, f"no reading of {name} shows the passage"
    for reading in found:
        start, end = where(passage, reading)
        assert len(BEFORE) - 2 <= start < end <= len(BEFORE) + len(dressed) + 2


def where(passage: str, reading: Reading) -> tuple[int, int]:
    """The span of the words of a reading that are the passage's, or of all of it where letters were found."""
    norms = [word.norm for word in words_of(passage)]
    words = words_of(reading.text)
    for at in range(len(words) - 7):
        run = [word.norm for word in words[at : at + 8]]
        if any(run == norms[i : i + 8] for i in range(len(norms) - 7)):
            return span(reading.places[words[at].start : words[at + 7].end])
    assert is_lettered(reading.view)
    first = reading.text.lower().find("".join(norms)[20:50])
    assert first >= 0
    return span(reading.places[first : first + 30])


@pytest.mark.parametrize("name", sorted(WORDS_AT_ONCE))
def test_some_dresses_are_read_as_words_at_once(name: str) -> None:
    assert any_shows(PASSAGES[1], [("plain", BEFORE + DRESSES[name](PASSAGES[1]) + AFTER)])


def test_most_dresses_need_a_reading() -> None:
    """The test above does not swallow the one before it."""
    assert len(WORDS_AT_ONCE) < 0.4 * len(DRESSES)


@pytest.mark.parametrize("name", sorted(PROSE))
def test_plain_prose_has_no_readings(name: str) -> None:
    assert readings(PROSE[name]) == []


@pytest.mark.parametrize(
    "text",
    [
        "Call `f(x)` with x = 3; it returns 9, e.g. in main.py (see https://example.org/a/b?c=d#e).",
        "1. Wash the rice.\n2. Add two cups of water, 1/2 tsp of salt and the butter.\n3. Cook it for 12-15 minutes.",
        "| city | people |\n|---|---|\n| Ferrow | 12,400 |\n| Lunt | 9,812 |",
        "**Note**: *all* of this is _true_ in 1958, at 9:30 a.m., for 50% of the U.S.A. and the R&D team.",
    ],
)
def test_marks_of_ordinary_answers_are_no_dress(text: str) -> None:
    assert [r for r in readings(text) if [w.norm for w in words_of(r.text)] != [w.norm for w in words_of(text)]] == []


def test_a_view_names_what_was_taken_off_from_the_outside_in() -> None:
    text = base64.b64encode(DRESSES["rot13"](PASSAGES[0]).encode()).decode()
    views = [r.view for r in readings(text) if shows(PASSAGES[0], r.view, r.text)]
    assert "base64+rot13" in views


def test_three_dresses_are_one_too_many() -> None:
    text = DRESSES["rot13"](PASSAGES[0])
    for _ in range(2):
        text = base64.b64encode(text.encode()).decode()
    assert not any_shows(PASSAGES[0], [(r.view, r.text) for r in readings(text)])


def test_only_the_last_characters_of_a_long_text_are_read() -> None:
    text = DRESSES["base64"](PASSAGES[0]) + " " + "plain words and nothing else " * (LONGEST // 20)
    assert not any_shows(PASSAGES[0], [(r.view, r.text) for r in readings(text)])
    text = text + DRESSES["base64"](PASSAGES[1])
    found = [r for r in readings(text) if shows(PASSAGES[1], r.view, r.text)]
    assert found and all(span(r.places)[0] > len(text) - 300 for r in found)


PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "%41", "\\u0041", "\\ud83d\\ude00", "&amp;", "&#x41;", "&#99999999;", "<b>", "</b>", "<!--", "```", "0x41",
            "01000001", ".-", "-", " ",
            "\n", "T h e ", "the ", "gur ", "eht ", "naq ", "gung ", "ethay ", "7h3 ", "4nd ",
            "Alfa Bravo ", "dGhl", "=", "<~", "~>", "\U000e0041", "\ufe0f", "\u200b", "\u0430", "65 66 67 ", "\\x41",
        ]
    ),
)  # fmt: skip
ANY_TEXT = st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=200)


@given(ANY_TEXT)
@settings(max_examples=300, deadline=None)
def test_places_lie_in_the_text_whatever_the_text(text: str) -> None:
    for reading in readings(text):
        assert len(reading.places) == len(reading.text)
        assert all(0 <= start < end <= len(text) for start, end in reading.places)
        assert is_lettered(reading.view) == reading.lettered


@given(st.sampled_from(sorted(DRESSES)), st.integers(0, 40))
@settings(max_examples=80, deadline=None)
def test_places_go_forward_unless_the_dress_turns_the_text_round(name: str, skip: int) -> None:
    for reading in readings(DRESSES[name](PASSAGES[0][skip:])):
        if not {"reversed", "reversed letters", "last word first"} & set(reading.view.split("+")):
            starts = [start for start, _ in reading.places]
            assert starts == sorted(starts)


@pytest.mark.parametrize(
    "unit",
    [" ", "7h3 0", "01", "0b01 ", "&#x41", ";&#", "1 2 ", "- ", ". ", "\n", "a-\n", "(", "\\", "_", '"\n', "<a "],
)
def test_a_long_run_that_is_nearly_a_dress_is_given_up_soon(unit: str) -> None:
    """A pattern that tries a run in every way there is would take hours here, not a fraction of a second."""
    begun = time.process_time()
    readings((unit * LONGEST)[: LONGEST - 1] + "z")
    assert time.process_time() - begun < 5
