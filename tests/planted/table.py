"""The table: every place in which an answer could carry text, and what may be said there. A new field is one row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from server.dialects.fields import Leaf


class Place(Enum):
    """What may stand in a field, and so what becomes of a canary in it."""

    SPOKEN = auto()  # text, in as many events as it takes: a canary in it is redacted, or stops its choice
    ENTIRE = auto()  # text that is of use only as a whole
    JSON = auto()  # the same, and it is JSON
    NAME = auto()  # a number or a short name: anything longer is dropped
    MODEL = auto()  # what the operator calls a model: one line
    ESSENTIAL = auto()  # the same, and an answer without it cannot be read
    ECHO = auto()  # what the client said itself; anything else gives way to that
    NOTHING = auto()  # withheld, or unknown: nothing of it arrives


LEAVES: Final = {
    Place.SPOKEN: {Leaf.TEXT},
    Place.ENTIRE: {Leaf.TEXT, Leaf.TEXT_OR_NUMBER},
    Place.JSON: {Leaf.TEXT},
    Place.NAME: {Leaf.PLAIN},
    Place.MODEL: {Leaf.MODEL},
    Place.ESSENTIAL: {Leaf.PLAIN},
    Place.ECHO: {Leaf.PLAIN},
    Place.NOTHING: {Leaf.WITHHELD, None},
}
"""How the dialects declare each of them; None for what they do not know."""


@dataclass(frozen=True)
class Row:
    """One place. `event` is the type of the events that have it, where events have types; `stream` and `whole` say in
    which answers it exists."""

    dialect: str
    path: str
    place: Place
    event: str = ""
    stream: bool = True
    whole: bool = True

    def at(self, stream: bool) -> str:
        """The place in an event of a stream, or in a whole answer."""
        return self.path.replace("{said}", "delta" if stream else "message")

    def __str__(self) -> str:
        return f"{self.dialect}:{self.event}:{self.path}"


def _rows(
    dialect: str, place: Place, *paths: str, event: str = "", stream: bool = True, whole: bool = True
) -> list[Row]:
    return [Row(dialect, path, place, event, stream, whole) for path in paths]


_SAID: Final = "choices[].{said}"
_CALL: Final = f"{_SAID}.tool_calls[]"
_CALLED: Final = f"{_SAID}.function_call"
_UNKNOWN: Final = ("unheard", "x_words", "choices[].unheard", "usage.unheard", "metrics.unheard")
_DETAILS: Final = "usage.prompt_tokens_details"
_COMPLETED: Final = "usage.completion_tokens_details"
_ENVELOPE_NAMES: Final = (
    *("id", "object", "created", "system_fingerprint", "service_tier", "choices[].finish_reason"),
    *("usage.prompt_tokens", "usage.completion_tokens", "usage.total_tokens"),
    *(f"{_DETAILS}.{name}" for name in ("cached_tokens", "created_cache_tokens", "audio_tokens")),
    *(f"{_DETAILS}.multimodal_tokens.{name}" for name in ("image", "audio", "video")),
    *(f"{_COMPLETED}.{name}" for name in ("reasoning_tokens", "audio_tokens")),
    *(f"{_COMPLETED}.{name}" for name in ("accepted_prediction_tokens", "rejected_prediction_tokens")),
    *(f"metrics.{name}" for name in ("time_to_first_token_ms", "generation_time_ms", "queue_time_ms")),
    *("metrics.mean_itl_ms", "metrics.tokens_per_second"),
)
_ENVELOPE_NOTHING: Final = (
    *("prompt_logprobs", "prompt_token_ids", "prompt_text", "kv_transfer_params", "ec_transfer_params"),
    *(f"choices[].{name}" for name in ("logprobs", "token_ids", "prompt_token_ids", "prompt_logprobs")),
    *("choices[].routed_experts", "metrics.speculative_decoding", *_UNKNOWN),
    *(f"{_DETAILS}.unheard", f"{_DETAILS}.multimodal_tokens.unheard", f"{_COMPLETED}.unheard"),
)


# -- messages --

_START, _BEGIN, _MORE, _END = "message_start", "content_block_start", "content_block_delta", "message_delta"
_COUNTS: Final = (
    *("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),
    *("cache_creation.ephemeral_5m_input_tokens", "cache_creation.ephemeral_1h_input_tokens"),
    *("output_tokens_details.thinking_tokens", "server_tool_use.web_search_requests"),
    *("server_tool_use.web_fetch_requests", "service_tier", "inference_geo", "speed"),
)
_OUTSIDE: Final = ("kv_transfer_params", "ec_transfer_params", "diagnostics", "context_management", "container")
_IN_BLOCKS: Final = ("citations", "caller", "source", "content", "tool_use_id", "tool_name", "tool", "is_error")


def _streamed(place: Place, event: str, *paths: str) -> list[Row]:
    return _rows("messages", place, *paths, event=event, whole=False)


def _whole(place: Place, *paths: str) -> list[Row]:
    return _rows("messages", place, *paths, stream=False)


MESSAGES: Final = (
    *_streamed(Place.SPOKEN, _MORE, "delta.text", "delta.thinking"),
    *_streamed(Place.ENTIRE, _BEGIN, "content_block.id", "content_block.name", "content_block.data"),
    *_streamed(Place.ENTIRE, _MORE, "delta.signature"),
    *_streamed(Place.ENTIRE, _END, "delta.stop_sequence"),
    *_streamed(Place.JSON, _MORE, "delta.partial_json"),
    *_streamed(Place.NAME, _START, *(f"message.{name}" for name in ("id", "type", "role", "stop_reason"))),
    *_streamed(Place.NAME, _START, *(f"message.usage.{name}" for name in _COUNTS)),
    *_streamed(Place.MODEL, _START, "message.model"),
    *_streamed(Place.NAME, _MORE, "delta.estimated_tokens"),
    *_streamed(Place.NAME, _END, "delta.stop_reason", *(f"usage.{name}" for name in _COUNTS)),
    *_streamed(Place.NOTHING, _START, "unheard", "message.unheard", "message.usage.unheard", "message.stop_details"),
    *_streamed(Place.NOTHING, _START, *(f"message.{name}" for name in _OUTSIDE)),
    *_streamed(Place.NOTHING, _BEGIN, "unheard", "content_block.unheard", "content_block.input.unheard"),
    *_streamed(Place.NOTHING, _BEGIN, *(f"content_block.{name}" for name in _IN_BLOCKS)),
    *_streamed(Place.NOTHING, _MORE, "unheard", "delta.unheard", "delta.citation"),
    *_streamed(Place.NOTHING, _END, "unheard", "context_management", "delta.unheard", "usage.unheard"),
    *_streamed(Place.NOTHING, _END, "delta.stop_details", "delta.container"),
    *(row for event in ("content_block_stop", "message_stop", "ping") for row in _streamed(Place.NOTHING, event, "x")),
    *_whole(Place.SPOKEN, "content[0].text", "content[1].thinking"),
    *_whole(Place.ENTIRE, "content[1].signature", "content[2].data", "content[3].id", "content[3].name"),
    *_whole(Place.ENTIRE, "stop_sequence"),
    *_whole(Place.JSON, "content[3].input"),
    *_whole(Place.NAME, "id", "type", "role", "stop_reason", *(f"usage.{name}" for name in _COUNTS)),
    *_whole(Place.MODEL, "model"),
    *_whole(Place.NOTHING, "unheard", "usage.unheard", "stop_details", *_OUTSIDE),
    *_whole(Place.NOTHING, *(f"content[{number}].unheard" for number in range(4))),
    *_whole(Place.NOTHING, *(f"content[0].{name}" for name in _IN_BLOCKS)),
)

# -- responses --

_SPOKEN_DELTAS: Final = ("response.output_text.delta", "response.reasoning_text.delta")
_CALL_DELTAS: Final = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")
_ADDED, _DONE = "response.output_item.added", "response.output_item.done"
_MOMENTS: Final = ("response.created", "response.in_progress", "response.completed")
_HEAD_NAMES: Final = (
    *("id", "object", "created_at", "completed_at", "status", "service_tier", "parallel_tool_calls", "temperature"),
    *("top_p", "background", "store", "truncation", "max_output_tokens", "max_tool_calls", "previous_response_id"),
    *("top_logprobs", "presence_penalty", "frequency_penalty"),
)
_TOKENS: Final = (
    *("input_tokens", "output_tokens", "total_tokens", "input_tokens_details.cached_tokens"),
    *("input_tokens_details.cache_write_tokens", "output_tokens_details.reasoning_tokens"),
    "output_tokens_details.tool_output_tokens",
)
_REPEATED: Final = ("async", "output_index", "sequence_number")
_SPEEDS: Final = (
    *("time_to_first_token_ms", "generation_time_ms", "queue_time_ms", "mean_itl_ms", "tokens_per_second"),
)
_ECHOES: Final = (
    *("instructions", "metadata", "tools", "tool_choice", "text", "prompt", "reasoning", "user"),
    *("safety_identifier", "prompt_cache_key"),
)
_HEAD_NOTHING: Final = ("kv_transfer_params", "ec_transfer_params", "input_messages", "output_messages", "unheard")


def _of_stream(place: Place, event: str, *paths: str) -> list[Row]:
    return _rows("responses", place, *paths, event=event, whole=False)


def _of_whole(place: Place, *paths: str) -> list[Row]:
    return _rows("responses", place, *paths, stream=False)


RESPONSES: Final = (
    *(row for event in _SPOKEN_DELTAS for row in _of_stream(Place.SPOKEN, event, "delta")),
    *(row for event in (*_SPOKEN_DELTAS, *_CALL_DELTAS) for row in _of_stream(Place.NOTHING, event, "unheard")),
    *(row for event in _SPOKEN_DELTAS for row in _of_stream(Place.NOTHING, event, "annotations", "obfuscation")),
    *_of_stream(Place.NOTHING, _ADDED, "unheard", "item.unheard"),
    *_of_stream(Place.NOTHING, _DONE, "unheard", "item.unheard", "item.encrypted_content"),
    *_of_stream(Place.NOTHING, "response.content_part.added", "unheard", "part.unheard"),
    *_of_stream(Place.NOTHING, "response.content_part.done", "unheard", "part.unheard"),
    *(row for e in _MOMENTS for row in _of_stream(Place.NOTHING, e, *(f"response.{n}" for n in _HEAD_NOTHING))),
    *(row for e in _MOMENTS for row in _of_stream(Place.ECHO, e, *(f"response.{n}" for n in _ECHOES))),
    *(row for e in _MOMENTS for row in _of_stream(Place.NOTHING, e, "unheard")),
    *_of_stream(Place.MODEL, "response.created", "response.model"),
    *_of_whole(Place.SPOKEN, "output[0].content[0].text", "output[1].content[0].text", "output[4].content[0].refusal"),
    *_of_whole(Place.ENTIRE, "output[2].name", "output[2].call_id", "output[3].input", "output[3].name"),
    *_of_whole(Place.ENTIRE, "output[2].namespace", "output[3].call_id", "output[3].namespace"),
    *_of_whole(
        Place.ENTIRE,
        "output[5].call_id",
        "output[5].name",
        "output[5].namespace",
        "output[5].output",
        "output[6].server_label",
        "output[6].name",
    ),
    *_of_whole(Place.ENTIRE, "output[6].output", "output[7].code"),
    *_of_whole(Place.ENTIRE, *(f"output[8].action.{name}" for name in ("query", "pattern", "url"))),
    *_of_whole(Place.JSON, "output[2].arguments", "output[6].arguments"),
    *_of_whole(
        Place.NAME,
        "output[5].created_by",
        "output[6].approval_request_id",
        "output[7].container_id",
        "output[8].action.type",
    ),
    *_of_whole(Place.NAME, *(f"output[{n}].{name}" for n in (2, 3, 5, 6, 7, 8) for name in _REPEATED)),
    *_of_whole(Place.NAME, "output[0].role", "output[0].phase", *(f"metrics.{name}" for name in _SPEEDS)),
    *_of_whole(Place.NOTHING, "output[6].error", "output[8].action.queries", "output[8].action.sources"),
    *_of_whole(Place.NOTHING, "metrics.speculative_decoding", "metrics.unheard"),
    *_of_whole(Place.NAME, *_HEAD_NAMES, *(f"usage.{name}" for name in _TOKENS)),
    *_of_whole(Place.NAME, *(f"output[{n}].{name}" for n in range(9) for name in ("id", "status"))),
    *_of_whole(Place.MODEL, "model"),
    *_of_whole(Place.NOTHING, *_HEAD_NOTHING, "usage.unheard", "usage.input_tokens_details.unheard"),
    *_of_whole(Place.ECHO, *_ECHOES),
    *_of_whole(Place.NOTHING, *(f"output[{number}].unheard" for number in range(9))),
    *_of_whole(Place.NOTHING, "output[0].content[0].unheard", "output[1].encrypted_content"),
)

ROWS: Final = (
    *_rows("chat", Place.SPOKEN, *(f"{_SAID}.{n}" for n in ("reasoning", "reasoning_content", "content", "refusal"))),
    *_rows("chat", Place.ENTIRE, f"{_CALL}.id", f"{_CALL}.function.name", f"{_CALLED}.name", "choices[].stop_reason"),
    *_rows("chat", Place.JSON, f"{_CALL}.function.arguments", f"{_CALLED}.arguments"),
    *_rows("chat", Place.NAME, *_ENVELOPE_NAMES, f"{_SAID}.role", f"{_CALL}.type", f"{_CALL}.index"),
    *_rows("chat", Place.MODEL, "model"),
    *_rows("chat", Place.ESSENTIAL, "choices[].index"),
    *_rows("chat", Place.NOTHING, *_ENVELOPE_NOTHING, f"{_SAID}.annotations", f"{_SAID}.audio"),
    *_rows("chat", Place.NOTHING, *(f"{p}.unheard" for p in (_SAID, _CALL, f"{_CALL}.function", _CALLED))),
    *_rows("completions", Place.SPOKEN, "choices[].text"),
    *_rows("completions", Place.ENTIRE, "choices[].stop_reason"),
    *_rows("completions", Place.NAME, *_ENVELOPE_NAMES),
    *_rows("completions", Place.MODEL, "model"),
    *_rows("completions", Place.ESSENTIAL, "choices[].index"),
    *_rows("completions", Place.NOTHING, *_ENVELOPE_NOTHING),
    *MESSAGES,
    *RESPONSES,
)
