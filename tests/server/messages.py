"""What the tests of `/v1/messages` share: events as vLLM sends them, and a reader that wants a well-formed stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.server.world import Got, World, says_stream

Json = dict[str, Any]
PATH = "/v1/messages"
COUNT: Json = {"input_tokens": 10, "output_tokens": 8}


def asking(**changes: Any) -> Json:
    """A request."""
    said = [{"role": "user", "content": "Tell me of the harbour."}]
    return {"model": "tiny", "max_tokens": 64, "messages": said, **changes}


def begun(**changes: Any) -> Json:
    """The first event."""
    usage = {**COUNT, "output_tokens": 0}
    message = {"id": "chatcmpl-1", "type": "message", "role": "assistant", "content": [], "model": "tiny"}
    return {
        "type": "message_start",
        "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage, **changes},
    }


def ended(reason: str = "end_turn", stop: str | None = None, usage: Json | None = None) -> list[Json]:
    """The last two events."""
    delta = {"stop_reason": reason, "stop_sequence": stop}
    return [{"type": "message_delta", "delta": delta, "usage": usage or COUNT}, {"type": "message_stop"}]


def block(number: int, begins: Json, *deltas: Json) -> list[Json]:
    """All events of a block."""
    out: list[Json] = [{"type": "content_block_start", "index": number, "content_block": begins}]
    out += [{"type": "content_block_delta", "index": number, "delta": delta} for delta in deltas]
    return [*out, {"type": "content_block_stop", "index": number}]


def text(number: int, *pieces: str) -> list[Json]:
    """A block that says these pieces."""
    return block(number, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def thinking(number: int, *pieces: str, signature: str = "0123456789abcdef0123456789abcdef") -> list[Json]:
    """A block that thinks these pieces."""
    deltas: list[Json] = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
    signed = {"type": "signature_delta", "signature": signature}
    return block(number, {"type": "thinking", "thinking": ""}, *deltas, signed)


def tool(number: int, name: str, *pieces: str, id: str = "chatcmpl-tool-1a2b") -> list[Json]:
    """A call of a tool with its input in these pieces."""
    begins = {"type": "tool_use", "id": id, "name": name, "input": {}}
    return block(number, begins, *({"type": "input_json_delta", "partial_json": piece} for piece in pieces))


def spoken(*pieces: str) -> list[Json]:
    """A whole stream that says these pieces."""
    return [begun(), *text(0, *pieces), *ended()]


def encoded(events: Sequence[Json]) -> bytes:
    """Events as vLLM encodes them."""
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'), ensure_ascii=False)}\n\n".encode()
        for event in events
    )


def whole(*blocks: Json, reason: str = "end_turn", **changes: Any) -> Json:
    """A whole answer as vLLM sends it."""
    head = {"id": "chatcmpl-1", "type": "message", "role": "assistant", "content": list(blocks), "model": "tiny"}
    return {**head, "stop_reason": reason, "usage": COUNT, **changes}


def says(*events: Json, **options: Any) -> Any:
    """A stream of these events."""
    return says_stream(encoded(events), **options)


async def streamed(w: World, *events: Json, body: Json | None = None, **options: Any) -> Got:
    """What a client gets of these events."""
    w.upstream.scripts = [says(*events, **options), *w.upstream.scripts[1:]]
    return await w.call(PATH, asking(stream=True, **(body or {})))


def events_of(got: Got) -> list[Json]:
    """The events of a stream that is well formed: named, begun once, its blocks in a row, ended once."""
    out = []
    for raw in got.body.decode().split("\n\n"):
        if not raw or raw.startswith(":"):
            continue
        name, _, data = raw.partition("\n")
        body = json.loads(data.removeprefix("data: "))
        assert name == f"event: {body['type']}", raw
        out.append(body)
    told = [event for event in out if event["type"] != "ping"]
    kinds = [event["type"] for event in told]
    assert kinds[0] == "message_start" and kinds.count("message_start") == 1, kinds
    assert kinds[-2:] == ["message_delta", "message_stop"], kinds
    blocks = told[1:-2]
    begins = [event["index"] for event in blocks if event["type"] == "content_block_start"]
    assert begins == list(range(len(begins))), kinds
    running = None
    for event in blocks:
        if event["type"] == "content_block_start":
            assert running is None, kinds
            running = event["index"]
        assert event["index"] == running, kinds
        running = None if event["type"] == "content_block_stop" else running
    assert running is None, kinds
    return out


def message_of(got: Got) -> Json:
    """The message that the events of a stream say, put together as clients do."""
    content: list[Json] = []
    message: Json = {}
    for event in events_of(got):
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                content.append({**event["content_block"], "input": ""})
            case "content_block_delta":
                delta = dict(event["delta"])
                key = {"input_json_delta": "input"}.get(delta.pop("type"))
                for name, piece in delta.items():
                    content[-1][key or name] = content[-1].get(key or name, "") + piece
            case "message_delta":
                message |= event["delta"]
                message["usage"] = {**message["usage"], **event["usage"]}
    return {**message, "content": [{k: v for k, v in item.items() if k != "input" or v} for item in content]}


def said(got: Got, name: str = "text") -> str:
    """What a stream says in text, or in another kind of block."""
    return "".join(item.get(name, "") for item in message_of(got)["content"])
