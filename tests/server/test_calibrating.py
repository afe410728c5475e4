"""Calibrating on a small view, without an embedder."""

from __future__ import annotations

from typing import Any

import pytest

from guard.errors import DetectorUnavailable
from guard.verdict import Action, Kind, Side
from guard.windows import windows_of
from index.calibration import Calibration
from index.embedding import NEAR_MISS
from index.score_histogram import Histogram, ScoreSample
from index.threshold import Threshold
from server.calibrating import (
    Scored,
    Target,
    answer_peaks,
    nearest_kind,
    notes_of,
    prompt_peaks,
    recalibrated,
    sample_notes,
    scored_peaks,
    scored_sample,
    share_reached,
    windows_in,
)
from tests.server.world import Halves, SmallView, policy


def clock() -> float:
    return 0.0


def view(**changes: Any) -> Any:
    return SmallView(Halves(), policy(Action.BLOCK), **changes)


def current(value: float = 0.8) -> Calibration:
    return Calibration("h", "r", {kind: Threshold(value) for kind in Kind}, "shipped")


def computed(peaks: Any, target: Target, start: float = 0.8) -> Calibration:
    return recalibrated(current(start), scored_peaks(peaks), target, "a test")


# -- scoring ----------------------------------------------------------------------------------------------------------


def test_the_peak_of_an_answer_is_its_nearest_window() -> None:
    samples = [
        ("", "The weather was fine. It was the copper treaty."),
        ("", "A treaty of old."),
        ("", "Soup."),
        ("", ""),
    ]
    peaks = list(answer_peaks(view(), samples, clock))
    assert [peak[Kind.FACT] for peak in peaks] == [0.9, 0.5, 0.1, 0.0]


def test_every_kind_that_has_entries_is_named_although_nothing_was_found() -> None:
    (peaks,) = answer_peaks(view(), [("", "Soup.")], clock)
    assert set(peaks) == {Kind.PASSAGE, Kind.FACT}


def test_many_texts_keep_their_order_over_the_batches() -> None:
    texts = ["It was the copper treaty." if n % 7 == 0 else "Soup. " * (n % 5) for n in range(900)]
    peaks = list(answer_peaks(view(), [("", text) for text in texts], clock))
    assert [peak[Kind.FACT] == 0.9 for peak in peaks] == [n % 7 == 0 for n in range(900)]


def test_prompts_are_scored_by_the_prompt_side() -> None:
    peaks = list(prompt_peaks(view(), ["Tell me of the copper treaty.", "Soup."], clock))
    assert [peak[Kind.FACT] for peak in peaks] == [0.9, 0.1]


def test_a_text_that_cannot_be_judged_is_no_text_that_scores_low() -> None:
    shown = view()
    shown.detector.failing = True
    with pytest.raises(DetectorUnavailable):
        list(answer_peaks(shown, [("", "some ordinary words here.")], clock))


def test_texts_are_judged_by_the_windows_of_a_stream() -> None:
    text = "First came the rain. Then there was wind over all the hills. The valley lay quiet, and nobody spoke."
    found = windows_in(view(), text, "What happened?")
    assert {(w.text, w.context) for w in windows_of(text, view().rule, "What happened?")} <= {
        (w.text, w.context) for w in found
    }


# -- thresholds -------------------------------------------------------------------------------------------------------


def test_a_threshold_is_set_where_the_wanted_share_of_answers_reaches_it() -> None:
    peaks = [{Kind.FACT: 0.70 + n / 1000} for n in range(199)]
    found = computed(peaks, Target(0.05))
    fact = found.thresholds[Kind.FACT]
    assert (fact.n, fact.expected, fact.held, fact.shown) == (199, 0.05, False, True)
    assert share_reached(found, peaks) == fact.fpr == 9 / 199
    assert found.thresholds[Kind.PASSAGE] == current().thresholds[Kind.PASSAGE]  # was not scored
    assert found.prompt_thresholds == current().prompt_thresholds
    assert found.source == "fact on the answer side: calibrated on a test for 0.05 per text"


