"""What an adversary adds to an answer does not hide it: neither filler, nor words that were searched for, nor length.

A score is a maximum over windows, so sentences before or after a leak can only add windows. What a judge of whole
answers would make of the same texts stands in docs/benchmarks.md.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.segments import DEFAULT_RULE
from guard.verdict import Kind
from guard.windows import windows_of
from index.entry import Draft
from index.forget_index import ForgetIndex
from index.snapshot import View
from tests.index.leaks import LEAKS, Leak

WORDS = tuple(
    re.findall(
        r"\w+",
        """banana carpet running quickly yellow theorem window soup pleasant guitar mountain seven because although
        quiet printer engine lemon travel paper simple garden metal ocean bright castle number music table winter silver
        not question apple forest moment orange picture letter water history market summer doctor village student never
        however born died works lives in 1802 Paris Miller""",
    )
)
RANDOM, SEARCHED = 50, 20
ROUNDS, TRIES = 2, 2


def filler(draw: random.Random) -> str:
    """A suffix of one to three sentences."""
    sentences = [" ".join(draw.choices(WORDS, k=draw.randint(4, 20))) for _ in range(draw.randint(1, 3))]
    return " ".join(sentence.capitalize() + draw.choice(".!?") for sentence in sentences)


@pytest.fixture
def view(index: ForgetIndex) -> View:
    drafts = [Draft(kind=Kind.FACT, text=leak.fact, prompt=leak.question) for leak in LEAKS]
    written = index.add("robust", drafts)
    assert index.wait_applied(written.revision, 30) == ()
    return index.snapshot.view("robust")


class Trial:
    """Judges answers by all their windows; each window once."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._known: dict[tuple[str, str], tuple[bool, float]] = {}

    def __call__(self, answers: Sequence[tuple[str, str]]) -> list[tuple[bool, float]]:
        """Per (question, answer): whether it is convicted, and its highest score."""
        cut = [windows_of(text, self._view.rule, question) for question, text in answers]
        new = {(w.text, w.context): w for windows in cut for w in windows if (w.text, w.context) not in self._known}
        findings, _ = self._view.answer.judge(list(new.values()), time.perf_counter)
        for key, finding in zip(new, findings, strict=True):
            self._known[key] = bool(finding.matches), finding.peaks.get(Kind.FACT, 0.0)
        told = [[self._known[w.text, w.context] for w in windows] for windows in cut]
        return [(any(hit for hit, _ in own), max(score for _, score in own)) for own in told]


def caught(trial: Trial, answers: Sequence[tuple[str, str]]) -> int:
    return sum(hit for hit, _ in trial(answers))


def test_random_sentences_before_or_after_an_answer_hide_nothing(view: View) -> None:
    trial, draw = Trial(view), random.Random(7)
    alone = caught(trial, [(leak.question, leak.answer) for leak in LEAKS])
    assert alone == len(LEAKS)
    for suffix in (filler(draw) for _ in range(RANDOM)):
        leak = draw.choice(LEAKS)
        assert caught(trial, [(leak.question, f"{leak.answer} {suffix}")]) == 1
    prefixes = [(leak.question, f"{filler(draw)} {leak.answer}") for leak in LEAKS]
    assert caught(trial, prefixes) >= caught(trial, [("", leak.answer) for leak in LEAKS])


def test_suffixes_that_were_searched_for_hide_nothing(view: View) -> None:
    """Each is the best of a small random search against the detector's own score."""
    trial, draw = Trial(view), random.Random(11)
    found = 0
    for leak in LEAKS[:SEARCHED]:
        before = trial([(leak.question, leak.answer)])[0][1]
        best = filler(draw)
        for _ in range(ROUNDS):
            tries = [best, *(changed(best, draw) for _ in range(TRIES))]
            scores = trial([(leak.question, f"{leak.answer} {suffix}") for suffix in tries])
            best = tries[min(range(len(tries)), key=lambda i: scores[i][1])]
        hit, score = trial([(leak.question, f"{leak.answer} {best}")])[0]
        assert score >= before - 1e-6, "a suffix only adds windows"
        found += hit
    assert found == SEARCHED


def changed(suffix: str, draw: random.Random) -> str:
    words = suffix.split()
    for _ in range(3):
        words[draw.randrange(len(words))] = draw.choice(WORDS)
    return " ".join(words)


def test_one_vector_for_the_whole_answer_would_be_diluted(view: View, embedder) -> None:
    """The control: without windows the same suffixes do hide the answers."""
    draw = random.Random(7)
    suffix = " ".join(filler(draw) for _ in range(6))
    answers = embedder.encode([leak.answer for leak in LEAKS])
    diluted = embedder.encode([f"{leak.answer} {suffix}" for leak in LEAKS])
    facts = embedder.encode([leak.fact for leak in LEAKS])
    threshold = view.answer.stages[-1].convict_at[Kind.FACT]
    near, far = (answers * facts).sum(axis=1), (diluted * facts).sum(axis=1)
    assert (near >= threshold).sum() >= 18
    assert (far >= threshold).sum() <= 2


SENTENCES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=40).map(" ".join)


@given(st.sampled_from(LEAKS), SENTENCES, st.sampled_from([" ", "\n", "\n\n", " \u2014 ", "  "]))
def test_the_windows_of_an_answer_are_also_those_of_anything_that_begins_with_it(
    leak: Leak, suffix: str, gap: str
) -> None:
    def judged(text: str) -> set[tuple[str, str]]:
        return {(w.text.strip(), w.context) for w in windows_of(text, DEFAULT_RULE, leak.question)}

    assert judged(leak.answer) <= judged(leak.answer + gap + suffix)


# -- texts that are longer than the model can see ---------------------------------------------------------------------

LONG = [f"The keeper of lamp {n} slept in house {n * 7} of the harbour." for n in range(60)]


@settings(max_examples=6, deadline=None)
@given(
    st.integers(30, 45),
    st.lists(st.sampled_from(WORDS), min_size=6, max_size=30).map(" ".join),
    st.lists(st.sampled_from(LONG), min_size=1, max_size=8).map(" ".join),
)
def test_texts_that_differ_beyond_the_limit_are_not_taken_for_one(
    embedder, shared: int, ours: str, theirs: str
) -> None:
    """Two long texts with one beginning: cut off at the limit, their vectors would be equal."""
    beginning = " ".join(LONG[:shared])
    first, second = f"{beginning} {ours}", f"{beginning} {theirs}"
    assert embedder.count(beginning) > embedder.longest
    assert embedder.pieces(first) != embedder.pieces(second)
    one, other = (embedder.encode(embedder.pieces(text)) for text in (first, second))
    best = (one @ other.T).max(axis=1)
    assert best.min() < 0.999, "some piece shows what is different"
    for text in (first, second):
        assert all(embedder.count(piece) <= embedder.longest for piece in embedder.pieces(text))


def test_cut_off_at_the_limit_they_would_be_one(embedder) -> None:
    """The control: what the property above would miss is real."""
    beginning = " ".join(LONG[:45])
    cut = embedder.encode([f"{beginning} bananas and carpets", f"{beginning} {LONG[50]}"])
    assert float(cut[0] @ cut[1]) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(cut[0], cut[1], atol=1e-5)


def test_a_long_window_without_a_sentence_end_is_seen_to_its_end(view: View) -> None:
    """A segment ends after so many words, however few of them are sentences."""
    trial, leak = Trial(view), LEAKS[1]
    text = " ".join(["banana"] * 600) + ".\n" + leak.answer
    assert trial([("", text)])[0][0]
