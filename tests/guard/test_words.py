"""Words are found in any dress, with positions in the original, and reading does not depend on the splits."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.errors import MachineMisused
from guard.words import _BOUNDARY, LONGEST_TOKEN, TokenSplitter, words_of, words_of_token


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
    ],
)
def test_the_same_two_words_are_read_in_every_dress(dressed: str) -> None:
    assert [w.norm for w in words_of(dressed)] == ["secret", "plan"]


def test_spans_point_into_the_original_text() -> None:
    text = "A \uff33\uff45cret, se\u200bcret caf\u0065\u0301 \ufb01n."
    assert [(w.norm, text[w.start : w.end]) for w in words_of(text)] == [
        ("a", "A"),
        ("secret", "\uff33\uff45cret"),
        ("secret", "se\u200bcret"),
        ("caf\u00e9", "cafe\u0301"),
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
