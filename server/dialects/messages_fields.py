"""The known fields of `/v1/messages`: of a message, of each kind of block, of each type of event; and its counts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from server.dialects.dialect import Channel, Json, Piece
from server.dialects.fields import Each, Fields, Leaf, is_name, keep_known

_PLAIN, _TEXT, _WITHHELD = Leaf.PLAIN, Leaf.TEXT, Leaf.WITHHELD

TEXT_BLOCK, TOOL_BLOCK, THINKING_BLOCK = "text", "tool_use", "thinking"
KNOWN_BLOCKS: Final = frozenset({TEXT_BLOCK, TOOL_BLOCK, THINKING_BLOCK, "redacted_thinking"})
KNOWN_DELTAS: Final = frozenset({"text_delta", "thinking_delta", "input_json_delta", "signature_delta"})

USAGE_FIELDS: Final[Fields] = {
    **dict.fromkeys(("input_tokens", "output_tokens"), _PLAIN),
    **dict.fromkeys(("cache_creation_input_tokens", "cache_read_input_tokens"), _PLAIN),
    "cache_creation": dict.fromkeys(("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"), _PLAIN),
    "output_tokens_details": {"thinking_tokens": _PLAIN},
    "server_tool_use": dict.fromkeys(("web_search_requests", "web_fetch_requests"), _PLAIN),
    **dict.fromkeys(("service_tier", "inference_geo", "speed"), _PLAIN),
}
BLOCK_FIELDS: Final[Fields] = {
    "type": _PLAIN,
    **dict.fromkeys(("text", "thinking", "signature", "data", "id", "name"), _TEXT),
    "input": {},  # empty where a stream begins a tool call; that of a whole answer is read as a text of its own
    "citations": _WITHHELD,
    "caller": _WITHHELD,
    # of blocks that clients send and servers do not
    **dict.fromkeys(("source", "content", "tool_use_id", "tool_name", "tool", "is_error"), _WITHHELD),
}
_WHY: Final[Fields] = {
    "stop_reason": _PLAIN,
    "stop_sequence": _TEXT,
    "stop_details": _WITHHELD,
    "container": _WITHHELD,
}
MESSAGE_FIELDS: Final[Fields] = {
    **dict.fromkeys(("id", "type", "role"), _PLAIN),
    "model": Leaf.MODEL,
    "content": Each(BLOCK_FIELDS),
    **_WHY,
    "usage": USAGE_FIELDS,
    **dict.fromkeys(("kv_transfer_params", "ec_transfer_params", "diagnostics", "context_management"), _WITHHELD),
}
_BLOCK: Final[Fields] = {"type": _PLAIN, "index": _PLAIN}
BEGUN_FIELDS: Final[Fields] = {**MESSAGE_FIELDS, "content": Leaf.EMPTY, "stop_sequence": _WITHHELD}
"""Of a message of which nothing is said yet."""

EVENT_FIELDS: Final[Mapping[str, Fields]] = {
    "message_start": {"type": _PLAIN, "message": BEGUN_FIELDS},
    "content_block_start": {**_BLOCK, "content_block": BLOCK_FIELDS},
    "content_block_delta": {
        **_BLOCK,
        "delta": {
            "type": _PLAIN,
            **dict.fromkeys(("text", "thinking", "partial_json", "signature"), _TEXT),
            "citation": _WITHHELD,
            "estimated_tokens": _PLAIN,
        },
    },
    "content_block_stop": _BLOCK,
    "message_delta": {"type": _PLAIN, "delta": _WHY, "usage": USAGE_FIELDS, "context_management": _WITHHELD},
    "message_stop": {"type": _PLAIN},
    "ping": {"type": _PLAIN},
}
"""By the type of the event. An error is told in our own words."""

_RANDOM_ID: Final = re.compile(r"(?:chatcmpl-tool-|call_|toolu_)?[0-9A-Za-z]{1,40}")
_RANDOM_SIGNATURE: Final = re.compile(r"[0-9a-f]{32}")
_SPOKEN: Final = {"text": Channel(0, TEXT_BLOCK), "thinking": Channel(0, THINKING_BLOCK)}
_STOP_SEQUENCE: Final = Channel(0, "stop_sequence", hold_whole=True)


def pieces_of(holder: Json, number: int) -> Iterator[Piece]:
    """The texts of a block, or of a piece of one; `number` tells the blocks of an answer apart.

    A signature may say anything, so it is text unless it is the random number that vLLM puts there.
    """
    for key in ("thinking", "text", "signature", "data", "id", "name", "partial_json"):
        text = holder.get(key)
        if not text:
            continue
        if key in _SPOKEN:
            yield Piece(_SPOKEN[key]._replace(part=str(number)), text, holder, key)
        elif key == "data" or (key == "signature" and not _RANDOM_SIGNATURE.fullmatch(text)):
            yield Piece(Channel(0, f"{THINKING_BLOCK}.{key}", hold_whole=True, part=str(number)), text, holder, key)
        elif key in ("name", "partial_json") or (key == "id" and not _RANDOM_ID.fullmatch(text)):
            place = f"{TOOL_BLOCK}[{number}]"
            json = key == "partial_json"
            channel = Channel(0, f"{place}.{'input' if json else key}", True, json, group=place)
            yield Piece(channel, text, holder, key)


def keep_message(message: Json, fields: Fields, model: str | None, dropped: list[str]) -> bool:
    """Take out of a message what is not known; True when something was. Another name for the model than the client's
    own stays only where it is too short to say anything."""
    changed = keep_known(message, fields, dropped)
    told = message.get("model")
    if model is None or told == model or is_name(told):
        return changed
    dropped.append("model")
    message["model"] = model
    return True


def stop_sequence_of(holder: Json) -> list[Piece]:
    """The stop string in it, if there is one: it completes what was said before it, without being said."""
    text = holder.get("stop_sequence")
    return [Piece(_STOP_SEQUENCE, text, holder, "stop_sequence")] if text else []


# -- counts --

_CACHED: Final = {"cache_creation_input_tokens": "created_cache_tokens", "cache_read_input_tokens": "cached_tokens"}


def counted(usage: object, begun: Json | None = None) -> Json | None:
    """This API's count in the names of `Frame.usage`; what it leaves out is taken from `begun`, an earlier one."""
    if not isinstance(usage, dict):
        return None
    cached = {key: _number(usage.get(name)) for name, key in _CACHED.items() if usage.get(name) is not None}
    output = _number(usage.get("output_tokens"))
    if usage.get("input_tokens") is None and begun is not None:
        prompt, details = begun["prompt_tokens"], begun.get("prompt_tokens_details")
    else:
        prompt, details = _number(usage.get("input_tokens")) + sum(cached.values()), cached or None
    told = {"prompt_tokens": prompt, "total_tokens": prompt + output, "completion_tokens": output}
    return {**told, "prompt_tokens_details": details} if details else told


def told_usage(usage: Mapping[str, Any]) -> Json:
    """A count in the names of `Frame.usage` as this API tells it."""
    details = usage.get("prompt_tokens_details") or {}
    cached = {name: _number(details.get(key)) for name, key in _CACHED.items() if details.get(key) is not None}
    prompt = max(0, _number(usage.get("prompt_tokens")) - sum(cached.values()))
    return {"input_tokens": prompt, "output_tokens": _number(usage.get("completion_tokens")), **cached}


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


# -- why an answer is over --

_TOLD: Final = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}
_MEANT: Final = {"max_tokens": "length", "model_context_window_exceeded": "length", "refusal": "content_filter"}


def stop_reason(finish_reason: str) -> str:
    """What this API calls the reason for which an answer of ours is over."""
    return _TOLD.get(finish_reason, "end_turn")


def finish_reason(told: object) -> str:
    """What the dialects with choices call this stop reason; a tool call that nobody asked for is an end."""
    return _MEANT.get(told, "stop") if isinstance(told, str) else "stop"


def stopped(ending: str) -> Json:
    """Why an answer of ours is over, as this API tells it; `ending` is the finish reason."""
    return {"stop_reason": stop_reason(ending), "stop_sequence": None}
