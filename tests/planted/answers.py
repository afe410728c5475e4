"""The richest legal answer of each dialect: every known field says something, and nothing of it is forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from tests.server.world import chat_body, sse

Json = dict[str, Any]
FINE: Final = "Rain falls on the green harbour"
ARGUMENTS: Final = '{"place":"green harbour","days":3}'


def copied(value: Any) -> Any:
    """JSON in which no object stands twice."""
    return json.loads(json.dumps(value))


@dataclass(frozen=True)
class Answers:
    """One dialect. `events` are the events of one choice of a stream, `opening` and `closing` those about all of it.

    `whole` is one whole answer of so many choices; `named`: the events of a stream are named after their type;
    `repeats`: they say a text again when it is complete.
    """

    dialect: str
    path: str
    request: Json
    opening: Sequence[Json]
    events: Callable[[int], Sequence[Json]]
    closing: Sequence[Json]
    whole: Callable[[int], Json]
    most_choices: int = 1
    named: bool = False
    repeats: bool = False

    def asked(self, stream: bool, choices: int) -> Json:
        """The body of the request."""
        many = {"n": choices} if self.most_choices > 1 else {}
        options = {"stream_options": {"include_usage": True}} if stream and self.most_choices > 1 else {}
        return {**self.request, "stream": stream, **many, **options}

    def stream(self, choices: int) -> list[Json]:
        """All events, those of the choices in turns."""
        rounds = zip_longest(*(self.events(choice) for choice in range(choices)))
        mixed = [event for turn in rounds for event in turn if event is not None]
        return copied([*self.opening, *mixed, *self.closing])

    def encode(self, events: Sequence[Json]) -> bytes:
        """The bytes of a stream."""
        if not self.named:
            return sse(events)
        return b"".join(b"event: " + event["type"].encode() + b"\n" + sse([event], done=False) for event in events)


USAGE: Final = {
    "prompt_tokens": 10,
    "completion_tokens": 8,
    "total_tokens": 18,
    "prompt_tokens_details": {
        **{"cached_tokens": 1, "created_cache_tokens": 2, "audio_tokens": 3},
        "multimodal_tokens": {"image": 4, "audio": 5, "video": 6},
    },
    "completion_tokens_details": {
        **{"reasoning_tokens": 1, "audio_tokens": 2},
        **{"accepted_prediction_tokens": 3, "rejected_prediction_tokens": 4},
    },
}
_METRICS: Final = {
    **{"time_to_first_token_ms": 1.5, "generation_time_ms": 2.5, "queue_time_ms": 3.5},
    **{"mean_itl_ms": 4.5, "tokens_per_second": 5.5, "speculative_decoding": None},
}
_ABOUT: Final = {"system_fingerprint": "vllm-0.32.0", "service_tier": "default"}


def _head(kind: str) -> Json:
    return {"id": "chatcmpl-9f", "object": kind, "created": 1_700_000_000, "model": "tiny"}


def _function(index: int) -> Json:
    function = {"name": "weather", "arguments": ARGUMENTS}
    return {"index": index, "id": "call_9a8b7c", "type": "function", "function": function}


def _chat_event(delta: Json, choice: int, finish: str | None = None, stop: str | None = None) -> Json:
    entry = {"index": choice, "delta": delta, "finish_reason": finish, "stop_reason": stop}
    return {**_head("chat.completion.chunk"), **_ABOUT, "choices": [entry]}


def _chat_events(choice: int) -> list[Json]:
    call = _function(0)
    named = {**call, "function": {"name": "weather"}}
    argued = [{"index": 0, "function": {"arguments": part}} for part in (ARGUMENTS[:12], ARGUMENTS[12:])]
    deltas: list[Json] = [
        {"role": "assistant"},
        {"reasoning": f"First {FINE}. "},
        {"reasoning_content": f"Then {FINE}. "},
        {"content": f"Now {FINE}. "},
        {"content": f"Again {FINE}. "},
        {"refusal": f"Not {FINE}. "},
        {"tool_calls": [named]},
        *({"tool_calls": [part]} for part in argued),
        {"function_call": {"name": "tides"}},
        {"function_call": {"arguments": ARGUMENTS}},
    ]
    return [*(_chat_event(delta, choice) for delta in deltas), _chat_event({}, choice, "stop", "###")]


def _chat_whole(choices: int) -> Json:
    message = {
        "role": "assistant",
        "reasoning": f"First {FINE}.",
        "reasoning_content": f"Then {FINE}.",
        "content": f"Now {FINE}.",
        "refusal": f"Not {FINE}.",
        "tool_calls": [_function(0), {**_function(1), "id": "call_1"}],
        "function_call": {"name": "tides", "arguments": ARGUMENTS},
    }
    entries = [{"index": i, "message": message, "finish_reason": "stop", "stop_reason": "###"} for i in range(choices)]
    body = {**_head("chat.completion"), **_ABOUT, "choices": entries, "usage": USAGE, "metrics": _METRICS}
    return copied(body)


def _text_entry(choice: int, text: str, finish: str | None = None) -> Json:
    return {"index": choice, "text": text, "finish_reason": finish, "stop_reason": "###" if finish else None}


def _completion_events(choice: int) -> list[Json]:
    texts = (f"Now {FINE}. ", f"Again {FINE}. ")
    entries = [*(_text_entry(choice, text) for text in texts), _text_entry(choice, "", "stop")]
    return [{**_head("text_completion"), **_ABOUT, "choices": [entry]} for entry in entries]


def _completion_whole(choices: int) -> Json:
    entries = [_text_entry(choice, f"Now {FINE}.", "stop") for choice in range(choices)]
    body = {**_head("text_completion"), **_ABOUT, "choices": entries, "usage": USAGE, "metrics": _METRICS}
    return copied(body)


def _count(kind: str) -> Json:
    return {**_head(kind), "choices": [], "usage": USAGE, "metrics": _METRICS}


CHAT: Final = Answers(
    dialect="chat",
    path="/v1/chat/completions",
    request=chat_body(),
    opening=(),
    events=_chat_events,
    closing=(_count("chat.completion.chunk"),),
    whole=_chat_whole,
    most_choices=3,
)
COMPLETIONS: Final = Answers(
    dialect="completions",
    path="/v1/completions",
    request={"model": "tiny", "prompt": "Tell me of the harbour."},
    opening=(),
    events=_completion_events,
    closing=(_count("text_completion"),),
    whole=_completion_whole,
    most_choices=3,
)


def plain(value: Any) -> Any:
    """JSON without what is null: a field that was withheld and one that was never sent say the same."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None}
    return [plain(item) for item in value] if isinstance(value, list) else value


