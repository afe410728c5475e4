"""Where the static stage may clear: below what it gives to windows that convict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from guard.cascade import Cascade, Stage
from guard.detector import Evidence, Window
from guard.verdict import Action, Kind
from index.calibration import Calibration
from index.static_stage import LEAST_RECALL
from index.threshold import Threshold
from server.calibrating import Target
from server.calibration_report import Calibrated, Sources, calibrated
from server.clearing import FEWEST, clearances, clearing_notes, convicted_scores
from tests.server.world import Halves, SmallView, policy

VALUES = dict.fromkeys(Kind, 0.8)


class Lengths:
    """Stands for the static stage: the longer a window, the higher its score; no passage is known to it."""

    name = "static"

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
        return [[Evidence("f1", Kind.FACT, min(1.0, len(w.text) / 100), w.start, w.end)] for w in windows]


def view(static: bool = True) -> Any:
    shown = SmallView(Halves(), policy(Action.BLOCK))
    if static:
        shown.answer = Cascade((Stage(Lengths(), clear_below={Kind.FACT: 0.0}), *shown.answer.stages))
    return shown


def test_only_windows_that_convict_are_scored() -> None:
    leaks = [("", "It was the copper treaty."), ("", "Soup without any salt.")]
    assert convicted_scores(view(), leaks, VALUES, lambda: 0.0) == {Kind.FACT: [pytest.approx(0.25)]}
    assert convicted_scores(view(), leaks, dict.fromkeys(Kind, 0.95), lambda: 0.0) == {}
    assert convicted_scores(view(), [], VALUES, lambda: 0.0) == {}
    assert convicted_scores(view(static=False), leaks, VALUES, lambda: 0.0) == {}


def test_most_of_what_convicts_is_not_cleared() -> None:
    scores = np.random.default_rng(0).beta(6, 3, 3_000)
    found = clearances({Kind.FACT: list(scores), Kind.PASSAGE: [0.5] * (FEWEST - 1)})
    assert set(found) == {Kind.FACT}
    assert LEAST_RECALL <= (scores >= found[Kind.FACT]).mean() < LEAST_RECALL + 0.002
    assert clearances({Kind.FACT: [0.5] * FEWEST})[Kind.FACT] == pytest.approx(0.5)


def done(start: float, given: dict[Kind, list[float]], benign: float = 0.75) -> Calibrated:
    current = Calibration("h", "r", {kind: Threshold(start) for kind in Kind}, "s")
    current = replace(current, clear_below={Kind.FACT: 0.3, Kind.CONCEPT: 0.2})
    sources = Sources("a test", [{Kind.FACT: benign}] * 40, convicted=lambda _: given)
    return calibrated(current, sources, Target(0.05))


def test_enough_leaks_move_what_the_static_stage_may_clear() -> None:
    found = done(0.7, {Kind.FACT: [0.4] * 400})
    assert found.calibration.clear_below == {Kind.FACT: pytest.approx(0.4), Kind.CONCEPT: 0.2}
    assert not found.notes


def test_a_threshold_that_fell_takes_the_authority_away_unless_leaks_give_it_back() -> None:
    assert done(0.7, {}).calibration.clear_below == {Kind.FACT: 0.3, Kind.CONCEPT: 0.2}  # it rose
    fell = done(0.8, {Kind.FACT: [0.4] * 3})
    assert fell.calibration.clear_below == {Kind.CONCEPT: 0.2}
    assert "3 windows of leaks convict, 199 are needed" in fell.notes[0]
    assert "may not clear it any more" in fell.notes[1]
    assert done(0.8, {Kind.FACT: [0.4] * 400}).calibration.clear_below[Kind.FACT] == pytest.approx(0.4)


def test_nothing_is_said_of_a_stage_that_is_not_there() -> None:
    assert clearing_notes({}, {}, [Kind.FACT]) == []
