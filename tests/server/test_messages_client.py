"""The official client of `/v1/messages`, over a real server: suppressed answers are ordinary objects to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
import uvicorn

from guard.verdict import Action
from server.observation import RequestObserved, RequestOutcome
from tests.server.messages import begun, ended, says, spoken, text, thinking, tool, whole
from tests.server.world import REFUSAL, World, policy, says_json, world

ASKED: Any = {"model": "tiny", "max_tokens": 64, "messages": [{"role": "user", "content": "Well?"}]}


@contextlib.asynccontextmanager
async def served(w: World) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """A client of the application behind uvicorn."""
    server = uvicorn.Server(uvicorn.Config(w.app, port=0, lifespan="off", log_level="critical"))
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with anthropic.AsyncAnthropic(base_url=f"http://127.0.0.1:{port}", api_key="client", max_retries=0) as client:
        yield client
    server.should_exit = True
    await serving


async def streamed(client: anthropic.AsyncAnthropic) -> Any:
    """The message that the client puts together."""
    async with client.messages.stream(**ASKED) as stream:
        async for _ in stream:
            pass
        return await stream.get_final_message()


async def test_the_same_objects_through_lethe_as_from_the_model_server() -> None:
    call = tool(2, "get_weather", '{"place": "the ', 'harbour"}')
    events = [begun(), *thinking(0, "Let me see."), *text(1, "Rain falls."), *call, *ended("tool_use")]
    block = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}
    async with world() as w, served(w) as client, w.upstream.serve() as base:
        direct = anthropic.AsyncAnthropic(base_url=base, api_key="x", max_retries=0)
        w.upstream.scripts = [says(*events)]
        message = await streamed(client)
        assert message == await streamed(direct)
        assert message.content[2].input == {"place": "the harbour"}
        w.upstream.scripts = [says_json(whole({"type": "text", "text": "Rain falls."}, block, reason="tool_use"))]
        assert await client.messages.create(**ASKED) == await direct.messages.create(**ASKED)
        await direct.close()


async def test_a_suppressed_answer_is_an_ordinary_message() -> None:
    async with world() as w, served(w) as client:
        w.upstream.scripts = [says_json(whole({"type": "text", "text": "The copper treaty."}))]
        message: Any = await client.messages.create(**ASKED)
        assert (message.stop_reason, message.content[0].text) == ("refusal", REFUSAL)
        w.upstream.scripts = [says(*spoken("The copper ", "treaty."))]
        message = await streamed(client)
        assert (message.stop_reason, message.content[0].text) == ("refusal", REFUSAL)
        assert (message.usage.input_tokens, message.usage.output_tokens) == (10, 8)
        called = tool(1, "look_up", '{"about": "the copper ', 'treaty"}')
        w.upstream.scripts = [says(begun(), *thinking(0, "Let me see."), *called, *ended("tool_use"))]
        message = await streamed(client)
        assert [block.type for block in message.content] == ["thinking", "text"]
        assert message.stop_reason == "refusal"


async def test_a_rewritten_answer_is_an_ordinary_message() -> None:
    async with world(policy=policy(Action.REWRITE)) as w, served(w) as client:
        again = says_json(whole({"type": "text", "text": "Gulls cry over the old harbour."}))
        w.upstream.scripts = [says(*spoken("Rain falls. It was cold. ", "The copper treaty. ", "So.")), again]
        async with client.messages.stream(**ASKED) as stream:
            heard = [piece async for piece in stream.text_stream]
            message: Any = await stream.get_final_message()
        assert "".join(heard) == message.content[0].text
        assert [piece.strip() for piece in heard[-2:]] == ["Gulls cry over", "the old harbour."]
        assert message.stop_reason == "end_turn"
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.REWRITTEN


async def test_errors_are_the_clients_own_exceptions() -> None:
    failed: Any = {"type": "error", "error": {"type": "api_error", "message": "out of memory"}}
    async with world() as w, served(w) as client:
        w.upstream.scripts = [says_json(failed, 404)]
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(**ASKED)
        with pytest.raises(anthropic.BadRequestError, match="vllm_xargs"):
            await client.messages.create(**ASKED, extra_body={"vllm_xargs": {"x": 1}})
        w.upstream.scripts = [says_json({"type": "error", "error": {"type": "x", "message": "slow"}}, 429)]
        with pytest.raises(anthropic.RateLimitError):
            await client.messages.create(**ASKED)
        w.upstream.scripts = [says(*spoken("Rain falls. ", "Gulls cry. ")[:3], failed)]
        with pytest.raises(anthropic.APIStatusError, match="out of memory"):
            await streamed(client)


async def test_a_client_that_hangs_up_cancels_upstream() -> None:
    async with world() as w, served(w) as client:
        w.upstream.scripts = [says(*spoken("Rain falls on the sea. ", "Gulls cry.")[:4], then=30.0)]
        async with client.messages.stream(**ASKED) as stream:
            await anext(aiter(stream))
        for _ in range(100):
            await asyncio.sleep(0.01)
            if w.upstream.left and w.notebook.of(RequestObserved):
                break
        assert len(w.upstream.left) == 1
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.CANCELLED
