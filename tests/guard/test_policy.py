"""Policies turn matches into a verdict: the strongest action wins, shadow never acts, failure follows its rule."""

from __future__ import annotations

from typing import Any

import pytest

from guard.policy import FailureRule, Mode, Policy, Rule, Rules, Streaming
from guard.scan import combine
from guard.verdict import Action, Kind, Match, Side, Verdict


def actions(action: Action) -> dict[Kind, Action]:
    return dict.fromkeys(Kind, action)


def match(entry_id: str, kind: Kind = Kind.FACT) -> Match:
    return Match(entry_id, kind, "embedding", 0.9, 0.8, 3, 9)


RULES = Rules(
    7,
    {
        "block": Rule("block", Kind.FACT, Policy("b")),
        "redact": Rule("redact", Kind.FACT, Policy("r", answer_actions=actions(Action.REDACT))),
        "shadow": Rule("shadow", Kind.FACT, Policy("s", mode=Mode.SHADOW)),
    },
)


def test_the_strongest_action_wins() -> None:
    assert RULES.decide([match("redact"), match("block")], Side.ANSWER).action is Action.BLOCK
    assert RULES.decide([match("redact")], Side.ANSWER).action is Action.REDACT
    assert RULES.decide([], Side.ANSWER) == Verdict(revision=7)


def test_a_shadow_policy_flags_and_says_what_it_would_have_done() -> None:
    verdict = RULES.decide([match("shadow")], Side.ANSWER)
    assert (verdict.action, verdict.shadowed) == (Action.FLAG, Action.BLOCK)


def test_matches_of_entries_that_are_gone_are_ignored() -> None:
    assert RULES.decide([match("gone")], Side.ANSWER) == Verdict(revision=7)


def test_a_prompt_is_flagged_by_default_and_never_redacted() -> None:
    assert RULES.decide([match("block")], Side.PROMPT).action is Action.FLAG
    with pytest.raises(ValueError, match="a prompt can be"):
        Policy(prompt_actions=actions(Action.REDACT))


def test_what_could_not_be_judged_follows_the_failure_rule() -> None:
    assert RULES.decide([], Side.ANSWER, ("embedding",)).action is Action.BLOCK
    lenient = Rules(1, {"x": Rule("x", Kind.FACT, Policy("l", on_failure=FailureRule.ALLOW))})
    assert lenient.decide([], Side.ANSWER, ("embedding",)).action is Action.ALLOW


def test_the_policy_of_a_verdict_is_the_one_whose_action_is_carried_out() -> None:
    verdict = RULES.decide([match("redact"), match("block")], Side.ANSWER)
    assert RULES.policy_of(verdict).name == "b"


@pytest.mark.parametrize(
    ("policy", "mode"),
    [
        (Policy(), Streaming.ADAPTIVE),
        (Policy(streaming=Streaming.STRICT), Streaming.STRICT),
        (Policy(answer_actions=actions(Action.REDACT)), Streaming.STRICT),
        (Policy(answer_actions=actions(Action.REDACT), mode=Mode.SHADOW), Streaming.ADAPTIVE),
    ],
)
def test_entries_that_may_be_redacted_hold_whole_windows_back(policy: Policy, mode: Streaming) -> None:
    assert Rules(1, {"x": Rule("x", Kind.FACT, policy)}).streaming is mode


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"refusal": " "},
        {"redaction": ""},
        {"rewrite_tries": 0},
        {"rewrite_tries": 11},
        {"answer_actions": {Kind.FACT: Action.BLOCK}},
        {"thresholds": {Kind.FACT: 0.0}},
        {"thresholds": {Kind.FACT: 1.5}},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|names|needs"):
        Policy(**wrong)


def test_verdicts_of_one_text_combine_to_the_strongest_with_the_best_match_of_each_entry() -> None:
    low = Match("a", Kind.FACT, "embedding", 0.81, 0.8, 0, 4)
    high = Match("a", Kind.FACT, "embedding", 0.95, 0.8, 5, 9)
    combined = combine([Verdict(Action.FLAG, (low,), revision=3), Verdict(Action.BLOCK, (high,), ("x",), 3)])
    assert combined == Verdict(Action.BLOCK, (high,), ("x",), 3)


def test_actions_have_the_names_of_the_api() -> None:
    assert [a.label for a in Action] == ["allow", "flag", "redact", "rewrite", "block"]
    assert Action.from_label("rewrite") is Action.REWRITE
    with pytest.raises(ValueError, match="choose one of"):
        Action.from_label("erase")
    with pytest.raises(ValueError, match="start <= end"):
        Match("a", Kind.FACT, "d", 1.0, 1.0, 5, 4)
