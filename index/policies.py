"""Policies as JSON, the form in which the store keeps them."""

from __future__ import annotations

import json

from guard.policy import FailureRule, Mode, Policy, Streaming
from guard.verdict import Action, Kind


def policy_to_json(policy: Policy) -> str:
    """Everything a policy says."""
    return json.dumps(
        {
            "name": policy.name,
            "mode": policy.mode.value,
            "streaming": policy.streaming.value,
            "answer_actions": {kind.value: action.label for kind, action in policy.answer_actions.items()},
            "prompt_actions": {kind.value: action.label for kind, action in policy.prompt_actions.items()},
            "refusal": policy.refusal,
            "redaction": policy.redaction,
            "rewrite_tries": policy.rewrite_tries,
            "thresholds": {kind.value: threshold for kind, threshold in policy.thresholds.items()},
            "on_failure": policy.on_failure.value,
        }
    )


def policy_from_json(text: str) -> Policy:
    """The reverse. Raises `ValueError` when the text is no policy."""
    body = json.loads(text)
    try:
        return Policy(
            name=body["name"],
            mode=Mode(body["mode"]),
            streaming=Streaming(body["streaming"]),
            answer_actions={Kind(k): Action.from_label(a) for k, a in body["answer_actions"].items()},
            prompt_actions={Kind(k): Action.from_label(a) for k, a in body["prompt_actions"].items()},
            refusal=body["refusal"],
            redaction=body["redaction"],
            rewrite_tries=body["rewrite_tries"],
            thresholds={Kind(k): float(t) for k, t in body["thresholds"].items()},
            on_failure=FailureRule(body["on_failure"]),
        )
    except (KeyError, TypeError, AttributeError) as cause:
        raise ValueError(f"this is no policy: {cause!r}") from cause
