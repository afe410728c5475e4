"""A passage of which every channel holds too little: what stands on both sides of a border is judged together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from guard.policy import Streaming
from guard.verdict import Action
from tests.guard.streams import RUNS
from tests.planted.answers import Json, executable, heard
from tests.planted.asking import ask, cuttings, events_of
from tests.planted.canary import WORDS
from tests.planted.world import pieces_world
from tests.server import messages, responses_world
from tests.server.world import chunk, sse, whole

K = 4
FIRST, SECOND = " ".join(WORDS[:3]), " ".join(WORDS[3:7])
"""Neither holds a run that is looked for; both together do. The second is looked for in all of its words."""

assert tuple(WORDS[:3]) not in RUNS


def _call(arguments: str, name: str = "note") -> list[Json]:
    return [{"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}]


def _argued(text: str) -> str:
    return json.dumps({"text": text})


@dataclass(frozen=True)
class Border:
    """Two places in a chat that follow each other: events of a stream, and the messages of a whole answer."""

    name: str
    events: tuple[Json, ...]
    messages: tuple[Json, ...]

    def __str__(self) -> str:
        return self.name


THIRD = " ".join(WORDS[3:6])
BORDERS: tuple[Border, ...] = (
    Border("reasoning, content", ({"reasoning": FIRST}, {"content": THIRD}), ({"reasoning": FIRST, "content": THIRD},)),
    Border(
        "reasoning_content, content",
        ({"reasoning_content": FIRST}, {"content": THIRD}),
        ({"reasoning_content": FIRST, "content": THIRD},),
    ),
    Border("content, refusal", ({"content": FIRST}, {"refusal": THIRD}), ({"content": FIRST, "refusal": THIRD},)),
    Border(
        "content, arguments",
        ({"content": FIRST}, {"tool_calls": _call(_argued(THIRD))}),
        ({"content": FIRST, "tool_calls": _call(_argued(THIRD))},),
    ),
    Border(
        "content, function_call",
        ({"content": FIRST}, {"function_call": {"name": "note", "arguments": _argued(THIRD)}}),
        ({"content": FIRST, "function_call": {"name": "note", "arguments": _argued(THIRD)}},),
    ),
    Border("content, content of the next choice", (), ({"content": FIRST}, {"content": THIRD})),
)
"""The table."""


def rows(borders: Iterable[Border]) -> list[Any]:
    """The rows as parameters."""
    return [pytest.param(b, id=b.name) for b in borders]


def arrived(body: bytes) -> bool:
    """True when all of the words reached the client, wherever."""
    said = body.decode()
    return all(word in said for word in [*WORDS[:3], *WORDS[3:6]])


@pytest.mark.parametrize("border", rows(b for b in BORDERS if b.events))
@pytest.mark.parametrize("action", [Action.BLOCK, Action.REDACT])
@pytest.mark.parametrize("streaming", list(Streaming))
async def test_a_passage_across_a_border_of_a_stream_does_not_arrive(
    border: Border, action: Action, streaming: Streaming
) -> None:
    events = [chunk({"role": "assistant"}), *(chunk(delta) for delta in border.events), chunk({}, "stop")]
    data = sse(events)
    async with pieces_world(action, streaming) as w:
        for cuts in cuttings(data):
            got = await ask(w, "chat", data, cuts, True)
            assert not arrived(got.body)


@pytest.mark.parametrize("border", rows(BORDERS))
@pytest.mark.parametrize("action", [Action.BLOCK, Action.REDACT])
async def test_a_passage_across_a_border_of_a_whole_answer_does_not_arrive(border: Border, action: Action) -> None:
    body: Json = whole("")
    (choice,) = body["choices"]
    body["choices"] = [
        {**choice, "index": number, "message": {**choice["message"], **message}}
        for number, message in enumerate(border.messages)
    ]
    async with pieces_world(action) as w:
        got = await ask(w, "chat", json.dumps(body).encode(), (), False, len(border.messages))
        assert not arrived(got.body)


def _blocks(first: str, second: str) -> list[list[Json]]:
    """Two blocks of a message that follow each other."""
    return [
        [*messages.thinking(0, first), *messages.text(1, second)],
        [*messages.text(0, first), *messages.text(1, second)],
        [*messages.text(0, first), *messages.tool(1, "note", _argued(second))],
    ]


_THINKING, _TEXT, _INPUT = _blocks(FIRST, THIRD)


@pytest.mark.parametrize("blocks", [_THINKING, _TEXT, _INPUT], ids=["thinking", "text", "input"])
@pytest.mark.parametrize("action", [Action.BLOCK, Action.REDACT])
async def test_a_passage_across_blocks_of_a_message_does_not_arrive(blocks: list[Json], action: Action) -> None:
    data = messages.encoded([messages.begun(), *blocks, *messages.ended()])
    async with pieces_world(action) as w:
        for cuts in cuttings(data):
            assert not arrived((await ask(w, "messages", data, cuts, True)).body)


def _items(first: str, second: str) -> dict[str, list[Any]]:
    """Two items of a response that follow each other."""
    return {
        "reasoning, text": [responses_world.thinks(first, number=0), responses_world.says(second, number=1)],
        "text, text": [responses_world.says(first, number=0), responses_world.says(second, number=1)],
        "text, arguments": [responses_world.says(first, number=0), responses_world.calls(_argued(second), number=1)],
        "text, input": [responses_world.says(first, number=0), responses_world.writes(second, number=1)],
    }


@pytest.mark.parametrize("items", [pytest.param(items, id=name) for name, items in _items(FIRST, THIRD).items()])
@pytest.mark.parametrize("action", [Action.BLOCK, Action.REDACT])
async def test_a_passage_across_items_of_a_response_does_not_arrive(items: list[Any], action: Action) -> None:
    data = responses_world.named(responses_world.streamed(*items))
    async with pieces_world(action) as w:
        for cuts in cuttings(data):
            assert not arrived((await ask(w, "responses", data, cuts, True)).body)


async def test_the_last_word_of_a_block_is_not_hidden_by_the_first_of_the_next() -> None:
    said = "It was the copper treaty"
    async with pieces_world() as w:
        data = messages.encoded(
            [messages.begun(), *messages.text(0, said), *messages.text(1, "Rain"), *messages.ended()]
        )
        assert b"treaty" not in (await ask(w, "messages", data, (), True)).body
        items = (responses_world.says(said, number=0), responses_world.says("Rain", number=1))
        data = responses_world.named(responses_world.streamed(*items))
        assert b"treaty" not in (await ask(w, "responses", data, (), True)).body


@pytest.mark.parametrize("text", [SECOND, "the copper treaty"])
@pytest.mark.parametrize("where", ["arguments", "name"])
async def test_a_suppressed_tool_call_is_never_executable(text: str, where: str) -> None:
    arguments, name = (_argued(text), "note") if where == "arguments" else (_argued("rain"), text)
    named = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name}}
    parts = [arguments[:9], arguments[9:]]
    deltas = [named, *({"index": 0, "function": {"arguments": part}} for part in parts)]
    data = sse([*(chunk({"tool_calls": [delta]}) for delta in deltas), chunk({}, "tool_calls")])
    async with pieces_world(Action.BLOCK) as w:
        for cuts in cuttings(data):
            got = await ask(w, "chat", data, cuts, True)
            assert not executable(heard(events_of(got)))
        body = whole(None, finish="tool_calls", tool_calls=_call(arguments, name))
        assert not executable(heard([(await ask(w, "chat", json.dumps(body).encode(), (), False)).json]))
        blocks = messages.tool(0, name, *parts)
        data = messages.encoded([messages.begun(), *blocks, *messages.ended("tool_use")])
        assert b"tool_use" not in (await ask(w, "messages", data, (), True)).body
        data = responses_world.named(responses_world.streamed(responses_world.calls(*parts, name=name)))
        assert b"function_call_arguments.done" not in (await ask(w, "responses", data, (), True)).body


async def test_what_an_event_without_an_item_says_hides_nothing_of_what_the_item_says() -> None:
    run = " ".join(WORDS[:K])
    events = responses_world.streamed(responses_world.calls('{"text":"gr', f'{run}"}}'))
    told = next(event for event in events if event["type"] == "response.function_call_arguments.delta")
    del told["item_id"]
    async with pieces_world() as w:
        for cuts in cuttings(data := responses_world.named(events)):
            assert not re.search(rf"\b{run}\b", (await ask(w, "responses", data, cuts, True)).body.decode())
