"""The official client of `/v1/responses`, over a real server."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from guard.verdict import Action
from server.offer import Offer
from server.responses_state import ResponsesState
from tests.server.responses_world import (
    call,
    calls,
    message,
    named,
    reasoning,
    response,
    says,
    streamed,
    thinks,
)
from tests.server.test_openai_client import served
from tests.server.world import REFUSAL, policy, says_json, says_stream, world

TOOLS: Any = [{"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": False}]
ASKED: dict[str, Any] = {"model": "tiny", "input": "Tell me of the harbour.", "tools": TOOLS}
ORDINARY = response(reasoning("Weather."), message("Rain falls.", 1), call('{"a": "b"}', 2), tools=TOOLS)
STREAM = streamed(thinks("Wea", "ther."), says("Rain ", "falls.", number=1), calls('{"a":', ' "b"}', number=2))


async def test_the_same_objects_through_lethe_as_from_vllm() -> None:
    async with (
        world() as w,
        served(w) as client,
        w.upstream.serve() as base,
        openai.AsyncOpenAI(base_url=base + "/v1", api_key="x", max_retries=0) as direct,
    ):
        w.upstream.scripts = [says_json(ORDINARY)]
        assert await client.responses.create(**ASKED) == await direct.responses.create(**ASKED)
        w.upstream.scripts = [says_stream(named(STREAM))]
        told, own = [
            [event async for event in await one.responses.create(**ASKED, stream=True)] for one in (client, direct)
        ]
        assert told == own and len(told) == len(STREAM)


async def test_the_client_gathers_a_stream() -> None:
    async with world() as w, served(w) as client:
        w.upstream.scripts = [says_stream(named(STREAM))]
        async with client.responses.stream(**ASKED) as stream:
            final = await stream.get_final_response()
        assert final.output_text == "Rain falls." and final.usage is not None
        assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]


async def test_a_suppressed_answer_is_an_ordinary_object() -> None:
    async with world() as w, served(w) as client:
        w.upstream.scripts = [says_json(response(message("The copper treaty.")))]
        answer = await client.responses.create(**ASKED)
        assert (answer.status, answer.output_text) == ("incomplete", REFUSAL)
        assert answer.incomplete_details is not None and answer.incomplete_details.reason == "content_filter"


@pytest.mark.parametrize(
    ("items", "types"),
    [
        ([says("Rain falls on the sea. ", "The copper ", "treaty.")], ["message"]),
        ([thinks("The copper ", "treaty."), says("Rain.", number=1)], ["reasoning", "message"]),
        ([says("Rain falls."), calls('{"q": "copper treaty"}', number=1)], ["message", "message"]),
        ([calls('{"q": "copper treaty"}')], ["message"]),
    ],
)
async def test_the_client_gathers_a_suppressed_stream(items: list[Any], types: list[str]) -> None:
    async with world() as w, served(w) as client:
        w.upstream.scripts = [says_stream(named(streamed(*items)))]
        async with client.responses.stream(**ASKED) as stream:
            events: list[Any] = [event async for event in stream]
        final = events[-1].response
        assert events[-1].type == "response.incomplete" and final.status == "incomplete"
        assert final.incomplete_details.reason == "content_filter" and final.output_text.endswith(REFUSAL)
        assert [item.type for item in final.output] == types and "treaty" not in final.model_dump_json()


async def test_the_client_gathers_a_rewritten_stream() -> None:
    async with world(policy=policy(Action.REWRITE)) as w, served(w) as client:
        sent = streamed(says("Rain falls on the sea. ", "The copper ", "treaty."))
        w.upstream.scripts = [says_stream(named(sent)), says_json(response(message(" Gulls cry over the quay.")))]
        async with client.responses.stream(**ASKED) as stream:
            final = await stream.get_final_response()
        assert final.status == "completed" and final.output_text == "Rain falls on the sea. Gulls cry over the quay."


async def test_errors_are_raised_by_the_client() -> None:
    async with world() as w, served(w) as client:
        with pytest.raises(openai.BadRequestError, match="previous_response_id"):
            await client.responses.create(**ASKED, previous_response_id="resp_1")
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve("resp_1")
        fault = {"type": "error", "code": "bad", "message": "The engine stopped.", "param": None}
        w.upstream.scripts = [says_stream(named([*STREAM[:9], fault]))]
        with pytest.raises(openai.APIError, match="The engine stopped"):
            async for _ in await client.responses.create(**ASKED, stream=True):
                pass


async def test_the_client_keeps_fetches_and_cancels_responses() -> None:
    offer = Offer(responses=ResponsesState(b"k" * 32))
    async with world(offer=offer) as w, served(w) as client:
        w.upstream.scripts = [says_json(response(status="queued", background=True))]
        queued = await client.responses.create(**ASKED, background=True, store=True)
        w.upstream.scripts = [says_json(ORDINARY)]
        assert (await client.responses.retrieve(queued.id)).output_text == "Rain falls."
        assert w.upstream.requests[-1].path == "/v1/responses/resp_1"
        w.upstream.scripts = [says_stream(named(STREAM))]
        events = [event async for event in await client.responses.retrieve(queued.id, stream=True, starting_after=3)]
        assert [event.sequence_number for event in events] == list(range(4, len(STREAM)))
        w.upstream.scripts = [says_json(response(status="cancelled"))]
        assert (await client.responses.cancel(queued.id)).status == "cancelled"
        assert w.upstream.requests[-1].path == "/v1/responses/resp_1/cancel"
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve("resp_1")
