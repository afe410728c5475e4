"""The lattice gives dressed windows where a segment ends, as a function of the text, at a cost linear in it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guard.lattice
from bench.dresses import DRESSES
from guard.detector import Window
from guard.lattice import HELD, LONG_TAIL, Lattice, dressed_windows
from guard.segments import DEFAULT_RULE, Segmenter, WindowRule
from guard.words import TokenSplitter, words_of_token
from tests.guard.dressed import AFTER, BEFORE, PASSAGES, PROSE, any_shows, shows


def streamed(pieces: list[str], rule: WindowRule = DEFAULT_RULE) -> tuple[list[Window], list[int | None]]:
    """The windows of a text that arrives in pieces, and what was held after each token."""
    splitter, segmenter, lattice = TokenSplitter(), Segmenter(rule), Lattice(rule)
    text, starts, windows, held = "", [0], [], []

    def read(token, following):
        words = words_of_token(token)
        lattice.push(token, words)
        held.append(lattice.watch_from)
        if segmenter.push(token, len(words), following):
            windows.extend(lattice.windows(text[: token.end], starts, ""))
            starts.append(token.end)

    for piece in pieces:
        text += piece
        for token in splitter.feed(piece):
            read(token, text[token.end : token.end + 1])
    for token in splitter.end():
        read(token, "\n")
    if starts[-1] < len(text):
        windows.extend(lattice.windows(text, starts, ""))
    return windows, held


@pytest.mark.parametrize("name", sorted(DRESSES))
@pytest.mark.parametrize("passage", PASSAGES, ids=["lamp", "letters"])
def test_a_passage_in_any_dress_is_shown_inside_an_ordinary_answer(name: str, passage: str) -> None:
    dressed = DRESSES[name](passage)
    text = f"{BEFORE}{dressed}{AFTER}"
    windows = dressed_windows(text)
    if any_shows(passage, [("plain", text)]):
        return  # every window shows it
    found = [w for w in windows if shows(passage, w.view, w.text)]
    assert found, f"{name} hides the passage"
    for window in found:
        assert window.start < len(BEFORE) + len(dressed) and window.end > len(BEFORE)
        assert window.places is not None and len(window.places) == len(window.text)


@pytest.mark.parametrize("name", sorted(PROSE))
def test_plain_prose_has_no_dressed_windows_and_nothing_is_held(name: str) -> None:
    windows, held = streamed([PROSE[name] * 3])
    assert windows == []
    assert set(held) <= {None}


@given(st.sampled_from(sorted(DRESSES)), st.lists(st.integers(0, 900), max_size=8))
@settings(max_examples=60, deadline=None)
def test_windows_do_not_depend_on_how_the_text_arrives(name: str, cuts: list[int]) -> None:
    text = f"{BEFORE}{DRESSES[name](PASSAGES[0])}{AFTER}"
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(edges)]
    windows, held = streamed(pieces)
    assert windows == dressed_windows(text)
    assert held == streamed([text])[1]


@given(st.text(max_size=300) | st.lists(st.sampled_from(["gur ", "T h ", "\n", "%41", ". ", "a", "-\n"])).map("".join))
@settings(max_examples=200, deadline=None)
def test_any_text_has_windows_inside_it(text: str) -> None:
    for window in dressed_windows(text):
        assert 0 <= window.start < window.end <= len(text)
        assert window.places is not None
        for start, end in window.places:
            assert window.start <= start < end <= window.end


@pytest.mark.parametrize("name", ["base64", "spaced", "rot13", "morse", "binary", "hex"])
def test_an_open_run_is_held_back_before_it_is_judged(name: str) -> None:
    dressed = DRESSES[name](PASSAGES[0])
    _, held = streamed([BEFORE + dressed])
    seen = [at for at in held if at is not None]
    assert seen and min(seen) <= len(BEFORE) + len(dressed) // 3
    assert streamed([BEFORE + dressed + AFTER * 4])[1][-1] is None


def test_no_run_holds_more_than_a_bounded_part_of_the_text() -> None:
    splitter, lattice = TokenSplitter(), Lattice(DEFAULT_RULE)
    for token in splitter.feed("QUJD" * 5000):
        lattice.push(token, words_of_token(token))
        assert lattice.watch_from is None or token.end - lattice.watch_from <= HELD + len(token.text)


@pytest.mark.parametrize("name", ["one letter per line", "base64", "rot13", "url escapes", "html tags", "binary"])
def test_the_work_is_linear_in_the_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = guard.lattice.readings

    def counted(text: str):
        read.append(len(text))
        return real(text)

    monkeypatch.setattr(guard.lattice, "readings", counted)

    def work(times: int) -> int:
        read.clear()
        dressed_windows(DRESSES[name](" ".join(PASSAGES * times)))
        return sum(read)

    once, thrice = work(4), work(12)
    assert 0 < thrice <= 4 * once
    assert max(read) <= LONG_TAIL + 3000


def test_windows_are_not_given_twice() -> None:
    text = BEFORE + DRESSES["rot13"](" ".join(PASSAGES * 3)) + AFTER
    windows = dressed_windows(text)
    assert len({(w.view, w.text, w.start) for w in windows}) == len(windows)


def test_only_windows_near_the_beginning_carry_the_turn_they_answer() -> None:
    text = DRESSES["rot13"](" ".join(PASSAGES)) + (" " + BEFORE) * 20 + DRESSES["rot13"](" ".join(PASSAGES))
    windows = dressed_windows(text, "What became of the letters?")
    assert {w.context for w in windows if w.start < 50} == {"What became of the letters?"}
    assert {w.context for w in windows if w.start > len(text) - 200} == {""}
