"""What a tool's arguments say once they are read."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from guard.words import words_of
from server.dialects.escapes import cut_escape, redacted_json, unescaped


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
    assert json.loads(redacted_json(json.dumps(said), (), "[gone]")) == told
    assert redacted_json('{"city": "Or', (), "[gone]") == "{}"


@given(st.text(max_size=30), st.lists(st.integers(0, 200), max_size=6))
def test_an_escape_that_is_cut_in_two_is_read_like_a_whole_one(text: str, cuts: list[int]) -> None:
    told = json.dumps(text)[1:-1]
    said, kept = "", ""
    for begin, end in pairwise(sorted({0, len(told), *(min(cut, len(told)) for cut in cuts)})):
        ready, kept = cut_escape(kept + told[begin:end])
        said += unescaped(ready)
    assert said + unescaped(kept) == unescaped(told)


def test_only_an_escape_that_may_go_on_waits() -> None:
    assert cut_escape("plain") == ("plain", "")
    assert cut_escape(r"a\\") == (r"a\\", "")
    assert cut_escape("a\\\\\\") == ("a\\\\", "\\")
    assert cut_escape(r"a\u00") == ("a", r"\u00")
    assert cut_escape(r"a\ud83d") == ("a", r"\ud83d")
    assert cut_escape(r"a\ud83d\u0041") == (r"a\ud83d\u0041", "")
