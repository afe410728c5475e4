"""A policy survives being kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy import FailureRule, Mode, Policy, Streaming
from guard.verdict import Action, Kind
from index.policies import policy_from_json, policy_to_json

WORDS = st.text(min_size=1, max_size=20).filter(str.strip)
POLICIES = st.builds(
    Policy,
    name=WORDS,
    mode=st.sampled_from(Mode),
    streaming=st.sampled_from(Streaming),
    answer_actions=st.fixed_dictionaries(dict.fromkeys(Kind, st.sampled_from(Action))),
    prompt_actions=st.fixed_dictionaries(
        dict.fromkeys(Kind, st.sampled_from([Action.ALLOW, Action.FLAG, Action.BLOCK]))
    ),
    refusal=WORDS,
    redaction=WORDS,
    rewrite_tries=st.integers(1, 10),
    thresholds=st.dictionaries(st.sampled_from(Kind), st.floats(0.01, 1.0)),
    on_failure=st.sampled_from(FailureRule),
)


@given(POLICIES)
def test_a_policy_survives_its_json(policy: Policy) -> None:
    assert policy_from_json(policy_to_json(policy)) == policy


@pytest.mark.parametrize("text", ["{}", "[]", "3", '{"name": "x"}', "{"])
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        policy_from_json(text)
