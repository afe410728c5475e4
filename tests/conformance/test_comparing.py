"""What is compared: a stream is the same however it was cut, and nothing that a client can see is overlooked."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.conformance.comparing import VOLATILE, WITHHELD, Json, essence, folded
from tests.conformance.test_framing import EVENTS
from tests.server.world import chunk

STREAM: list[Json] = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Gulls cry."}),
    chunk(
        {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "note", "arguments": "{}"}}]}
    ),
    chunk({}, "stop"),
    {**chunk({}), "choices": [], "usage": {"total_tokens": 3}},
]


def changed(at: int, *path: Any, to: Any) -> list[Json]:
    """The stream with one field changed, or without it."""
    events = copy.deepcopy(STREAM)
    holder: Any = events[at]
    for step in path[:-1]:
        holder = holder[step]
    if to is None:
        del holder[path[-1]]
    else:
        holder[path[-1]] = to
    return events


def test_how_a_text_is_cut_makes_no_difference() -> None:
    pieces = [chunk({"content": piece}) for piece in ("Gu", "lls ", "cry.")]
    assert folded([STREAM[0], *pieces, *STREAM[2:]]) == folded(STREAM)


@pytest.mark.parametrize(
    "other",
    [
        changed(1, "choices", 0, "delta", "content", to="Gulls cry"),
        changed(1, "choices", 0, "index", to=1),
        changed(2, "choices", 0, "delta", "tool_calls", 0, "function", "arguments", to="{ }"),
        changed(2, "choices", 0, "delta", "tool_calls", 0, "index", to=1),
        changed(3, "choices", 0, "finish_reason", to="length"),
        changed(3, "choices", 0, "stop_reason", to=None),
        changed(4, "usage", "total_tokens", to=4),
        changed(4, "model", to=None),
        STREAM[:-1],
        [*STREAM, STREAM[-1]],
        STREAM[1:],
    ],
)
def test_whatever_else_differs_is_seen(other: list[Json]) -> None:
    assert folded(other) != folded(STREAM)


def test_what_comes_after_the_end_of_a_choice_is_seen() -> None:
    with pytest.raises(AssertionError, match="after the end"):
        folded([*STREAM[:-1], chunk({"content": "More."})])


@pytest.mark.parametrize("api", ["messages", "responses"])
def test_a_missing_event_is_seen_and_so_is_one_too_many(api: str) -> None:
    for n, event in enumerate(EVENTS[api]):
        if not str(event["type"]).endswith("delta"):
            assert folded(EVENTS[api][:n] + EVENTS[api][n + 1 :]) != folded(EVENTS[api])
            assert folded([*EVENTS[api][:n], event, *EVENTS[api][n:]]) != folded(EVENTS[api])


def test_only_what_is_listed_is_left_out() -> None:
    fields = {name: {"inside": 1} for name in ("other", *VOLATILE, *WITHHELD)}
    assert essence({"a": [fields]}) == {"a": [{"other": {"inside": 1}, **dict.fromkeys(WITHHELD)}]}
