"""What is embedded of an entry and of an exchange."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.segments import DEFAULT_RULE
from guard.windows import windows_of
from guard.words import words_of
from index.forms import LONGEST_WHOLE, SHORTEST_WINDOW, TURN_WORDS, entry_windows, exchange

WORDS = st.sampled_from(["lamp", "Orsk", "rained.", "In", "1648", "yes!", "\n", "—"])
TEXTS = st.lists(WORDS, max_size=150).map(" ".join)


def windows(text: str) -> list[str]:
    return list(entry_windows(text, DEFAULT_RULE))


@given(TEXTS)
def test_an_entry_with_words_has_windows_and_no_word_is_left_out(text: str) -> None:
    made = windows(text)
    assert bool(made) == bool(words_of(text))
    assert len(made) == len(set(made)) and all(words_of(window) for window in made)
    longest = max((len(words_of(w.text)) for w in windows_of(text)), default=0)
    if longest >= SHORTEST_WINDOW:
        assert all(len(words_of(window)) >= SHORTEST_WINDOW for window in made[:-1])
    if words_of(text) and len(words_of(text)) <= LONGEST_WHOLE and longest >= SHORTEST_WINDOW:
        assert text.strip() in made


def test_the_windows_are_those_of_a_stream_and_the_whole() -> None:
    text = "The lamp was lit at dusk by Orsk. Nobody came down to the harbour. It rained the whole night long."
    own = [window.text.strip() for window in windows_of(text)]
    assert windows(text) == [*own, text]


def test_a_short_text_stands_for_itself() -> None:
    assert windows(" In Tern. ") == ["In Tern."]
    assert windows("") == windows("…") == []


def test_an_exchange_keeps_the_end_of_a_long_turn() -> None:
    assert exchange("Where was he born?", " In Tern. ") == "Where was he born? In Tern."
    turn = " ".join(f"t{n}" for n in range(100))
    assert exchange(turn, "Yes.").split() == [f"t{n}" for n in range(100 - TURN_WORDS, 100)] + ["Yes."]
