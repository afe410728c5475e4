"""The known fields of `/v1/responses`: of a response, of each kind of item and part, of each type of event."""

from __future__ import annotations

from typing import Final

from server.dialects.fields import Fields, Leaf

_PLAIN, _TEXT, _WITHHELD, _EMPTY = Leaf.PLAIN, Leaf.TEXT, Leaf.WITHHELD, Leaf.EMPTY

ECHOES: Final = (
    *("instructions", "metadata", "tools", "tool_choice", "text", "prompt", "reasoning", "user"),
    *("safety_identifier", "prompt_cache_key"),
)
"""What repeats the request; see `server.dialects.responses_echo`."""

USAGE_FIELDS: Final[Fields] = {
    "input_tokens": _PLAIN,
    "input_tokens_details": {
        "cached_tokens": _PLAIN,
        "cache_write_tokens": _PLAIN,
        "input_tokens_per_turn": Leaf.NUMBERS,
        "cached_tokens_per_turn": Leaf.NUMBERS,
    },
    "output_tokens": _PLAIN,
    "output_tokens_details": {
        "reasoning_tokens": _PLAIN,
        "tool_output_tokens": _PLAIN,
        "output_tokens_per_turn": Leaf.NUMBERS,
        "tool_output_tokens_per_turn": Leaf.NUMBERS,
    },
    "total_tokens": _PLAIN,
}
_METRICS: Final[Fields] = {
    "time_to_first_token_ms": _PLAIN,
    "generation_time_ms": _PLAIN,
    "queue_time_ms": _PLAIN,
    "mean_itl_ms": _PLAIN,
    "tokens_per_second": _PLAIN,
    "speculative_decoding": _WITHHELD,
}
RESPONSE_FIELDS: Final[Fields] = {
    **dict.fromkeys(("id", "object", "created_at", "completed_at", "status", "service_tier"), _PLAIN),
    "model": Leaf.MODEL,
    **dict.fromkeys(("parallel_tool_calls", "temperature", "top_p", "background", "store", "truncation"), _PLAIN),
    **dict.fromkeys(("max_output_tokens", "max_tool_calls", "previous_response_id", "top_logprobs"), _PLAIN),
    **dict.fromkeys(("presence_penalty", "frequency_penalty"), _PLAIN),
    **dict.fromkeys(ECHOES, _PLAIN),
    **dict.fromkeys(("kv_transfer_params", "ec_transfer_params", "input_messages", "output_messages"), _WITHHELD),
    "incomplete_details": {"reason": _PLAIN},
    "error": {"code": _PLAIN, "message": _TEXT},
    "usage": USAGE_FIELDS,
    "metrics": _METRICS,
    "output": _EMPTY,  # its items are looked at one by one
}
"""Of the response in a whole answer and in the events that tell it."""

PART_FIELDS: Final[dict[str, Fields]] = {
    "output_text": {"type": _PLAIN, "text": _TEXT, "annotations": _EMPTY, "logprobs": _EMPTY},
    "refusal": {"type": _PLAIN, "refusal": _TEXT},
    "reasoning_text": {"type": _PLAIN, "text": _TEXT},
    "summary_text": {"type": _PLAIN, "text": _TEXT},
}
"""By the type of a part of a message or of reasoning. The first text is what it says."""

_ITEM: Final[Fields] = dict.fromkeys(("id", "type", "status"), _PLAIN)
_CALLER: Final[Fields] = {"type": _PLAIN, "caller_id": _PLAIN}
# some servers repeat the place of a call inside it
_REPEATED: Final[Fields] = dict.fromkeys(("async", "output_index", "sequence_number"), _PLAIN)
_CALL: Final[Fields] = {**_ITEM, "caller": _CALLER, **_REPEATED}

