"""The response around its items: what of it may pass, its usage, and responses of our own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from server.dialects.dialect import SUPPRESSED, Asked, Json
from server.dialects.fields import keep_known
from server.dialects.responses_echo import keep_echoes
from server.dialects.responses_fields import ECHOES, RESPONSE_FIELDS
from server.dialects.responses_ids import BoundIds
from server.dialects.responses_items import SPEECH, keep_items

_LENGTH: Final = "length"
_REASONS: Final = {_LENGTH: "max_output_tokens", SUPPRESSED: SUPPRESSED}
_FINISHED: Final = {reason: finish for finish, reason in _REASONS.items()}
_IDS: Final = ("id", "previous_response_id")
_ID_DIGITS: Final = 16
_OF_INPUT: Final = {
    "cached_tokens": 0,
    "cache_write_tokens": 0,
    "input_tokens_per_turn": [],
    "cached_tokens_per_turn": [],
}
_OF_OUTPUT: Final = {
    "reasoning_tokens": 0,
    "tool_output_tokens": 0,
    "output_tokens_per_turn": [],
    "tool_output_tokens_per_turn": [],
}


def keep_response(response: Json, given: Mapping[str, Any] | None, ids: BoundIds | None, dropped: list[str]) -> bool:
    """Take out of a response what is not known, and what repeats another request than `given`; True when it changed."""
    before = len(dropped)
    echoes: Json = {name: response[name] for name in ECHOES if name in response}
    output = response.get("output")
    response.update(dict.fromkeys(echoes))
    if isinstance(output, list):
        response["output"] = None
    keep_known(response, RESPONSE_FIELDS, dropped)
    response.update(echoes)
    keep_echoes(response, given, dropped)
    if isinstance(output, list):
        response["output"] = output
        keep_items(response, dropped)
    bind_ids(response, ids)
    return ids is not None or len(dropped) > before


def bind_ids(response: Json, ids: BoundIds | None) -> None:
    """Let a response name itself and the one that it goes on from as the client may know them."""
    if ids is not None:
        response.update({key: ids.bind(response[key]) for key in _IDS if isinstance(response.get(key), str)})


def usage_of_response(response: Json) -> Json | None:
    """The usage in the names of the dialects with choices."""
    usage = response.get("usage")
    if not isinstance(usage, dict):
        return None
    found: Json = {
        "prompt_tokens": usage.get("input_tokens", 0),
        "completion_tokens": usage.get("output_tokens", 0),
        "total_tokens": usage.get("total_tokens", 0),
    }
    if isinstance(usage.get("input_tokens_details"), dict):
        found["prompt_tokens_details"] = usage["input_tokens_details"]
    return found


def told_usage(usage: Json) -> Json:
    """The same in the names of this API. Of the answer's tokens nothing more is told than how many they are."""
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": usage.get("prompt_tokens_details") or dict(_OF_INPUT),
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": dict(_OF_OUTPUT),
        "total_tokens": usage["total_tokens"],
    }


def blank_response(asked: Asked, request_id: str, created: int) -> Json:
    """A response that says nothing yet, with the fields of the model server's."""
    given = asked.body
    return {
        "id": f"resp_{request_id[:_ID_DIGITS]}",
        "created_at": created,
        "incomplete_details": None,
        "instructions": given.get("instructions"),
        "metadata": given.get("metadata"),
        "model": asked.model,
        "object": "response",
        "output": [],
        "parallel_tool_calls": given.get("parallel_tool_calls") is not False,
        "temperature": _number(given, "temperature", 1.0),
        "tool_choice": (given.get("tool_choice") or "auto") if given.get("tools") else "none",
        "tools": given.get("tools") or [],
        "top_p": _number(given, "top_p", 1.0),
        "background": bool(given.get("background")),
        **{name: _number(given, name, None) for name in ("max_output_tokens", "max_tool_calls")},
        **{name: given.get(name) for name in ("previous_response_id", "prompt", "reasoning")},
        "service_tier": given.get("service_tier") or "auto",
        "status": "in_progress",
        "text": given.get("text"),
        "top_logprobs": None,
        "truncation": given.get("truncation") or "disabled",
        "usage": None,
        "user": given.get("user"),
        **{name: _number(given, name, 0.0) for name in ("presence_penalty", "frequency_penalty")},
        **dict.fromkeys(("kv_transfer_params", "ec_transfer_params", "input_messages", "output_messages")),
    }


def _number(given: Mapping[str, Any], name: str, usual: float | None) -> float | None:
    value = given.get(name)
    return value if isinstance(value, (int, float)) else usual


def finish(response: Json, finish_reason: str) -> None:
    """Let a response end for this reason."""
    reason = _REASONS.get(finish_reason)
    response["status"] = status_of(finish_reason)
    response["incomplete_details"] = {"reason": reason} if reason else None
    if response.get("error") is not None:
        response["error"] = None


def status_of(finish_reason: str) -> str:
    """The status of what ended for this reason."""
    return "incomplete" if finish_reason in _REASONS else "completed"


def finish_reason_of(response: Json) -> str:
    """Why a response ended, in the names of the dialects with choices."""
    details = response.get("incomplete_details") or {}
    if response.get("status") == "incomplete":
        return _FINISHED.get(str(details.get("reason")), _LENGTH)
    return "stop"


def message_id(response_id: object, number: int) -> str:
    """An id for a message of our own, like those of the model server."""
    return "msg_" + hashlib.sha256(f"{response_id}:{number}".encode("utf-8", "surrogatepass")).hexdigest()[:_ID_DIGITS]


def part(text: str) -> Json:
    """A part of a message."""
    return {"annotations": [], "text": text, "type": SPEECH, "logprobs": []}


def message(item_id: str, parts: list[Json], status: str) -> Json:
    """A message of the model's."""
    return {"id": item_id, "content": parts, "role": "assistant", "status": status, "type": "message", "phase": None}
