"""Server-sent events in every form that is legal: official clients make the same of them through Lethe as directly.

vLLM sends one form only, so that upstream is the tests' own here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import uvicorn

from server.dialects.option_table import Surface, parse_treatments
from server.offer import Offer
from tests.conformance.calls import PIXEL, SPLIT
from tests.conformance.comparing import Json, essence, folded
from tests.server import messages, responses_world
from tests.server.world import Request, Script, World, Writer, chunk, says_json, says_stream, world

SAID = [{"role": "user", "content": "Tell me of the harbour."}]
BODIES: dict[str, Json] = {
    "chat": {"model": "tiny", "messages": SAID, "stream": True, "stream_options": {"include_usage": True}},
    "completions": {"model": "tiny", "prompt": "The harbour", "stream": True},
    "messages": messages.asking(stream=True),
    "responses": responses_world.asked(stream=True, store=False),
}
PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
}
IN_NODE = ("chat", "completions", "responses")
PIECES = ("Gulls\n", "and \t", SPLIT[:20], SPLIT[20:], '"quoted" \\ data: x')
ONE, TWO = '{"text": "one"}', '{"text": "two"}'


def call_delta(index: int, arguments: str, name: str | None = None) -> Json:
    """A piece of a tool call."""
    function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
    head = {"id": f"call_{index}", "type": "function"} if name else {}
    return {"tool_calls": [{"index": index, **head, "function": function}]}


def text_choice(text: str, reason: str | None = None) -> Json:
    """An event of a completion."""
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason, "stop_reason": None}
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "tiny", "choices": [choice]}


USAGE = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}
EVENTS: Mapping[str, list[Json]] = {
    "chat": [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning": "Ships, then "}),
        chunk({"reasoning": "gulls."}),
        *(chunk({"content": piece}) for piece in PIECES),
        chunk(call_delta(0, ONE[:8], "note")),
        chunk(call_delta(0, ONE[8:])),
        chunk(call_delta(1, TWO, "note")),
        chunk({}, "tool_calls"),
        {**chunk({}), "choices": [], "usage": USAGE},
    ],
    "completions": [*(text_choice(piece) for piece in PIECES), text_choice("", "stop")],
    "messages": [
        messages.begun(),
        *messages.thinking(0, "Ships, then ", "gulls."),
        *messages.text(1, *PIECES),
        *messages.tool(2, "note", ONE[:8], ONE[8:], id="toolu_1"),
        *messages.tool(3, "note", TWO, id="toolu_2"),
        *messages.ended("tool_use"),
    ],
    "responses": responses_world.streamed(
        responses_world.thinks("Ships, then ", "gulls."),
        responses_world.says(*PIECES, number=1),
        responses_world.calls(ONE[:8], ONE[8:], number=2, name="note"),
        responses_world.calls(TWO, number=3, name="note"),
    ),
}
DONE = "[DONE]"
Fields = list[tuple[str, str]]
"""The lines of one event: names and values."""


def lines(fields: Fields, end: str = "\n", colon: str = ": ") -> str:
    """The lines as text."""
    return "".join(f"{name}{colon}{value}{end}" for name, value in fields)


def indented(fields: Fields) -> Fields:
    """JSON in many lines of data."""
    told: Fields = []
    for name, value in fields:
        many = json.dumps(json.loads(value), indent=1, ensure_ascii=False) if value[:1] == "{" else value
        told += [(name, line) for line in many.split("\n")]
    return told


def escaped(fields: Fields) -> Fields:
    """JSON in ASCII."""
    return [(name, json.dumps(json.loads(value)) if value[:1] == "{" else value) for name, value in fields]


MIXED = ("\n\r\n", "\r\n\n", "\r\n\r\n")
FRAMINGS: Mapping[str, Callable[[int, Fields], str]] = {
    "as vLLM sends it": lambda n, fields: lines(fields) + "\n",
    "CRLF": lambda n, fields: lines(fields, "\r\n") + "\r\n",
    "CR": lambda n, fields: lines(fields, "\r") + "\r",
    "mixed ends of lines": lambda n, fields: lines(fields).removesuffix("\n") + MIXED[n % 3],
    "no space behind the colon": lambda n, fields: lines(fields, colon=":") + "\n",
    "keep-alives between events": lambda n, fields: f"{lines(fields)}\n:\n\n: STILL AT WORK {n}\n\n",
    "comments inside events": lambda n, fields: f": before\n{lines(fields)}: after\n\n",
    "data of many lines": lambda n, fields: lines(indented(fields)) + "\n",
    "ids and times to retry": lambda n, fields: f"id: {n}\nretry: 1000\n{lines(fields)}\n",
    "a field that nobody knows": lambda n, fields: f"colour: red\n{lines(fields)}\n",
    "escaped to ASCII": lambda n, fields: lines(escaped(fields)) + "\n",
    "many empty lines": lambda n, fields: f"\n\n{lines(fields)}\n\n\n",
}
CUTS = {"in one piece": 0, "byte by byte": 1, "in pieces of 7 bytes": 7}
WAYS = [
    *(("chat", cut, False) for cut in CUTS),
    ("chat", "in pieces of 7 bytes", True),
    *((api, "in pieces of 7 bytes", False) for api in ("completions", "messages", "responses")),
]


def encoded(api: str, framing: str) -> bytes:
    """The stream of an API in this form."""
    frame = FRAMINGS[framing]
    told: list[Fields] = []
    for event in EVENTS[api]:
        name = [("event", event["type"])] if "type" in event else []
        told.append([*name, ("data", json.dumps(event, separators=(",", ":"), ensure_ascii=False))])
    if api in ("chat", "completions"):
        told.append([("data", DONE)])
    return "".join(frame(n, fields) for n, fields in enumerate(told)).encode()


def says(framing: str, cut: int) -> Script:
    """What upstream says to each API, in this form, cut in pieces of so many bytes."""

    async def script(request: Request, writer: Writer) -> None:
        data = encoded(next(api for api, path in PATHS.items() if path == request.path), framing)
        await says_stream(data, range(cut, len(data), cut) if cut else ())(request, writer)

    return script


@contextlib.asynccontextmanager
async def served(w: World) -> AsyncIterator[str]:
    """The URL of the application behind a real server."""
    server = uvicorn.Server(uvicorn.Config(w.app, port=0, lifespan="off", log_level="critical"))
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


async def in_python(url: str, api: str) -> Json:
    """What the official client for Python makes of it."""
    async with (
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="client", max_retries=0) as client,
        anthropic.AsyncAnthropic(base_url=url, api_key="client", max_retries=0) as other,
    ):
        creates: dict[str, Any] = {
            "chat": client.chat.completions.create,
            "completions": client.completions.create,
            "messages": other.messages.create,
            "responses": client.responses.create,
        }
        stream = await creates[api](**BODIES[api])
        return folded([event.model_dump(exclude_unset=True, mode="json") async for event in stream])


async def in_node(url: str, folder: Path) -> list[Json]:
    """What the client for Node makes of it, for every API that it speaks."""
    calls = [{"api": api, "body": BODIES[api]} for api in IN_NODE]
    process = await asyncio.create_subprocess_exec(
        "node", "calls.mjs", cwd=folder, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    asked = json.dumps({"baseURL": f"{url}/v1", "apiKey": "client", "calls": calls}).encode()
    out, _ = await process.communicate(asked)
    return [folded(told["events"]) for told in json.loads(out)]


@pytest.mark.parametrize(("api", "cut", "unguarded"), WAYS)
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_the_client_for_python_reads_the_same(framing: str, api: str, cut: str, unguarded: bool) -> None:
    async with world(empty=unguarded) as w, served(w) as through, w.upstream.serve() as direct:
        w.upstream.scripts = [says(framing, CUTS[cut])]
        expected = await in_python(direct, api)
        assert expected == folded(map(essence, EVENTS[api]))
        assert await in_python(through, api) == expected


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_the_client_for_node_reads_the_same(node_client: Path, framing: str) -> None:
    async with world() as w, served(w) as through, w.upstream.serve() as direct:
        w.upstream.scripts = [says(framing, 7)]
        assert await in_node(through, node_client) == await in_node(direct, node_client)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_picture_passes_where_the_operator_lets_it(stream: bool) -> None:
    """The model server gets it as it was sent, and its error arrives in its words."""
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    asked: Any = [{"role": "user", "content": content}]
    refusal = {
        "error": {"message": "tiny is not a multimodal model", "type": "BadRequestError", "param": None, "code": 400}
    }
    offer = Offer(Surface(parse_treatments("images=pass")))
    seen = []
    async with world(offer=offer) as w, served(w) as through, w.upstream.serve() as direct:
        w.upstream.scripts = [says_json(refusal, 400)]
        for url in (direct, through):
            async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="client", max_retries=0) as client:
                with pytest.raises(openai.BadRequestError) as caught:
                    await client.chat.completions.create(model="tiny", messages=asked, stream=stream)
                seen.append((caught.value.status_code, caught.value.body))
        assert seen[0] == seen[1]
        assert w.upstream.requests[0].json == w.upstream.requests[1].json
