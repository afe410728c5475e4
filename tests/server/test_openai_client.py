"""The official client, over a real server: it sees through Lethe what it sees from vLLM itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import uvicorn

from server.observation import RequestObserved, RequestOutcome
from tests.server.test_samples import ADDS_TO_IT, EVERY, sample
from tests.server.world import REFUSAL, World, says_json, says_stream, spoken, sse, whole, world


@contextlib.asynccontextmanager
async def served(w: World) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client of the application behind uvicorn."""
    server = uvicorn.Server(uvicorn.Config(w.app, port=0, lifespan="off", log_level="critical"))
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="client", max_retries=0) as client:
        yield client
    server.should_exit = True
    await serving


async def asked(client: openai.AsyncOpenAI, path: str, body: dict[str, Any]) -> Any:
    """What the client's own call answers: objects, or the error as it shows it."""
    calls = {"/v1/chat/completions": client.chat.completions, "/v1/completions": client.completions}
    known = {"model", "messages", "prompt", "stream", "stream_options", "n", "temperature", "tools", "tool_choice"}
    known |= {"max_tokens", "stop", "seed"}
    extra = {key: value for key, value in body.items() if key not in known}
    given = {key: value for key, value in body.items() if key in known}
    try:
        answer = await calls[path].create(**given, extra_body=extra)  # type: ignore[attr-defined]
        return _in_order([event async for event in answer]) if body.get("stream") else answer
    except openai.APIStatusError as error:
        return error.status_code, error.body


def _in_order(events: list[Any]) -> list[Any]:
    """By choice: while one is held back, another may overtake it."""
    return sorted(events, key=lambda event: event.choices[0].index if event.choices else len(events))


@pytest.mark.parametrize("name", sorted(set(EVERY) - ADDS_TO_IT))
async def test_the_same_objects_through_lethe_as_from_vllm(name: str) -> None:
    given = sample(name)
    body = json.loads(given.body)
    async with world() as w, served(w) as client, w.upstream.serve() as base:
        w.upstream.scripts = [given.script()]
        async with openai.AsyncOpenAI(base_url=base + "/v1", api_key="x", max_retries=0) as direct:
            assert await asked(client, given.path, body) == await asked(direct, given.path, body)


async def test_a_suppressed_answer_is_an_ordinary_object() -> None:
    async with world() as w, served(w) as client:
        w.upstream.scripts = [says_json(whole("The copper treaty."))]
        messages: Any = [{"role": "user", "content": "Well?"}]
        answer = await client.chat.completions.create(model="tiny", messages=messages)
        assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("content_filter", REFUSAL)
        w.upstream.scripts = [says_stream(sse(spoken("The copper ", "treaty.")))]
        stream = await client.chat.completions.create(model="tiny", messages=messages, stream=True)
        choices = [event.choices[0] async for event in stream]
        assert "".join(choice.delta.content or "" for choice in choices) == REFUSAL
        assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["content_filter"]
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="tiny", messages=messages, extra_body={"echo": True})
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="tiny", input="x", encoding_format="float")


async def test_a_client_that_hangs_up_cancels_upstream() -> None:
    async with world() as w, served(w) as client:
        w.upstream.scripts = [says_stream(sse(spoken("Rain falls on the sea. ", "Gulls cry."), done=False), then=30.0)]
        messages: Any = [{"role": "user", "content": "Well?"}]
        stream = await client.chat.completions.create(model="tiny", messages=messages, stream=True)
        await anext(aiter(stream))
        await stream.close()
        for _ in range(100):
            await asyncio.sleep(0.01)
            if w.upstream.left and w.notebook.of(RequestObserved):
                break
        assert len(w.upstream.left) == 1
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.CANCELLED
