"""Segments are sentences, lines or stretches of bounded length, and a function of the text alone."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bench.dresses import DRESSES
from guard.segments import DEFAULT_RULE, LONG, LONGEST, Segmenter, WindowRule
from guard.words import LONGEST_TOKEN, Token, TokenSplitter, words_of_token
from tests.guard.dressed import PASSAGES, PROSE


def segments(text: str, rule: WindowRule) -> list[str]:
    segmenter, splitter, cuts = Segmenter(rule), TokenSplitter(), [0]
    tokens = [*splitter.feed(text), *splitter.end()]
    for token in tokens:
        following = text[token.end : token.end + 1] or "\n"
        if segmenter.push(token, len(words_of_token(token)), following):
            cuts.append(token.end)
    cuts.append(len(text))
    return [text[a:b] for a, b in pairwise(cuts) if a < b]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rained. We left. ", ["It rained.", " We left.", " "]),
        ("Pi is 3.14 here. Right then!", ["Pi is 3.14 here.", " Right then!"]),
        ('He said "go now." Then left.', ['He said "go now."', " Then left."]),
        ("One line\nAnother line", ["One line", "\nAnother line"]),
        ("Dr. Aldous Ferr came.", ["Dr. Aldous Ferr came."]),
        ("Really?! Yes it is.", ["Really?! Yes it is."]),
        ("Wait for it\u2026 now go on", ["Wait for it\u2026", " now go on"]),
        ("\u4eca \u5929\u3002\u660e \u5929\u3002", ["\u4eca \u5929\u3002", "\u660e \u5929\u3002"]),
    ],
)
def test_a_sentence_or_a_line_ends_a_segment(text: str, expected: list[str]) -> None:
    assert segments(text, WindowRule(min_words=2)) == expected


def test_a_text_without_sentences_is_cut_after_max_words() -> None:
    cut = segments(" ".join(["word"] * 10), WindowRule(min_words=2, max_words=4))
    assert [s.split() for s in cut] == [["word"] * 4, ["word"] * 4, ["word"] * 2]


def test_a_rule_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="min_words"):
        WindowRule(min_words=5, max_words=4)
    with pytest.raises(ValueError, match="negative"):
        WindowRule(overlap=-1)


class Unbounded(Segmenter):
    """Cuts as prose is cut: no length counts."""

    def push(self, token: Token, words: int, following: str) -> bool:
        self._bulk = -len(token.text)
        return super().push(token, words, following)


@pytest.mark.parametrize("text", [*PROSE.values(), "Donaudampfschifffahrtsgesellschaftskapit\u00e4n " * 40])
def test_prose_is_cut_by_its_words_alone(text: str) -> None:
    def ends(segmenter: Segmenter) -> list[int]:
        splitter = TokenSplitter()
        tokens = [*splitter.feed(text * 5), *splitter.end()]
        return [
            t.end for t in tokens if segmenter.push(t, len(words_of_token(t)), (text * 5)[t.end : t.end + 1] or " ")
        ]

    assert ends(Segmenter(DEFAULT_RULE)) == ends(Unbounded(DEFAULT_RULE))


@pytest.mark.parametrize(
    ("text", "longest"),
    [
        (DRESSES["morse"](" ".join(PASSAGES * 10)), LONG + 20),
        ("\U0001f642 " * 3000, LONG + 20),
        (DRESSES["base64"](" ".join(PASSAGES * 40)), LONGEST + LONGEST_TOKEN),
        ("\U0001f642" * 9000, LONGEST + LONGEST_TOKEN),
        ("... --- " * 900, LONG + 20),
    ],
)
def test_a_text_with_next_to_no_words_is_cut_by_its_length(text: str, longest: int) -> None:
    assert max(map(len, segments(text, DEFAULT_RULE))) <= longest