def heard(events: Sequence[Any]) -> dict[str, Any]:
    """What a client has at the end: texts put together, of everything else the last, by its place and its owner."""
    said: dict[str, Any] = {}
    for event in events:
        if isinstance(event, dict):
            _hear(event, str(event.get("type", "")), said)
    return said


GROWS: Final = (
    *("text", "content", "reasoning", "refusal", "arguments", "thinking"),
    *("partial_json", "delta", "signature"),
)
"""Fields whose texts a client puts together."""


def _hear(value: Any, path: str, said: dict[str, Any]) -> None:
    if isinstance(value, dict):
        owner = value.get("index", value.get("item_id", value.get("output_index", "")))
        for key, item in value.items():
            _hear(item, f"{path}{f'[{owner}]' if owner != '' else ''}.{key}", said)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            owned = isinstance(item, dict) and "index" in item
            _hear(item, path if owned else f"{path}<{number}>", said)
    elif isinstance(value, str) and path.rsplit(".", 1)[-1].startswith(GROWS):
        said[path] = f"{said.get(path, '')}{value}"
    elif value is not None:
        said[path] = value


def executable(said: dict[str, Any]) -> list[str]:
    """The tool calls in it that a client could make: a name, and arguments that can be read."""
    calls = []
    for path, name in said.items():
        if path.endswith("function.name") or path.endswith("function_call.name"):
            arguments = said.get(f"{path.removesuffix('name')}arguments", "")
            try:
                json.loads(arguments)
            except ValueError:
                continue
            calls.append(name)
    return calls
