"""Thresholds belong to an embedder and a window rule, and say how sure they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.segments import DEFAULT_RULE, WindowRule
from guard.verdict import Kind
from index.calibration import (
    Calibration,
    Threshold,
    calibrate,
    calibration_for,
    check_fits,
    clopper_pearson,
    rule_id,
    shipped,
)
from index.errors import CalibrationMissing
from index.store import Store

SCORES = st.lists(st.floats(-0.2, 0.9999), min_size=1, max_size=300)


@given(SCORES, st.floats(0.0, 0.5))
def test_at_most_the_wanted_share_reaches_the_threshold(scores, fpr) -> None:
    found = calibrate(scores, fpr)
    reached = sum(score >= found.value for score in scores)
    assert reached <= fpr * len(scores)
    assert found.fpr == reached / len(scores) and found.n == len(scores)
    assert found.low <= found.fpr <= found.high


@given(SCORES, st.floats(0.0, 0.5))
def test_the_threshold_is_hardly_higher_than_it_must_be(scores, fpr) -> None:
    found = calibrate(scores, fpr)
    if found.value > 0.0002:
        assert sum(score >= found.value - 0.0002 for score in scores) > int(fpr * len(scores))


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # scipy.stats.binomtest(hits, n).proportion_ci(method="exact")
    [(0, 10, 0.0, 0.308497), (3, 10, 0.066740, 0.652453), (10, 10, 0.691503, 1.0), (1, 3600, 0.000007, 0.001547)],
)
def test_the_interval_is_the_exact_one(hits, n, low, high) -> None:
    assert clopper_pearson(hits, n) == pytest.approx((low, high), abs=2e-6)


def test_no_scores_are_no_calibration() -> None:
    with pytest.raises(ValueError, match="scores"):
        calibrate([], 0.01)


def made(embedder_hash: str, value: float = 0.5) -> Calibration:
    thresholds = dict.fromkeys(Kind, Threshold(value, 0.01, 100, 0.001, 0.05))
    return Calibration(embedder_hash, rule_id(), thresholds, "test")


def test_a_calibration_survives_its_json() -> None:
    assert Calibration.from_json(made("h").to_json()) == made("h")


@pytest.mark.parametrize("text", ["{}", "[]", '{"thresholds": {"fact": 3}}', '{"thresholds": {}}', "x"])
def test_what_is_no_calibration_is_refused(text) -> None:
    with pytest.raises(ValueError):
        Calibration.from_json(text)


def test_the_bundled_embedder_has_thresholds_for_the_default_windows(embedder, store: Store) -> None:
    found = calibration_for(embedder, store)
    assert found == shipped(embedder.hash, DEFAULT_RULE)
    check_fits(found, embedder)


def test_the_stores_own_thresholds_come_first(embedder, store: Store) -> None:
    store.put_calibration(embedder.hash, rule_id(), made(embedder.hash).to_json())
    assert calibration_for(embedder, store).values[Kind.FACT] == 0.5


class Another:
    name, hash, dimensions, longest = "another", "f" * 64, 8, 16


def test_an_embedder_without_thresholds_is_refused_with_advice(store: Store) -> None:
    with pytest.raises(CalibrationMissing, match="lethe calibrate"):
        calibration_for(Another(), store)
    store.put_calibration(Another.hash, rule_id(), made(Another.hash).to_json())
    assert calibration_for(Another(), store).embedder_hash == Another.hash


def test_thresholds_of_another_embedder_or_rule_do_not_fit(embedder) -> None:
    for wrong in (made("f" * 64), replace(made(embedder.hash), rule=rule_id(WindowRule(max_words=5)))):
        with pytest.raises(CalibrationMissing, match="lethe calibrate"):
            check_fits(wrong, embedder)
