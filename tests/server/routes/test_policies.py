"""Policies over the operator API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.operators import FACT, LEAK, Operators

POLICIES = "/lethe/v1/policies"


async def test_the_default_policy_exists_from_the_start(lethe: Operators) -> None:
    default = (await lethe.admin.get(f"{POLICIES}/default")).json()
    assert (default["mode"], default["streaming"]) == ("enforce", "adaptive")
    assert set(default["actions"]["answer"].values()) == {"block"}
    more = {name: default[name] for name in ("in_context", "fact_scope", "on_undecided", "disclosure")}
    assert more == {"in_context": "suppress", "fact_scope": "claims", "on_undecided": "allow", "disclosure": "label"}
    assert [p["name"] for p in (await lethe.admin.get(POLICIES)).json()["policies"]] == ["default"]


async def test_a_policy_applies_to_live_traffic_without_a_restart(lethe: Operators) -> None:
    put = await lethe.admin.put(f"{POLICIES}/gentle?wait=applied", json={"actions": {"answer": {"fact": "redact"}}})
    assert put.status_code == 200
    assert set(put.json()) == {"name", "revision"}
    await lethe.add(policy="gentle")
    assert await lethe.action() == "redact"
    await lethe.admin.put(f"{POLICIES}/gentle?wait=applied", json={"actions": {"fact": "rewrite"}})
    assert await lethe.action() == "rewrite"


async def test_what_get_answers_put_takes(lethe: Operators) -> None:
    body = {
        "mode": "shadow",
        "streaming": "strict",
        "adaptive": {"hold_above": 0.5, "hold_back": 20, "look_words": 2, "strict_near": 0.8},
        "actions": {"answer": {"passage": "redact"}, "prompt": {"fact": "block"}},
        "refusal": "No.",
        "redaction": "[…]",
        "rewrite_tries": 3,
        "thresholds": {"fact": 0.9},
        "adapter": None,
        "in_context": "flag",
        "fact_scope": "subject",
        "on_undecided": "suppress",
        "disclosure": "none",
        "ledger": {"share": 0.5, "window_s": 3600.0, "least_units": 2},
        "on_failure": "allow",
    }
    await lethe.admin.put(f"{POLICIES}/p", json=body)
    shown = (await lethe.admin.get(f"{POLICIES}/p")).json()
    assert shown["actions"]["answer"] == {"passage": "redact", "fact": "block", "concept": "block"}
    assert shown["actions"]["prompt"] == {"passage": "flag", "fact": "block", "concept": "flag"}
    assert {k: v for k, v in shown.items() if k not in ("name", "actions")} == {
        k: v for k, v in body.items() if k != "actions"
    }
    again = await lethe.admin.put(f"{POLICIES}/p", json=shown)
    assert again.status_code == 200
    assert (await lethe.admin.get(f"{POLICIES}/p")).json() == shown


async def test_shadow_mode_does_nothing_and_says_what_it_would_have_done(lethe: Operators) -> None:
    await lethe.admin.put(f"{POLICIES}/default?wait=applied", json={"mode": "shadow"})
    await lethe.add()
    answer = (await lethe.admin.post("/lethe/v1/check", json=LEAK)).json()
    assert (answer["action"], answer["shadowed"]) == ("flag", "block")


async def test_a_threshold_of_a_policy_wins_over_the_calibration(lethe: Operators) -> None:
    await lethe.admin.put(f"{POLICIES}/default?wait=applied", json={"thresholds": {"fact": 0.9999}})
    await lethe.add()
    assert await lethe.action() == "allow"
    assert await lethe.action({"text": FACT["text"], "prompt": FACT["prompt"]}) == "block"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"mode": "sleep"}, 400),
        ({"streaming": "slow"}, 400),
        ({"adaptive": {"look_words": 0}}, 400),
        ({"adaptive": {"hold": 1}}, 400),
        ({"actions": {"answer": {"fact": "explode"}}}, 400),
        ({"actions": {"prompt": {"fact": "redact"}}}, 400),
        ({"actions": {"answer": {"poem": "block"}}}, 400),
        ({"refusal": ""}, 400),
        ({"refusal": "   "}, 422),
        ({"rewrite_tries": 0}, 400),
        ({"rewrite_tries": 11}, 400),
        ({"thresholds": {"fact": 0}}, 400),
        ({"thresholds": {"fact": 1.5}}, 400),
        ({"in_context": "forbid"}, 400),
        ({"fact_scope": "everything"}, 400),
        ({"on_undecided": "block"}, 400),
        ({"disclosure": "all"}, 400),
        ({"adapter": "unlearned"}, 400),
        ({"on_failure": "panic"}, 400),
        ({"name": "other"}, 400),
        ({"colour": "red"}, 400),
        ([], 400),
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused(lethe: Operators, body: Any, status: int) -> None:
    answer = await lethe.admin.put(f"{POLICIES}/p", json=body)
    assert answer.status_code == status, answer.text
    assert (await lethe.admin.get(f"{POLICIES}/p")).status_code == 404
