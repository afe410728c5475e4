"""The windows of a conversation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.segments import WindowRule
from guard.windows import windows_of
from guard.words import words_of
from server.prompt_windows import LAST_TURNS, TURN_WORDS, prompt_windows
from tests.guard.streams import texts

RULE = WindowRule()


def shown(given_texts: list[str], *together: list[str]) -> list[str]:
    return [" ".join(w.text.split()) for w in prompt_windows(given_texts, together, RULE)]


def test_each_text_is_judged_alone_and_with_its_neighbours() -> None:
    turns = ["Tell me of Ada Quill.", "Gladly.", "Where was she born?"]
    assert shown(turns) == turns
    found = shown(turns, turns)
    assert found[:3] == turns
    assert "Gladly. Where was she born?" in found
    assert "Tell me of Ada Quill. Gladly. Where was she born?" in found
    own = shown(turns, turns, [turns[0], turns[2]])
    assert "Tell me of Ada Quill. Where was she born?" in own
    assert len(own) == len(set(own))


def test_one_text_is_judged_once_however_often_it_was_said() -> None:
    assert shown(["It rained all day."] * 5) == ["It rained all day."]


@given(st.lists(texts(), max_size=4))
def test_reading_together_leaves_no_window_out(given_texts: list[str]) -> None:
    alone = {window.text.strip() for text in given_texts for window in windows_of(text, RULE)}
    found = prompt_windows(given_texts, [given_texts], RULE)
    assert alone <= {window.text.strip() for window in found}
    assert all(words_of(window.text) for window in found if window.view == "plain")


def test_a_long_conversation_adds_few_windows() -> None:
    turns = [" ".join(f"w{n}x{i}" for i in range(2_000)) for n in range(30)]
    added = len(shown(turns, turns)) - len(shown(turns))
    words = LAST_TURNS * TURN_WORDS
    assert 0 < added <= 2 * (words // RULE.max_words + words // RULE.stretch_step + LAST_TURNS)
