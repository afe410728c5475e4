"""Stretches look into long segments, so that nothing glued to a sentence hides it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.segments import WindowRule
from guard.stretches import Stretches
from guard.words import words_of


def stretches_of(*segments: str, size: int = 12, step: int = 6) -> list[list[str]]:
    """The words of the stretches that each segment adds."""
    text, found = "".join(segments), []
    collector = Stretches(WindowRule(stretch_words=size, stretch_step=step))
    begin = 0
    for segment in segments:
        collector.push([w for w in words_of(text) if begin <= w.start < begin + len(segment)])
        begin += len(segment)
        found.append([text[start:end] for start, end in collector.finish()])
    return found


def numbered(first: int, last: int) -> str:
    return " ".join(f"w{n}" for n in range(first, last + 1)) + " "


def test_sentences_of_ordinary_length_have_none() -> None:
    assert stretches_of(numbered(1, 31), numbered(32, 62)) == [[], []]


def test_a_segment_that_was_cut_for_its_length_is_looked_into_every_few_words() -> None:
    (found,) = stretches_of(numbered(1, 32))
    assert found == [numbered(n, n + 11).strip() for n in (1, 7, 13, 19, 21)], "its end too"


def test_they_reach_across_the_border_of_a_segment_that_was_cut() -> None:
    first, second = stretches_of(numbered(1, 32), numbered(33, 40))
    assert first[-1] == numbered(21, 32).strip()
    assert second == [numbered(25, 36).strip(), numbered(29, 40).strip()]
    again = stretches_of(numbered(1, 31), numbered(32, 46))
    assert again[1] == [], "a sentence that ended by itself says nothing about the next one"


def test_zero_turns_them_off() -> None:
    assert stretches_of(numbered(1, 60), size=0) == [[]]


@given(st.integers(32, 90), st.data())
def test_whatever_stands_in_a_long_segment_stands_in_a_stretch(length: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(1, length - 6))
    (found,) = stretches_of(numbered(1, length))
    wanted = numbered(at, at + 6).strip().split()
    assert any(set(wanted) <= set(stretch.split()) for stretch in found)
