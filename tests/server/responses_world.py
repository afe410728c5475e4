"""Responses as vLLM sends them: whole, and as the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.server.world import Got, World

PATH = "/v1/responses"
HEAD: dict[str, Any] = {
    "id": "resp_1",
    "created_at": 1,
    "incomplete_details": None,
    "instructions": None,
    "metadata": None,
    "model": "tiny",
    "object": "response",
    "output": [],
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "background": False,
    "max_output_tokens": 100,
    "max_tool_calls": None,
    "previous_response_id": None,
    "prompt": None,
    "reasoning": None,
    "service_tier": "auto",
    "status": "in_progress",
    "text": None,
    "top_logprobs": None,
    "truncation": "disabled",
    "usage": None,
    "user": None,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "kv_transfer_params": None,
    "ec_transfer_params": None,
    "input_messages": None,
    "output_messages": None,
}
USAGE: dict[str, Any] = {
    "input_tokens": 10,
    "input_tokens_details": {
        "cached_tokens": 4,
        "cache_write_tokens": 0,
        "input_tokens_per_turn": [10],
        "cached_tokens_per_turn": [4],
    },
    "output_tokens": 8,
    "output_tokens_details": {
        "reasoning_tokens": 2,
        "tool_output_tokens": 0,
        "output_tokens_per_turn": [8],
        "tool_output_tokens_per_turn": [0],
    },
    "total_tokens": 18,
}


def response(*output: dict[str, Any], status: str = "completed", **more: Any) -> dict[str, Any]:
    """A whole response."""
    reason = {"incomplete_details": {"reason": "max_output_tokens"}} if status == "incomplete" else {}
    usage = None if status in ("in_progress", "queued") else USAGE
    return {**HEAD, "output": list(output), "status": status, "usage": usage, **reason, **more}


def text_part(text: str) -> dict[str, Any]:
    return {"annotations": [], "text": text, "type": "output_text", "logprobs": None}


def message(text: str, number: int = 0, status: str = "completed") -> dict[str, Any]:
    content = [text_part(text)] if text else []
    head = {"id": f"msg_{number}", "content": content, "role": "assistant", "status": status}
    return {**head, "type": "message", "phase": None}


def reasoning(text: str, number: int = 0, status: str | None = "completed") -> dict[str, Any]:
    content = [{"text": text, "type": "reasoning_text"}]
    head = {"id": f"rs_{number}", "summary": [], "type": "reasoning"}
    return {**head, "content": content, "encrypted_content": None, "status": status}


def call(arguments: str, number: int = 0, name: str = "look", status: str = "completed") -> dict[str, Any]:
    head = {"arguments": arguments, "call_id": "call_1", "name": name, "type": "function_call"}
    return {**head, "id": f"fc_{number}", "namespace": None, "status": status}


def custom_call(text: str, number: int = 0, name: str = "write") -> dict[str, Any]:
    head = {"call_id": "call_2", "input": text, "name": name, "type": "custom_tool_call"}
    return {**head, "id": f"ctc_{number}", "namespace": None}


def asked(**changes: Any) -> dict[str, Any]:
    return {"model": "tiny", "input": "Tell me of the harbour.", **changes}


# -- events --


def _place(number: int, owner: str) -> dict[str, Any]:
    return {"item_id": owner, "output_index": number, "content_index": 0}


def says(*pieces: str, number: int = 0) -> list[dict[str, Any]]:
    """A message in pieces."""
    whole, place = "".join(pieces), _place(number, f"msg_{number}")
    begun = {**message("", number, "in_progress")}
    return [
        {"item": begun, "output_index": number, "type": "response.output_item.added"},
        {**place, "part": {**text_part(""), "logprobs": []}, "type": "response.content_part.added"},
        *({**place, "delta": p, "logprobs": [], "type": "response.output_text.delta"} for p in pieces),
        {**place, "text": whole, "logprobs": [], "type": "response.output_text.done"},
        {**place, "part": text_part(whole), "type": "response.content_part.done"},
        {"item": message(whole, number), "output_index": number, "type": "response.output_item.done"},
    ]


def thinks(*pieces: str, number: int = 0) -> list[dict[str, Any]]:
    """Reasoning in pieces."""
    whole, place = "".join(pieces), _place(number, f"rs_{number}")
    begun = {**reasoning("", number, "in_progress"), "content": None}
    return [
        {"item": begun, "output_index": number, "type": "response.output_item.added"},
        {**place, "part": {"text": "", "type": "reasoning_text"}, "type": "response.content_part.added"},
        *({**place, "delta": p, "type": "response.reasoning_text.delta"} for p in pieces),
        {**place, "text": whole, "type": "response.reasoning_text.done"},
        {**place, "part": {"text": whole, "type": "reasoning_text"}, "type": "response.content_part.done"},
        {"item": reasoning(whole, number), "output_index": number, "type": "response.output_item.done"},
    ]


def calls(*pieces: str, number: int = 0, name: str = "look") -> list[dict[str, Any]]:
    """A function call whose arguments come in pieces."""
    whole, place = "".join(pieces), {"item_id": f"fc_{number}", "output_index": number}
    begun = call("", number, name, "in_progress")
    return [
        {"item": begun, "output_index": number, "type": "response.output_item.added"},
        *({**place, "delta": p, "type": "response.function_call_arguments.delta"} for p in pieces),
        {**place, "arguments": whole, "name": name, "type": "response.function_call_arguments.done"},
        {"item": call(whole, number, name), "output_index": number, "type": "response.output_item.done"},
    ]


def writes(*pieces: str, number: int = 0, name: str = "write") -> list[dict[str, Any]]:
    """A custom tool call whose input comes in pieces."""
    whole, place = "".join(pieces), {"item_id": f"ctc_{number}", "output_index": number}
    return [
        {"item": custom_call("", number, name), "output_index": number, "type": "response.output_item.added"},
        *({**place, "delta": p, "type": "response.custom_tool_call_input.delta"} for p in pieces),
        {**place, "input": whole, "type": "response.custom_tool_call_input.done"},
        {"item": custom_call(whole, number, name), "output_index": number, "type": "response.output_item.done"},
    ]


def done_items(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event["item"] for event in events if event["type"] == "response.output_item.done"]


def streamed(*items: list[dict[str, Any]], last: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """All events of a stream, numbered; `last` is the response that ends it."""
    events = [event for item in items for event in item]
    begun = response(status="in_progress")
    ended = last if last is not None else response(*done_items(events))
    everything = [
        {"response": begun, "type": "response.created"},
        {"response": begun, "type": "response.in_progress"},
        *events,
        {"response": ended, "type": "response.completed"},
    ]
    return [{**event, "sequence_number": n} for n, event in enumerate(everything)]


def named(events: Sequence[dict[str, Any]]) -> bytes:
    """Events as vLLM encodes them."""
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'), ensure_ascii=False)}\n\n".encode()
        for event in events
    )


def told(got: Got | bytes) -> list[dict[str, Any]]:
    """The events that a client received, which are named after their types and numbered without a gap."""
    body = got if isinstance(got, bytes) else got.body
    events = []
    for event in body.decode().split("\n\n"):
        if not event or event.startswith(":"):
            continue
        name, _, data = event.partition("\ndata: ")
        events.append(json.loads(data))
        assert name == f"event: {events[-1]['type']}", event
    first = events[0]["sequence_number"] if events else 0
    assert [event["sequence_number"] for event in events] == list(range(first, first + len(events)))
    return events


def texts(value: Any) -> str:
    """Every string in a JSON value."""
    return json.dumps(value, ensure_ascii=False)


async def ask(w: World, stream: bool = False, **changes: Any) -> Got:
    return await w.call(PATH, asked(**({"stream": True} if stream else {}), **changes))
