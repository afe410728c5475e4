"""Events that nobody knows: nothing of them arrives, all others do, and what was dropped is counted and named."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from guard.verdict import Action
from server.observation import FieldsDropped
from tests.guard.streams import PASSAGE
from tests.planted.answers import plain
from tests.planted.asking import ask, cuttings, events_of
from tests.planted.canary import ANYTHING, TOKEN, found
from tests.planted.catalog import ANSWERS
from tests.planted.world import pieces_world


@dataclass(frozen=True)
class Event:
    """An event that is put between those of an answer."""

    dialect: str
    name: str
    body: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.dialect}: {self.name}"


_BLOCK = {"type": "content_block_delta", "index": 2}
EVENTS = (
    Event("messages", "unknown type", {"type": "unheard", "text": PASSAGE, TOKEN: ANYTHING}),
    Event("messages", "unknown delta", {**_BLOCK, "delta": {"type": "unheard_delta", "text": TOKEN, "x": PASSAGE}}),
    Event("messages", "delta of no block", {**_BLOCK, "index": 77, "delta": {"type": "text_delta", "text": TOKEN}}),
    Event(
        "messages",
        "unknown block",
        {"type": "content_block_start", "index": 9, "content_block": {"type": "unheard", "text": TOKEN, "x": PASSAGE}},
    ),
    Event("messages", "type that is no text", {"type": {"text": PASSAGE, TOKEN: 1}}),
    Event("responses", "unknown type", {"type": "response.unheard.delta", "delta": PASSAGE, TOKEN: ANYTHING}),
    Event("responses", "no type of a response", {"type": "unheard", "text": TOKEN}),
    Event(
        "responses",
        "unknown item",
        {"type": "response.output_item.added", "output_index": 9, "item": {"type": "unheard", "text": TOKEN}},
    ),
    Event(
        "responses",
        "unknown part",
        {
            "type": "response.content_part.added",
            **{"item_id": "msg_1", "output_index": 1, "content_index": 7},
            "part": {"type": "unheard", "text": TOKEN},
        },
    ),
    Event("responses", "type that is no text", {"type": [PASSAGE, TOKEN]}),
)
"""The table."""


def without_numbers(events: list[Any]) -> list[Any]:
    """Events without their place in the stream."""
    return [{key: value for key, value in event.items() if key != "sequence_number"} for event in events]


@pytest.mark.parametrize("event", EVENTS, ids=str)
async def test_nothing_of_an_unknown_event_arrives_and_all_others_do(event: Event) -> None:
    answers = ANSWERS[event.dialect]
    reference = answers.stream(1)
    told = json.dumps(event.body, separators=(",", ":")).encode()
    name = event.body["type"] if isinstance(event.body["type"], str) else TOKEN
    planted = b"event: " + name.encode() + b"\ndata: " + told + b"\n\n"
    async with pieces_world() as w:
        for after in (3, len(reference) // 2):
            data = answers.encode(reference[:after]) + planted + answers.encode(reference[after:])
            for cuts in cuttings(data):
                got = await ask(w, event.dialect, data, cuts, True)
                assert not found(got.body)
                assert without_numbers(plain(events_of(got))) == without_numbers(plain(reference))
        assert w.notebook.of(FieldsDropped)


@pytest.mark.parametrize("dialect", ANSWERS)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("empty", [True, False])
async def test_what_is_dropped_is_counted_by_dialect_and_named(dialect: str, stream: bool, empty: bool) -> None:
    answers = ANSWERS[dialect]
    async with pieces_world(Action.BLOCK, empty=empty) as w:
        if stream:
            events = answers.stream(1)
            events[0] = {**events[0], "unheard": TOKEN, "other": [TOKEN]}
            await ask(w, dialect, answers.encode(events), (), True)
        else:
            body = {**answers.whole(1), "unheard": TOKEN, "other": [TOKEN]}
            await ask(w, dialect, json.dumps(body).encode(), (), False)
        (dropped,) = w.notebook.of(FieldsDropped)
        assert (dropped.dialect, dropped.count) == (dialect, 2)
        assert set(dropped.names) == {"unheard", "other"}


@pytest.mark.parametrize("dialect", ANSWERS)
async def test_the_name_of_a_dropped_field_is_told_only_where_it_is_a_name(dialect: str) -> None:
    answers = ANSWERS[dialect]
    async with pieces_world() as w:
        body = {**answers.whole(1), PASSAGE: 1, "\n".join(PASSAGE.split()): 1}
        await ask(w, dialect, json.dumps(body).encode(), (), False)
        (dropped,) = w.notebook.of(FieldsDropped)
        assert dropped.count == 2
        assert not found(" ".join(dropped.names).encode())


@pytest.mark.parametrize("dialect", ANSWERS)
async def test_nothing_is_counted_where_nothing_is_dropped(dialect: str) -> None:
    answers = ANSWERS[dialect]
    async with pieces_world() as w:
        await ask(w, dialect, answers.encode(answers.stream(1)), (), True)
        await ask(w, dialect, json.dumps(answers.whole(1)).encode(), (), False)
        assert w.notebook.of(FieldsDropped) == []
