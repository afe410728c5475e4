"""Checking and calibrating on a small view, without an embedder."""

from __future__ import annotations

from typing import Any

import pytest

from guard.cascade import Outcome
from guard.verdict import Action, Kind, Side
from index.calibration import Calibration, Threshold
from server.calibrating import answer_peaks, recalibrated, share_reached
from server.checking import check
from server.errors import TimedOut
from tests.server.world import Halves, SmallView, policy


def ticking(step: float) -> Any:
    """A clock that moves at every look."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += step
        return now

    return clock


def view(**changes: Any) -> Any:
    return SmallView(Halves(), policy(Action.BLOCK, **changes))


def test_every_match_is_reported_although_the_first_one_stops() -> None:
    text = "It was the copper treaty. Nothing else was said that day. Then the copper treaty again was read."
    checked = check(view(), text, "", Side.ANSWER, (ticking(0.001), 10.0))
    assert checked.verdict.action is Action.BLOCK
    assert [m.entry_id for m in checked.verdict.matches] == ["f1"]
    stages = {stage.stage: stage for stage in checked.stages}
    assert stages["embedding"].outcome is Outcome.CONVICT
    assert stages["fingerprint"].outcome is Outcome.UNDECIDED
    assert stages["embedding"].seconds > 0


def test_a_check_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(TimedOut):
        check(view(), "some ordinary words here. " * 50, "", Side.ANSWER, (ticking(1.0), 0.5))


def test_a_detector_that_cannot_tell_shows_as_an_error_and_blocks() -> None:
    shown = view()
    shown.detector.failing = True
    checked = check(shown, "some ordinary words here.", "", Side.ANSWER, (ticking(0.001), 10.0))
    assert checked.verdict.action is Action.BLOCK
    assert checked.verdict.matches == ()
    assert [s.outcome for s in checked.stages if s.stage == "embedding"] == [Outcome.ERROR]


def current(value: float = 0.8) -> Calibration:
    return Calibration("h", "r", {kind: Threshold(value) for kind in Kind}, "shipped")


def test_a_threshold_is_set_where_the_wanted_share_of_answers_reaches_it() -> None:
    peaks = [{Kind.FACT: 0.70 + n / 1000} for n in range(100)]
    found = recalibrated(current(), peaks, 0.05)
    fact = found.thresholds[Kind.FACT]
    assert (fact.n, fact.fpr) == (100, 0.05)
    assert share_reached(found, peaks) == pytest.approx(0.05)
    assert found.thresholds[Kind.PASSAGE] == current().thresholds[Kind.PASSAGE]  # was not scored


def test_a_threshold_does_not_fall_below_what_is_looked_for() -> None:
    found = recalibrated(current(), [{Kind.FACT: 0.1}] * 100, 0.05)
    assert found.thresholds[Kind.FACT].value == pytest.approx(0.7, abs=1e-3)


def test_without_any_score_there_is_nothing_to_calibrate_on() -> None:
    with pytest.raises(ValueError, match="no entry"):
        recalibrated(current(), [{}] * 30, 0.05)


def test_the_peak_of_an_answer_is_its_nearest_window() -> None:
    samples = [("", "The weather was fine. It was the copper treaty."), ("", "A treaty of old."), ("", "Soup.")]
    peaks = list(answer_peaks(view(), samples, ticking(0.001)))
    assert [peak.get(Kind.FACT) for peak in peaks] == [0.9, 0.5, 0.1]
