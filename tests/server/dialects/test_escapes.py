"""What a tool's arguments say once they are read."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from guard.words import words_of
from server.dialects.escapes import redacted_json, unescaped


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans())
def test_what_is_read_has_the_words_of_the_value_and_the_length_of_the_json(text: str, ascii_only: bool) -> None:
    written = json.dumps(text, ensure_ascii=ascii_only)
    read = unescaped(written)
    assert len(read) == len(written)
    assert read[1:-1].replace("\u200b", "") == text.replace("\u200b", "").replace("\b", " ").replace("\f", " ")


def test_an_escape_inside_a_word_does_not_part_it() -> None:
    assert [w.norm for w in words_of(unescaped(r"\u0063opper\ntr\u0065aty \ud83d\ude42 \ud83d"))] == [
        "copper",
        "treaty",
    ]


def test_redacted_json_keeps_its_shape_and_says_nothing() -> None:
    said = {"city": "Orsk", "years": [1648, 5.5], "deep": {"a": None, "b": True}, "a key that is a whole sentence": "x"}
    told = {"city": "[gone]", "years": [None, None], "deep": {"a": None, "b": None}}
    assert json.loads(redacted_json(json.dumps(said), "[gone]")) == told
    assert redacted_json('{"city": "Or', "[gone]") == "{}"
