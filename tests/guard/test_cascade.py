"""The cascade runs the cheapest stage first, gives each its authority and no more, and stops when sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from guard.cascade import UNFINISHED, Cascade, Outcome, Stage
from guard.detector import Evidence, Window
from guard.errors import DetectorUnavailable
from guard.policy import Rules
from guard.scan import verdict_of
from guard.verdict import Action, Kind


class Scores:
    """A detector that reads its scores from the window: 'f1=0.7' is evidence of 0.7 for entry f1."""

    def __init__(self, name: str, broken: bool = False) -> None:
        self.name, self.broken, self.asked = name, broken, 0

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
        if self.broken:
            raise DetectorUnavailable(self.name, "switched off")
        self.asked += len(windows)
        return [
            [
                Evidence(part.split("=")[0], Kind.FACT, float(part.split("=")[1]), w.start, w.end)
                for part in w.text.split()
            ]
            for w in windows
        ]


CONVICT = {Kind.FACT: 0.8}
CLEAR = {Kind.FACT: 0.3}
TICKS = iter(range(10_000))


def judge(cascade: Cascade, *texts: str):  # type: ignore[no-untyped-def]
    return cascade.judge([Window(t, 0, len(t)) for t in texts], lambda: float(next(TICKS)))


def test_each_window_ends_with_its_own_outcome() -> None:
    last = Scores("last")
    cascade = Cascade((Stage(Scores("first"), CONVICT, CLEAR), Stage(last, {}, {})))
    findings, reports = judge(cascade, "f1=0.9", "f1=0.1", "f1=0.5", "")
    assert [bool(f.matches) for f in findings] == [True, False, False, False]
    assert [f.undecided for f in findings] == [False, False, True, False]
    assert reports[0].outcomes == {Outcome.CONVICT: 1, Outcome.CLEAR: 2, Outcome.UNDECIDED: 1}
    assert last.asked == 1, "what an earlier stage decided is not asked again"
    assert findings[2].peaks == {Kind.FACT: 0.5}


def test_a_stage_without_authority_to_clear_clears_nothing() -> None:
    findings, _ = judge(Cascade((Stage(Scores("only"), CONVICT),)), "f1=0.0")
    assert findings[0].undecided


def test_an_unfinished_sentence_is_held_from_further_below() -> None:
    cascade = Cascade((Stage(Scores("only"), CONVICT, CLEAR),))
    for score in (0.8, 0.8 - UNFINISHED + 0.01, 0.8 - UNFINISHED - 0.01):
        window = Window(f"f1={score}", 0, 5)
        whole, part = cascade.judge([window, replace(window, unfinished=True)], lambda: 0.0)[0]
        assert bool(whole.matches) == (score >= 0.8)
        assert bool(part.matches) == (score >= 0.8 - UNFINISHED)


def test_a_stage_without_authority_to_convict_convicts_nothing() -> None:
    findings, _ = judge(Cascade((Stage(Scores("only"), {}, CLEAR),)), "f1=1.0")
    assert not findings[0].matches


def test_a_convicting_stage_that_cannot_tell_fails_the_window() -> None:
    findings, reports = judge(Cascade((Stage(Scores("first", broken=True), CONVICT, CLEAR),)), "f1=0.1")
    assert findings[0].failed == ("first",)
    assert reports[0].outcomes == {Outcome.ERROR: 1}
    assert verdict_of(findings[0], Rules(1, {})).action is Action.BLOCK, "the default failure rule refuses"


def test_a_stage_that_only_clears_is_not_missed() -> None:
    cascade = Cascade((Stage(Scores("first", broken=True), {}, CLEAR), Stage(Scores("second"), CONVICT, CLEAR)))
    findings, _ = judge(cascade, "f1=0.1", "f1=0.9")
    assert [f.failed for f in findings] == [(), ()]
    assert [bool(f.matches) for f in findings] == [False, True]


def test_a_match_that_is_not_enough_leaves_the_window_to_the_next_stage() -> None:
    """The first stage finds an entry that is only flagged, the second one another that blocks."""
    first, second = Stage(Scores("first"), CONVICT, CLEAR), Stage(Scores("second"), CONVICT, CLEAR)
    findings, _ = judge(Cascade((first, second), lambda match: match.detector == "second"), "f1=0.9")
    assert [m.detector for m in findings[0].matches] == ["first", "second"]
    assert not findings[0].undecided


def test_stage_times_are_the_clocks() -> None:
    _, reports = judge(Cascade((Stage(Scores("only"), CONVICT, CLEAR),)), "f1=0.1")
    assert reports[0].seconds == 1.0
