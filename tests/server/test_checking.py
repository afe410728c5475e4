"""Checking on a small view, without an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from guard.cascade import Cascade, Outcome, Review, Stage
from guard.detector import Evidence, Suspect, Window
from guard.verdict import Action, Kind, Match, Side, Verdict
from server.checking import Checked, check
from server.errors import TimedOut
from server.translation import check_out
from tests.guard.streams import PASSAGE
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


def test_every_stage_is_told_those_that_were_not_reached_too() -> None:
    class Sure:
        name = "static"

        def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
            return [[] for _ in windows]

    class Never:
        name = "claims"

        def review(self, suspects: Sequence[Suspect]) -> Sequence[Sequence[Evidence]]:
            raise AssertionError("nothing was suspect")

    shown = view()
    review = Review(Never(), dict.fromkeys(Kind, 1.0), dict.fromkeys(Kind, 0.5))
    shown.answer = Cascade((Stage(Sure(), {}, dict.fromkeys(Kind, 0.5)), *shown.answer.stages), reviews=(review,))
    checked = check(shown, "some ordinary words here.", "", Side.ANSWER, (ticking(0.001), 10.0))
    told = [(stage.stage, stage.outcome, stage.seconds > 0) for stage in checked.stages]
    assert told == [
        ("fingerprint", Outcome.UNDECIDED, True),
        ("static", Outcome.CLEAR, True),
        ("embedding", Outcome.UNDECIDED, False),
        ("claims", Outcome.UNDECIDED, False),
    ]


def test_a_watcher_and_a_stage_of_one_name_are_told_as_one() -> None:
    shown = view()
    shown.answer = Cascade((shown.prompt.stages[0], *shown.answer.stages))
    checked = check(shown, f"They say: {PASSAGE}.", "", Side.ANSWER, (ticking(0.001), 10.0))
    assert [stage.stage for stage in checked.stages] == ["fingerprint", "embedding"]
    assert checked.stages[0].outcome is Outcome.CONVICT


def test_a_match_names_the_reading_that_it_was_found_in() -> None:
    plain, dressed = (Match("f1", Kind.FACT, d, 0.9, 0.8, 0, 3, v) for d, v in (("a", "plain"), ("b", "base64+rot13")))
    shown = check_out(Checked(Verdict(Action.BLOCK, (plain, dressed)), ()))
    assert [match.view for match in shown.matches] == ["plain", "base64+rot13"]
