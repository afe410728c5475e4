"""The richest legal answer of `/v1/messages`: every kind of block, every field of them."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.planted.answers import ARGUMENTS, FINE, Answers, copied

Json = dict[str, Any]
_USAGE: Final[Json] = {
    **{"input_tokens": 10, "output_tokens": 8, "cache_creation_input_tokens": 1, "cache_read_input_tokens": 2},
    "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
    "output_tokens_details": {"thinking_tokens": 3},
    "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 2},
    **{"service_tier": "standard", "inference_geo": "none", "speed": "fast"},
}
_SIGNATURE: Final = "0123456789abcdef0123456789abcdef"
_WHY: Final = {"stop_reason": "stop_sequence", "stop_sequence": "###"}


def _message(content: list[Json], why: Json) -> Json:
    head = {"id": "chatcmpl-9f", "type": "message", "role": "assistant", "model": "tiny", "content": content}
    return {**head, **why, "usage": _USAGE}


def _block(number: int, begins: Json, *deltas: Json) -> list[Json]:
    out: list[Json] = [{"type": "content_block_start", "index": number, "content_block": begins}]
    out += [{"type": "content_block_delta", "index": number, "delta": delta} for delta in deltas]
    return [*out, {"type": "content_block_stop", "index": number}]


def _text(text: str) -> Json:
    return {"type": "text_delta", "text": text}


def _input(text: str) -> Json:
    return {"type": "input_json_delta", "partial_json": text}


def _events(_: int) -> list[Json]:
    tool = {"type": "tool_use", "id": "toolu_9a8b7c", "name": "weather", "input": {}}
    signed = {"type": "signature_delta", "signature": _SIGNATURE}
    thought: Json = {"type": "thinking_delta", "thinking": f"First {FINE}. ", "estimated_tokens": 4}
    return [
        *_block(0, {"type": "thinking", "thinking": ""}, thought, signed),
        {"type": "ping"},
        *_block(1, {"type": "redacted_thinking", "data": "abcdef0123"}),
        *_block(2, {"type": "text", "text": ""}, _text(f"Now {FINE}. "), _text(f"Again {FINE}. ")),
        *_block(3, tool, _input(ARGUMENTS[:12]), _input(ARGUMENTS[12:])),
    ]


def _whole(_: int) -> Json:
    blocks: list[Json] = [
        {"type": "text", "text": f"Now {FINE}."},
        {"type": "thinking", "thinking": f"First {FINE}.", "signature": _SIGNATURE},
        {"type": "redacted_thinking", "data": "abcdef0123"},
        {"type": "tool_use", "id": "toolu_9a8b7c", "name": "weather", "input": json.loads(ARGUMENTS)},
    ]
    return copied(_message(blocks, _WHY))


MESSAGES: Final = Answers(
    dialect="messages",
    path="/v1/messages",
    request={
        "model": "tiny",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "Tell me of the harbour."}],
    },
    opening=({"type": "message_start", "message": _message([], {"stop_reason": None, "stop_sequence": None})},),
    events=_events,
    closing=({"type": "message_delta", "delta": _WHY, "usage": _USAGE}, {"type": "message_stop"}),
    whole=_whole,
    named=True,
)
