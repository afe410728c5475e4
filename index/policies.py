"""Policies as JSON, the form in which the store keeps them."""

from __future__ import annotations

import json
from dataclasses import asdict

from guard.policy import (
    Adaptive,
    Disclosure,
    FactScope,
    FailureRule,
    InContext,
    LedgerRule,
    Mode,
    Policy,
    Streaming,
    Undecided,
)
from guard.verdict import Action, Kind


def policy_to_json(policy: Policy) -> str:
    """Everything a policy says."""
    return json.dumps(
        {
            "name": policy.name,
            "mode": policy.mode.value,
            "streaming": policy.streaming.value,
            "adaptive": asdict(policy.adaptive),
            "answer_actions": {kind.value: action.label for kind, action in policy.answer_actions.items()},
            "prompt_actions": {kind.value: action.label for kind, action in policy.prompt_actions.items()},
            "refusal": policy.refusal,
            "redaction": policy.redaction,
            "rewrite_tries": policy.rewrite_tries,
            "thresholds": {kind.value: threshold for kind, threshold in policy.thresholds.items()},
            "on_failure": policy.on_failure.value,
            "in_context": policy.in_context.value,
            "fact_scope": policy.fact_scope.value,
            "on_undecided": policy.on_undecided.value,
            "disclosure": policy.disclosure.value,
            "ledger": asdict(policy.ledger),
        }
    )


def policy_from_json(text: str) -> Policy:
    """The reverse. A field that was not known yet when the policy was written has the value of a new policy.

    Raises `ValueError` when the text is no policy.
    """
    body = json.loads(text)
    fresh = Policy()
    try:
        return Policy(
            name=body["name"],
            mode=Mode(body["mode"]),
            streaming=Streaming(body["streaming"]),
            adaptive=Adaptive(**body["adaptive"]) if "adaptive" in body else fresh.adaptive,
            answer_actions={Kind(k): Action.from_label(a) for k, a in body["answer_actions"].items()},
            prompt_actions={Kind(k): Action.from_label(a) for k, a in body["prompt_actions"].items()},
            refusal=body["refusal"],
            redaction=body["redaction"],
            rewrite_tries=body["rewrite_tries"],
            thresholds={Kind(k): float(t) for k, t in body["thresholds"].items()},
            on_failure=FailureRule(body["on_failure"]),
            in_context=InContext(body.get("in_context", fresh.in_context)),
            fact_scope=FactScope(body.get("fact_scope", fresh.fact_scope)),
            on_undecided=Undecided(body.get("on_undecided", fresh.on_undecided)),
            disclosure=Disclosure(body.get("disclosure", fresh.disclosure)),
            ledger=LedgerRule(**body["ledger"]) if "ledger" in body else fresh.ledger,
        )
    except (KeyError, TypeError, AttributeError) as cause:
        raise ValueError(f"this is no policy: {cause!r}") from cause
