"""Scores of passing traffic: bins, and what the store makes of operators' labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.verdict import Action, Kind, Side
from index.decisions import Decision, Label
from index.score_histogram import (
    BINS,
    HOUR_S,
    WIDTH,
    Histogram,
    ScoreCount,
    ScoreFilter,
    bin_of,
    score_basis,
)
from index.store import Store
from index.threshold import calibrate

BASIS = score_basis("hash", "torch-float32", "rule")
HOUR = 400_000


@given(st.floats(0, 1))
def test_a_score_lies_in_its_bin(score) -> None:
    b = bin_of(score)
    assert b * WIDTH - 1e-6 <= score <= (b + 1) * WIDTH + 1e-6


@pytest.mark.parametrize(("score", "b"), [(-0.3, 0), (0.0, 0), (0.77, 154), (0.7699, 153), (1.0, BINS - 1), (1.2, 199)])
def test_bins_begin_at_multiples_of_their_width(score, b) -> None:
    assert bin_of(score) == b


@given(st.lists(st.floats(0, 0.99), min_size=1, max_size=200), st.floats(0.01, 0.5))
def test_a_threshold_from_bins_convicts_no_more_than_one_from_scores(scores, fpr) -> None:
    histogram = Histogram.of(scores)
    exact = calibrate(scores, fpr)
    binned = calibrate(histogram.scores, fpr, counts=histogram.counts)
    assert exact.value - 1e-3 <= binned.value <= exact.value + WIDTH + 1e-3
    assert sum(score >= binned.value for score in scores) <= fpr * len(scores)
    assert histogram.share_from(binned.value) >= sum(score >= binned.value for score in scores) / len(scores)


def test_a_histogram_has_a_count_per_bin() -> None:
    for counts in ((1, 2), (0,) * (BINS - 1) + (-1,)):
        with pytest.raises(ValueError, match="histogram"):
            Histogram(counts)
    assert Histogram().share_from(0.5) == 0.0


def counted(b: int, texts: int, **changes: object) -> ScoreCount:
    return ScoreCount(
        **{"basis": BASIS, "namespace": "ns", "kind": Kind.FACT, "side": Side.ANSWER, "hour": HOUR}
        | changes
        | {"bin": b, "texts": texts}
    )


def wanted(**changes: object) -> ScoreFilter:
    return ScoreFilter(**{"basis": BASIS, "namespace": "ns", **changes})


def test_counts_add_up_and_keep_apart_what_is_different(store: Store) -> None:
    store.add_scores([counted(3, 2), counted(9, 1)])
    store.add_scores([counted(3, 5), counted(3, 4, hour=HOUR + 1), counted(4, 1, kind=Kind.PASSAGE)])
    store.add_scores([counted(5, 9, basis="other"), counted(5, 9, namespace="shop"), counted(5, 9, side=Side.PROMPT)])
    found = store.score_sample(wanted()).histograms
    assert set(found) == {Kind.FACT, Kind.PASSAGE}
    assert {b: n for b, n in enumerate(found[Kind.FACT].counts) if n} == {3: 11, 9: 1}
    assert found[Kind.PASSAGE].n == 1
    assert store.score_sample(wanted(side=Side.PROMPT)).histograms[Kind.FACT].n == 9
    later = store.score_sample(wanted(since=(HOUR + 1) * HOUR_S + 30.0)).histograms
    assert {b: n for b, n in enumerate(later[Kind.FACT].counts) if n} == {3: 4}
    assert store.score_sample(wanted(namespace="empty")).histograms == {}


def test_old_counts_are_forgotten(store: Store) -> None:
    store.add_scores([counted(3, 1), counted(3, 1, hour=HOUR - 5), counted(4, 1, hour=HOUR - 5)])
    assert store.forget_scores((HOUR - 4) * HOUR_S) == 2
    assert store.score_sample(wanted()).histograms[Kind.FACT].n == 1


def decided(number: int, score: float, label: Label | None, **changes: object) -> Decision:
    plain = {
        "id": f"dec_{number}",
        "at": HOUR * HOUR_S + 5.0,
        "namespace": "ns",
        "dialect": "chat",
        "side": Side.ANSWER,
        "action": Action.BLOCK,
        "revision": 1,
        "request_id": f"r{number}",
        "kind": Kind.FACT,
        "stage": "embedding",
        "score": score,
        "label": label,
    }
    return Decision(**{**plain, **changes})


def test_labels_correct_what_passed_and_what_was_suppressed(store: Store) -> None:
    store.add_scores([counted(bin_of(0.3), 100), counted(bin_of(0.81), 2)])
    store.add_decisions(
        [
            decided(1, 0.90, Label.FALSE_POSITIVE),
            decided(2, 0.70, Label.FALSE_POSITIVE, request_id="r1"),  # the same answer: its best score counts
            decided(3, 0.81, Label.HIT, shadow=True),  # passed, and should not have
            decided(4, 0.95, Label.HIT),  # suppressed, and rightly so
            decided(5, 0.85, None),  # suppressed: nobody knows
            decided(6, 0.81, Label.FALSE_POSITIVE, action=Action.FLAG),  # passed: is counted already
            decided(7, 1.0, Label.FALSE_POSITIVE, stage="fingerprint"),  # not on the scale of the thresholds
            decided(8, 0.9, Label.FALSE_POSITIVE, namespace="shop"),
            decided(9, 0.9, Label.FALSE_POSITIVE, at=(HOUR - 3) * HOUR_S),
            decided(10, 0.9, Label.FALSE_POSITIVE, side=Side.PROMPT),
        ]
    )
    found = store.score_sample(wanted(since=HOUR * HOUR_S))
    counts = {b: n for b, n in enumerate(found.histograms[Kind.FACT].counts) if n}
    assert counts == {bin_of(0.3): 100, bin_of(0.81): 1, bin_of(0.90): 1}
    assert (found.added, found.taken, found.suppressed) == (1, 1, 2)


def test_a_label_for_a_kind_without_counts_is_a_sample_of_its_own(store: Store) -> None:
    store.add_decisions(
        [decided(1, 0.9, Label.FALSE_POSITIVE), decided(2, 0.9, Label.HIT, shadow=True, kind=Kind.CONCEPT)]
    )
    found = store.score_sample(wanted())
    assert {kind: h.n for kind, h in found.histograms.items()} == {Kind.FACT: 1}
