"""Curves say with few points what many scores say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.verdict import Kind
from index.threshold import Threshold, clopper_pearson
from server.calibrating import Scored
from server.score_curves import POINTS, Curves, curves_of

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=80)


def curves(benign: list[float], leaks: list[float], threshold: float = 0.5) -> Curves:
    given_leaks = {Kind.FACT: Scored(leaks)} if leaks else {}
    return curves_of({Kind.FACT: Scored(benign)}, given_leaks, {Kind.FACT: Threshold(threshold)})[Kind.FACT]


@given(SCORES, SCORES)
def test_the_area_is_the_chance_that_a_leak_scores_higher(benign, leaks) -> None:
    pairs = [(leak > low) + 0.5 * (leak == low) for leak in leaks for low in benign]
    found = curves(benign, leaks).roc
    assert found.auc == pytest.approx(np.mean(pairs), abs=1e-5)
    assert (found.fpr[0], found.recall[0], found.fpr[-1], found.recall[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert np.all(np.diff(found.fpr) >= 0) and np.all(np.diff(found.recall) >= 0)


@given(SCORES, SCORES, st.floats(0.01, 1))
def test_each_threshold_says_what_reaches_it(benign, leaks, threshold) -> None:
    found = curves(benign, leaks, threshold)
    assert found.caught == sum(leak >= threshold for leak in leaks) / len(leaks)
    for i in (0, 99, 150, POINTS - 1):
        value = found.sweep.threshold[i]
        reached = sum(score >= value for score in benign)
        low, high = clopper_pearson(reached, len(benign))
        assert found.sweep.fpr[i] == pytest.approx(reached / len(benign), abs=1e-6)
        assert (found.sweep.fpr_low[i], found.sweep.fpr_high[i]) == pytest.approx((low, high), abs=1e-5)
        assert found.sweep.recall[i] == pytest.approx(sum(leak >= value for leak in leaks) / len(leaks), abs=1e-6)


@given(st.lists(st.floats(-0.5, 1), min_size=1, max_size=80))
def test_shares_of_a_distribution_add_up(scores) -> None:
    assert sum(curves(scores, []).distribution.benign) == pytest.approx(1, abs=1e-3)


def test_many_scores_make_few_points() -> None:
    draw = np.random.default_rng(0)
    found = curves(list(draw.beta(5, 8, 20_000)), list(draw.beta(9, 6, 5_000)))
    for points in (found.distribution.score, found.roc.fpr, found.roc.recall, found.sweep.threshold, found.sweep.fpr):
        assert 50 < len(points) <= POINTS
    assert sum(share < 0.01 for share in found.roc.fpr) > 50  # few false positives are what matters


def test_without_leaks_nothing_is_said_of_them() -> None:
    found = curves([0.1, 0.9], [])
    assert (found.caught, found.roc.auc, found.roc.fpr, found.distribution.leaks, found.sweep.recall) == (
        None,
        None,
        [],
        [],
        [],
    )
