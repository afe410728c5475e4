"""Thresholds keep the rate that they promise, and the prediction for the next answers holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.threshold import Method, Prediction, Threshold, answers_needed, calibrate, clopper_pearson

SCORES = st.lists(st.floats(-0.2, 0.9999), min_size=1, max_size=300)
RATES = st.floats(0.001, 0.5)
SPLITS = 100


@given(SCORES, RATES)
def test_at_most_the_wanted_share_reaches_the_threshold(scores, fpr) -> None:
    found = calibrate(scores, fpr)
    reached = sum(score >= found.value for score in scores)
    assert reached <= fpr * len(scores)
    assert found.fpr == reached / len(scores) and found.n == len(scores)
    assert found.low <= found.fpr <= found.high
    assert not found.shown or found.expected <= fpr + 1e-9


@given(SCORES, RATES)
def test_the_threshold_is_hardly_higher_than_it_must_be(scores, fpr) -> None:
    found = calibrate(scores, fpr)
    if found.value > 0.0002:
        k = max(1, math.floor(fpr * (len(scores) + 1)))
        assert sum(score >= found.value - 0.0002 for score in scores) >= k


@given(st.lists(st.floats(0.0, 0.9999), min_size=1, max_size=60), RATES)
def test_a_score_with_a_count_is_that_many_answers(scores, fpr) -> None:
    thrice = calibrate([score for score in scores for _ in range(3)], fpr)
    assert calibrate(scores, fpr, counts=[3] * len(scores)) == thrice
    assert calibrate([*scores, 0.5], fpr, counts=[3] * len(scores) + [0]) == thrice


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # scipy.stats.binomtest(hits, n).proportion_ci(method="exact")
    [(0, 10, 0.0, 0.308497), (3, 10, 0.066740, 0.652453), (10, 10, 0.691503, 1.0), (1, 3600, 0.000007, 0.001547)],
)
def test_the_interval_is_the_exact_one(hits, n, low, high) -> None:
    assert clopper_pearson(hits, n) == pytest.approx((low, high), abs=2e-6)


def test_too_few_answers_are_said_to_show_nothing() -> None:
    scores = np.linspace(0.1, 0.6, 98)
    found = calibrate(scores, 0.01)
    assert (found.shown, found.fpr, found.value) == (False, 0.0, 0.6001)
    assert found.expected == pytest.approx(1 / 99) and found.expected > 0.01
    assert answers_needed(0.01) == 99
    assert calibrate(np.append(scores, 0.2), 0.01).shown


def test_a_bound_needs_more_answers_and_keeps_its_confidence() -> None:
    # Wilks: the largest of n values leaves less than 1 % above it with confidence 1 - 0.99 ** n.
    assert answers_needed(0.01, 0.95) == 299
    assert 1 - 0.99**299 >= 0.95 > 1 - 0.99**298
    assert not calibrate(np.linspace(0.1, 0.6, 298), 0.01, sure=0.95).shown
    found = calibrate(np.linspace(0.1, 0.6, 299), 0.01, sure=0.95)
    assert found.shown and found.method is Method.BOUND
    assert found.confidence == pytest.approx(1 - 0.99**299)
    many = np.linspace(0.1, 0.9, 5000)
    assert calibrate(many, 0.01, sure=0.95).value > calibrate(many, 0.01).value
    assert calibrate(many, 0.01, sure=0.95).confidence >= 0.95 > calibrate(many, 0.01).confidence


def test_scores_of_one_reach_every_threshold_and_that_is_said() -> None:
    found = calibrate([1.0] * 5 + [0.1] * 95, 0.02)
    assert (found.value, found.fpr, found.shown) == (1.0, 0.05, False)
    assert found.following is not None and found.following.high > 20
    everything = calibrate([1.0] * 30, 0.1)
    assert (everything.expected, everything.following) == (1.0, Prediction(1000, 0, 1000))


@pytest.mark.parametrize(
    ("scores", "options"),
    [
        ([], {}),
        ([0.5], {"fpr": 0.0}),
        ([0.5], {"fpr": 1.0}),
        ([0.5], {"sure": 1.0}),
        ([0.5], {"next_n": 0}),
        ([math.nan], {}),
        ([0.5], {"counts": [-1]}),
        ([0.5], {"counts": [1, 2]}),
        ([0.5], {"counts": [0]}),
    ],
)
def test_what_cannot_be_calibrated_on_is_refused(scores, options) -> None:
    with pytest.raises(ValueError):
        calibrate(scores, **{"fpr": 0.1, **options})


def test_a_threshold_lies_above_0_and_is_at_most_1() -> None:
    for value in (0.0, 1.1):
        with pytest.raises(ValueError, match="threshold"):
            Threshold(value)


# -- the promise: calibrate on one half, count on the other ------------------------------------------------------------


def smooth(draw: np.random.Generator, n: int) -> np.ndarray:
    return draw.beta(6, 8, n)


def heavy(draw: np.random.Generator, n: int) -> np.ndarray:
    return np.clip(0.3 + 0.04 * draw.standard_t(2, n), 0, 0.9999)


def two_humps(draw: np.random.Generator, n: int) -> np.ndarray:
    return np.where(draw.random(n) < 0.97, draw.beta(3, 12, n), draw.beta(30, 10, n))


def tied(draw: np.random.Generator, n: int) -> np.ndarray:
    return np.round(draw.beta(6, 8, n) * 20) / 20


def mostly_cleared(draw: np.random.Generator, n: int) -> np.ndarray:
    return np.where(draw.random(n) < 0.98, 0.0, draw.random(n))


@pytest.mark.parametrize("scores", [smooth, heavy, two_humps, tied, mostly_cleared])
@pytest.mark.parametrize("fpr", [0.002, 0.01, 0.1])
@pytest.mark.parametrize("sure", [None, 0.9])
def test_the_held_out_rate_lies_inside_the_prediction(scores, fpr, sure) -> None:
    """In at least 90 of 100 seeded splits."""
    inside = 0
    for seed in range(SPLITS):
        drawn = scores(np.random.default_rng(seed), 3_000)
        found = calibrate(drawn[:1_500], fpr, 1_500, sure)
        assert found.following is not None
        inside += found.following.holds(int((drawn[1_500:] >= found.value).sum()))
    assert inside >= 90


def test_a_bound_is_exceeded_as_rarely_as_it_says() -> None:
    exceeded = 0
    for seed in range(300):
        draw = np.random.default_rng(seed)
        found = calibrate(draw.random(1_000), 0.02, sure=0.9)
        exceeded += 1 - found.value > 0.02  # of uniform scores the true rate is known
    assert exceeded <= 45  # 30 are expected; more than 45 have a probability below 0.3 %


def test_the_prediction_is_no_wider_than_it_must_be() -> None:
    """An interval that held everything would be no prediction."""
    inside = 0
    for seed in range(300):
        drawn = np.random.default_rng(seed).random(4_000)
        found = calibrate(drawn[:2_000], 0.05, 2_000)
        assert found.following is not None
        inside += found.following.holds(int((drawn[2_000:] >= found.value).sum()))
        assert found.following.high - found.following.low < 60  # 100 are expected, the standard deviation is near 14
    assert 270 <= inside <= 298