def test_the_other_side_keeps_its_thresholds() -> None:
    found = computed([{Kind.FACT: 0.85}] * 30, Target(0.05, Side.PROMPT))
    assert found.prompt_values[Kind.FACT] == pytest.approx(0.8501)
    assert found.thresholds == current().thresholds


def test_a_threshold_falls_no_lower_than_what_is_looked_for_and_says_so() -> None:
    low = [{Kind.FACT: 0.1}] * 200
    found = computed(low, Target(0.05))
    assert found.values[Kind.FACT] == pytest.approx(0.8 - NEAR_MISS, abs=1e-3)
    assert found.thresholds[Kind.FACT].held
    (note,) = notes_of(found, Target(0.05), [Kind.FACT])
    assert "calibrate again" in note
    lower = recalibrated(found, scored_peaks(low), Target(0.05), "a test")
    assert lower.values[Kind.FACT] < found.values[Kind.FACT]


def test_too_few_texts_are_refused_or_said_to_show_little() -> None:
    with pytest.raises(ValueError, match="no entry"):
        recalibrated(current(), scored_peaks([{}] * 30), Target(0.05), "a test")
    with pytest.raises(ValueError, match="19 texts are too few"):
        computed([{Kind.FACT: 0.8}] * 19, Target(0.05))
    found = computed([{Kind.FACT: 0.8}] * 40, Target(0.001))
    (note,) = notes_of(found, Target(0.001), [Kind.FACT])
    assert "needs at least 999" in note and "0.024" in note
    (note,) = notes_of(computed([{Kind.FACT: 1.0}] * 40, Target(0.1)), Target(0.1), [Kind.FACT])
    assert "score 1.0" in note


def test_a_bound_lies_higher_than_an_expected_rate() -> None:
    peaks = [{Kind.FACT: 0.70 + n / 5000} for n in range(1000)]
    bound, expected = computed(peaks, Target(0.05, sure=0.95)), computed(peaks, Target(0.05))
    assert bound.values[Kind.FACT] > expected.values[Kind.FACT]


def test_a_leak_counts_for_the_kind_that_it_comes_nearest_to() -> None:
    leaks = [{Kind.FACT: 0.9, Kind.PASSAGE: 0.2}, {Kind.FACT: 0.1, Kind.PASSAGE: 0.6}, {}]
    found = nearest_kind(leaks, {Kind.FACT: 0.8, Kind.PASSAGE: 0.8})
    assert {kind: list(each.scores) for kind, each in found.items()} == {Kind.FACT: [0.9], Kind.PASSAGE: [0.6]}


def test_scores_of_traffic_serve_as_texts_do() -> None:
    scores = [0.72 + n / 1000 for n in range(100)]
    sample = ScoreSample({Kind.FACT: Histogram.of(scores), Kind.CONCEPT: Histogram()}, suppressed=3)
    binned = recalibrated(current(), scored_sample(sample), Target(0.05), "traffic")
    exact = computed([{Kind.FACT: score} for score in scores], Target(0.05))
    assert exact.values[Kind.FACT] <= binned.values[Kind.FACT] <= exact.values[Kind.FACT] + 0.005
    assert binned.thresholds[Kind.FACT].n == 100
    assert "3 suppressed requests" in sample_notes(sample)[1]
    assert len(sample_notes(ScoreSample())) == 1


def test_scores_are_counted_from_the_top() -> None:
    scored = Scored([0.2, 0.9, 0.5, 0.5], [1, 2, 3, 0])
    assert scored.n == 6
    assert list(scored.reaching([0.0, 0.2, 0.21, 0.5, 0.9, 0.91])) == [6, 6, 5, 5, 2, 0]
    assert list(scored.raised(0.6).reaching([0.6, 0.61])) == [6, 2]
