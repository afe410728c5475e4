"""The matching rule: what counts for which kind, and how scores of different policies meet on one scale."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy import Policy
from guard.verdict import Kind
from index.matching import BRIEF_WORDS, Closeness, Scale, carried, score, upper_score

LEVELS = st.floats(0.05, 0.99)
COSINES = st.floats(-1.0, 1.0)
NEAR = st.builds(Closeness, COSINES | st.none(), COSINES | st.none(), st.integers(1, 60))
THRESHOLDS = st.fixed_dictionaries(dict.fromkeys(Kind, LEVELS))
POLICIES = st.lists(st.dictionaries(st.sampled_from(Kind), LEVELS, max_size=3), max_size=3).map(
    lambda found: [Policy(name=f"p{n}", thresholds=t) for n, t in enumerate(found)]
)
AGREEMENT = st.floats(0.0, 1.0)


@given(st.sampled_from(Kind), NEAR, AGREEMENT, AGREEMENT)
def test_agreeing_more_never_lowers_a_score_and_the_upper_score_bounds_it(kind, near, a, b) -> None:
    low, high = sorted([a, b])
    assert score(kind, near, low) <= score(kind, near, high) <= score(kind, near, 1.0)
    assert score(kind, near, 1.0) <= upper_score(kind, near) + 1e-9


@given(st.sampled_from(Kind), COSINES, COSINES, COSINES | st.none(), st.integers(1, 60), AGREEMENT)
def test_coming_nearer_never_lowers_a_score(kind, a, b, exchange, words, agreement) -> None:
    low, high = sorted([a, b])
    far, near = Closeness(low, exchange, words), Closeness(high, exchange, words)
    assert score(kind, far, agreement) <= score(kind, near, agreement) + 1e-9


def test_a_fact_with_other_names_scores_less_unless_it_is_unmistakable() -> None:
    alike = Closeness(0.85, 0.85, 12)
    assert score(Kind.FACT, alike, 1.0) == pytest.approx(0.85)
    assert score(Kind.FACT, alike, 0.0) == pytest.approx(0.73)
    assert score(Kind.FACT, Closeness(0.85, None, 12), 0.0) == pytest.approx(0.63)


def test_names_do_not_matter_for_passages_and_concepts() -> None:
    for kind in (Kind.PASSAGE, Kind.CONCEPT):
        assert score(kind, Closeness(0.8, None, 12), 0.0) == 0.8


def test_a_brief_window_says_little_about_a_passage() -> None:
    assert score(Kind.PASSAGE, Closeness(0.8, None, BRIEF_WORDS - 1), 1.0) < 0.8


def test_only_the_exchange_can_speak_for_a_brief_answer() -> None:
    assert score(Kind.FACT, Closeness(None, 0.9, 2), 1.0) == pytest.approx(0.88)


def test_what_was_not_compared_does_not_match() -> None:
    for kind in Kind:
        assert score(kind, Closeness(None, None, 5), 1.0) < 0


@given(COSINES, COSINES, LEVELS, LEVELS)
def test_a_carried_score_keeps_order_and_meets_the_other_threshold(a, b, threshold, onto) -> None:
    low, high = sorted([a, b])
    assert carried(low, threshold, onto) <= carried(high, threshold, onto) + 1e-12
    assert abs(carried(threshold, threshold, onto) - onto) < 1e-9
    assert abs(carried(1.0, threshold, onto) - 1.0) < 1e-9
    assert (carried(a, threshold, onto) >= onto) == (a >= threshold) or abs(a - threshold) < 1e-9


@given(THRESHOLDS, POLICIES, COSINES, st.sampled_from(Kind))
def test_a_score_convicts_exactly_from_its_policys_threshold_on(thresholds, policies, value, kind) -> None:
    scale = Scale.of(thresholds, policies)
    for policy in policies:
        level = policy.thresholds.get(kind, thresholds[kind])
        convicts = scale.placed(value, kind, policy) >= scale.convict_at[kind]
        assert convicts == (value >= level) or abs(value - level) < 1e-6
        assert level >= scale.floor, "a search would miss what convicts"


@given(THRESHOLDS, st.sampled_from(Kind), NEAR, AGREEMENT)
def test_a_search_from_the_floor_on_finds_what_convicts(thresholds, kind, near, agreement) -> None:
    scale = Scale.of(thresholds, [Policy()])
    if score(kind, near, agreement) >= thresholds[kind]:
        assert max(c for c in (near.statement, near.exchange) if c is not None) >= scale.floor


def test_an_override_that_all_entries_share_is_the_threshold_shown() -> None:
    loose = Policy(thresholds={Kind.FACT: 0.7})
    scale = Scale.of(dict.fromkeys(Kind, 0.8), [loose])
    assert scale.convict_at == {Kind.FACT: 0.7, Kind.PASSAGE: 0.8, Kind.CONCEPT: 0.8}
    assert scale.placed(0.75, Kind.FACT, loose) == 0.75


def test_without_overrides_a_score_stays_as_it_is() -> None:
    scale = Scale.of(dict.fromkeys(Kind, 0.8), [Policy()])
    assert scale.placed(0.31, Kind.CONCEPT, Policy()) == 0.31
