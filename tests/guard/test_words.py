"""Words are found in any dress, with positions in the original, and reading does not depend on the splits."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.errors import MachineMisused
from guard.words import (
    _BOUNDARY,
    _LATIN,
    _OWN_LOOK,
    LONGEST_TOKEN,
    TokenSplitter,
    _words_of_any,
    _words_of_clusters,
    words_of,
    words_of_token,
)


@pytest.mark.parametrize(
    "dressed",
    [
        "secret plan",
        "SECRET PLAN",
        "Secret-Plan",
        "secret\u00a0\u2003plan",
        "se\u200bcr\u2060et p\u00adlan",
        "\u0455\u0435\u0441ret \u0440l\u0430n",
        "\u0421\u0415\u0421RET PLAN".replace("\u0421\u0415\u0421", "S\u0415\u0421"),
        "\uff53\uff45\uff43\uff52\uff45\uff54 \uff30\uff2c\uff21\uff2e",
        "**secret** _plan_",
        "secret\U000e0041 plan",
        "\U0001d42c\U0001d41e\U0001d41c\U0001d42b\U0001d41e\U0001d42d plan",
        "secret\nplan",
        "secret\u2026plan",
        "secret\U0001f642plan",
        "s\u0117cr\u00e9t pl\u00e5n",
        "s\u0336e\u0336c\u0336r\u0336\u0489e\u0336t\u0336\u0353 p\u0334l\u0338a\u0338n\u0338",
        "\ua731\u1d07\u1d04\u0280\u1d07\u1d1b \u1d18\u029f\u1d00\u0274",
        "\U0001f182\U0001f174\U0001f172\U0001f181\U0001f174\U0001f183 \U0001f15f\U0001f15b\U0001f150\U0001f15d",
        "\u0455\u0454\u03f2\u0433et \u03c1\u217c\u0251\u0578".replace("\u0454", "e").replace("\u0433", "r"),
        "s\ufe0fe\u202ec\u202cret p\u2066lan",
    ],
)
def test_the_same_two_words_are_read_in_every_dress(dressed: str) -> None:
    assert [w.norm for w in words_of(dressed)] == ["secret", "plan"]


def test_a_capital_beside_latin_letters_is_read_by_its_own_look() -> None:
    assert [w.norm for w in words_of("\u039dEW \u0397OUSE \u03bd\u03b7")] == ["new", "house", "vn"]


def test_digits_of_other_scripts_are_read_by_their_value() -> None:
    assert [w.norm for w in words_of("\u0661\u0669\u0665\u0668 \u0967\u096f")] == ["1958", "19"]


def test_marks_that_a_script_needs_are_kept() -> None:
    assert [w.norm for w in words_of("\u304b \u304c \uac00 \uac01")] == ["\u304b", "\u304c", "\uac00", "\uac01"]


@given(st.text(st.characters(codec="utf-8", max_codepoint=0x3100), max_size=40))
@settings(max_examples=300, deadline=None)
def test_the_fast_reading_is_the_reading_of_clusters(text: str) -> None:
    assert _words_of_any(text, 3) == _words_of_clusters(text.translate(_OWN_LOOK) if _LATIN.search(text) else text, 3)


def test_spans_point_into_the_original_text() -> None:
    text = "A \uff33\uff45cret, se\u200bcret caf\u0065\u0301 \ufb01n."
    assert [(w.norm, text[w.start : w.end]) for w in words_of(text)] == [
        ("a", "A"),
        ("secret", "\uff33\uff45cret"),
        ("secret", "se\u200bcret"),
        ("cafe", "cafe\u0301"),
        ("fin", "\ufb01n"),
    ]


ALPHABET = st.one_of(
    st.characters(codec="utf-8"),
    st.sampled_from("aZ1 .,\n\u200b\u0301\u0430\uff41\u1100\u1161\u11a8\u4e16\u2122\u24d0\U0001f130\u00df"),
)


@given(st.text(ALPHABET, max_size=60), st.data())
@settings(max_examples=300, deadline=None)
def test_reading_does_not_depend_on_how_the_text_is_cut(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    splitter = TokenSplitter()
    tokens = [*splitter.feed(text[:cut]), *splitter.feed(text[cut:]), *splitter.end()]
    assert [w for t in tokens for w in words_of_token(t)] == words_of(text)
    assert "".join(t.text for t in tokens) == text
    single = TokenSplitter()
    assert [t for c in text for t in single.feed(c)] + single.end() == tokens


@given(st.text(st.sampled_from("ab \u2122\u200b1"), max_size=80))
def test_a_word_is_a_maximal_run_of_letters_and_digits_after_folding(text: str) -> None:
    folded = unicodedata.normalize("NFKC", text.replace("\u200b", "")).casefold()
    expected = "".join(c if c.isalnum() else " " for c in folded).split()
    assert [w.norm for w in words_of(text)] == expected


def test_every_boundary_character_belongs_to_no_word() -> None:
    wrong = [
        f"U+{c:04X}"
        for c in range(0x110000)
        if _BOUNDARY.match(chr(c))
        and (
            unicodedata.category(chr(c))[0] in "LNM"
            or any(unicodedata.category(d)[0] in "LN" for d in unicodedata.normalize("NFKC", chr(c)))
        )
    ]
    assert wrong == []


def test_a_token_without_an_end_is_cut_between_words_where_it_can_be() -> None:
    glued = "\u2022".join(["wordword"] * 100)
    assert {w.norm for w in words_of(glued)} == {"wordword"}


@pytest.mark.parametrize("tail", ["", "\u0301" * 5, "x"])
def test_an_endless_word_is_read_in_pieces_that_do_not_depend_on_the_splits(tail: str) -> None:
    text = "a" * (3 * LONGEST_TOKEN) + tail
    splitter = TokenSplitter()
    tokens = [t for c in text for t in splitter.feed(c)] + splitter.end()
    assert "".join(t.text for t in tokens) == text
    assert max(len(t.text) for t in tokens) <= LONGEST_TOKEN
    assert [w for t in tokens for w in words_of_token(t)] == words_of(text)


def test_a_splitter_that_ended_refuses_more() -> None:
    splitter = TokenSplitter()
    assert splitter.end() == []
    with pytest.raises(MachineMisused):
        splitter.feed("x")
    with pytest.raises(MachineMisused):
        splitter.end()
