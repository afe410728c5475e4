"""A policy survives being kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy import Adaptive, Disclosure, FactScope, FailureRule, InContext, Mode, Policy, Streaming, Undecided
from guard.verdict import Action, Kind
from index.policies import policy_from_json, policy_to_json

WORDS = st.text(min_size=1, max_size=20).filter(str.strip)
POLICIES = st.builds(
    Policy,
    name=WORDS,
    mode=st.sampled_from(Mode),
    streaming=st.sampled_from(Streaming),
    adaptive=st.builds(Adaptive, st.floats(0.01, 1.0), st.integers(0, 1000), st.integers(1, 32), st.floats(0.01, 1.0)),
    answer_actions=st.fixed_dictionaries(dict.fromkeys(Kind, st.sampled_from(Action))),
    prompt_actions=st.fixed_dictionaries(
        dict.fromkeys(Kind, st.sampled_from([Action.ALLOW, Action.FLAG, Action.BLOCK]))
    ),
    refusal=WORDS,
    redaction=WORDS,
    rewrite_tries=st.integers(1, 10),
    thresholds=st.dictionaries(st.sampled_from(Kind), st.floats(0.01, 1.0)),
    on_failure=st.sampled_from(FailureRule),
    in_context=st.sampled_from(InContext),
    fact_scope=st.sampled_from(FactScope),
    on_undecided=st.sampled_from(Undecided),
    disclosure=st.sampled_from(Disclosure),
)
NEWER = ("adaptive", "in_context", "fact_scope", "on_undecided", "disclosure")


@given(POLICIES)
def test_a_policy_survives_its_json(policy: Policy) -> None:
    assert policy_from_json(policy_to_json(policy)) == policy


def test_a_policy_that_was_kept_before_a_field_existed_has_the_value_of_a_new_one() -> None:
    kept = json.loads(policy_to_json(Policy("old", in_context=InContext.ALLOW, disclosure=Disclosure.NONE)))
    for name in NEWER:
        del kept[name]
    assert policy_from_json(json.dumps(kept)) == Policy("old")


@pytest.mark.parametrize("name", [name for name in NEWER if name != "adaptive"])
def test_a_value_that_does_not_exist_is_refused(name: str) -> None:
    kept = json.loads(policy_to_json(Policy()))
    with pytest.raises(ValueError, match="sometimes"):
        policy_from_json(json.dumps({**kept, name: "sometimes"}))


@pytest.mark.parametrize("adaptive", ["sometimes", {"hold": 1}, {"look_words": 0}])
def test_adaptive_parameters_that_make_no_sense_are_refused(adaptive: object) -> None:
    kept = json.loads(policy_to_json(Policy()))
    with pytest.raises(ValueError, match=r"no policy|look_words"):
        policy_from_json(json.dumps({**kept, "adaptive": adaptive}))


@pytest.mark.parametrize("text", ["{}", "[]", "3", '{"name": "x"}', "{"])
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        policy_from_json(text)
