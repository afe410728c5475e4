"""The richest legal answer of `/v1/responses`: every kind of item that a model says, in all events that repeat it."""

from __future__ import annotations

from typing import Any, Final

from tests.planted.answers import ARGUMENTS, FINE, Answers, copied
from tests.server.responses_world import (
    call,
    calls,
    custom_call,
    message,
    reasoning,
    response,
    says,
    streamed,
    thinks,
    writes,
)

Json = dict[str, Any]
_METRICS: Final = {
    **{"time_to_first_token_ms": 1.5, "generation_time_ms": 2.5, "queue_time_ms": 3.5},
    **{"mean_itl_ms": 4.5, "tokens_per_second": 5.5},
}


def _events(_: int) -> list[Json]:
    return streamed(
        thinks(f"First {FINE}. ", f"Then {FINE}. ", number=0),
        says(f"Now {FINE}. ", f"Again {FINE}. ", number=1),
        calls(ARGUMENTS[:12], ARGUMENTS[12:], number=2, name="weather"),
        writes("Wind ", "and rain.", number=3, name="diary"),
    )


def _whole(_: int) -> Json:
    place = {"id": "x_1", "status": "completed"}
    refused = {**message("", 4), "content": [{"type": "refusal", "refusal": f"Not {FINE}."}]}
    items = (
        message(f"Now {FINE}.", 0),
        reasoning(f"First {FINE}.", 1),
        call(ARGUMENTS, 2, "weather"),
        custom_call("Wind and rain.", 3, "diary"),
        refused,
        {**place, "type": "function_call_output", "call_id": "call_1", "output": "Fair."},
        {**place, "type": "mcp_call", "server_label": "sea", "name": "tide", "arguments": ARGUMENTS, "output": "Low."},
        {**place, "type": "code_interpreter_call", "code": "print(3)", "container_id": "c1", "outputs": []},
        {**place, "type": "web_search_call", "action": {"type": "search", "query": "tide", "pattern": "t", "url": "u"}},
    )
    return copied(response(*items, metrics=_METRICS))


RESPONSES: Final = Answers(
    dialect="responses",
    path="/v1/responses",
    request={"model": "tiny", "input": "Tell me of the harbour.", "max_output_tokens": 100},
    opening=(),
    events=_events,
    closing=(),
    whole=_whole,
    named=True,
    repeats=True,
)