ITEM_FIELDS: Final[dict[str, Fields]] = {
    "message": {**_ITEM, "role": _PLAIN, "phase": _PLAIN, "content": _EMPTY},
    "reasoning": {**_ITEM, "content": _EMPTY, "summary": _EMPTY, "encrypted_content": _WITHHELD},
    "function_call": {**_CALL, **dict.fromkeys(("call_id", "name", "namespace", "arguments"), _TEXT)},
    "function_call_output": {
        **_CALL,
        **dict.fromkeys(("call_id", "name", "namespace", "output"), _TEXT),
        "created_by": _PLAIN,
    },
    "custom_tool_call": {**_CALL, **dict.fromkeys(("call_id", "name", "namespace", "input"), _TEXT)},
    "mcp_call": {
        **_CALL,
        **dict.fromkeys(("server_label", "name", "arguments", "output"), _TEXT),
        "approval_request_id": _PLAIN,
        "error": _WITHHELD,
    },
    "code_interpreter_call": {**_CALL, "code": _TEXT, "container_id": _PLAIN, "outputs": _EMPTY},
    "web_search_call": {
        **_CALL,
        "action": {
            "type": _PLAIN,
            **dict.fromkeys(("query", "pattern", "url"), _TEXT),
            "queries": _WITHHELD,
            "sources": _WITHHELD,
        },
    },
}
"""By the type of an item. Lists of parts are looked at one by one."""

PARTS: Final = ("content", "summary")
"""The fields of an item that hold parts."""

_EVENT: Final[Fields] = dict.fromkeys(
    ("type", "sequence_number", "output_index", "item_id", "content_index", "summary_index", "status"), _PLAIN
)
TELLS_RESPONSE: Final = frozenset(
    f"response.{moment}" for moment in ("created", "queued", "in_progress", "completed", "incomplete", "cancelled")
)
"""Types of events that hold a whole response."""

LAST: Final = frozenset({"response.completed", "response.incomplete", "response.cancelled"})
"""Those that end a stream."""

FAULTS: Final = frozenset({"error", "response.failed"})
"""Types of events that tell an error: nothing comes after it."""

DELTAS: Final[dict[str, tuple[str, str]]] = {
    "response.output_text.delta": ("content", "delta"),
    "response.refusal.delta": ("content", "delta"),
    "response.reasoning_text.delta": ("content", "delta"),
    "response.reasoning_summary_text.delta": ("summary", "delta"),
    "response.function_call_arguments.delta": ("arguments", "delta"),
    "response.custom_tool_call_input.delta": ("input", "delta"),
    "response.mcp_call_arguments.delta": ("arguments", "delta"),
    "response.code_interpreter_call_code.delta": ("code", "delta"),
}
"""Types of events that bring more of a text: which text of the item, and where in the event it stands."""

DONES: Final[dict[str, tuple[str, str]]] = {
    "response.output_text.done": ("content", "text"),
    "response.refusal.done": ("content", "refusal"),
    "response.reasoning_text.done": ("content", "text"),
    "response.reasoning_summary_text.done": ("summary", "text"),
    "response.function_call_arguments.done": ("arguments", "arguments"),
    "response.custom_tool_call_input.done": ("input", "input"),
    "response.mcp_call_arguments.done": ("arguments", "arguments"),
    "response.code_interpreter_call_code.done": ("code", "code"),
}
"""Types of events that repeat a whole text of the item."""

ADDED: Final = "response.output_item.added"
ITEM_DONE: Final = "response.output_item.done"
PART_ADDED: Final = "response.content_part.added"
PART_DONE: Final = "response.content_part.done"
SUMMARY_ADDED: Final = "response.reasoning_summary_part.added"
SUMMARY_DONE: Final = "response.reasoning_summary_part.done"
_STATES: Final = (
    *("mcp_call.in_progress", "mcp_call.completed", "mcp_call.failed"),
    *("web_search_call.in_progress", "web_search_call.searching", "web_search_call.completed"),
    *("code_interpreter_call.in_progress", "code_interpreter_call.interpreting", "code_interpreter_call.completed"),
)
EVENT_FIELDS: Final[dict[str, Fields]] = {
    **dict.fromkeys((f"response.{state}" for state in _STATES), _EVENT),
    **{type_: {**_EVENT, "delta": _TEXT, "logprobs": _EMPTY} for type_ in DELTAS},
    **{type_: {**_EVENT, key: _TEXT, "name": _TEXT, "logprobs": _EMPTY} for type_, (_, key) in DONES.items()},
    **{type_: {**_EVENT, "item": {}} for type_ in (ADDED, ITEM_DONE)},
    **{type_: {**_EVENT, "part": {}} for type_ in (PART_ADDED, PART_DONE, SUMMARY_ADDED, SUMMARY_DONE)},
    **{type_: {**_EVENT, "response": {}} for type_ in TELLS_RESPONSE},
}
"""By the type of an event. Items, parts and responses in them are looked at by their own lists."""
