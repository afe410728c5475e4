"""OpenAI's own client for Python: the same calls, directly and through Lethe, with equal results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.conformance.calls import (
    BAD,
    BAD_RESPONSES,
    CHAT,
    COMPLETIONS,
    IMAGE,
    QUESTION,
    REFUSED_HERE,
    RESPONSES,
    SHOWN,
    SPLIT,
    UNKNOWN,
    Call,
)
from tests.conformance.comparing import Json, essence, folded
from tests.model_servers import Guarded

COUNTS: dict[str, Json] = {
    "without usage": {},
    "with usage": {"stream_options": {"include_usage": True}},
    "with running usage": {"stream_options": {"include_usage": True, "continuous_usage_stats": True}},
}


def creates(client: OpenAI) -> dict[str, Callable[..., Any]]:
    """How each API is called."""
    return {
        "chat": client.chat.completions.create,
        "completions": client.completions.create,
        "responses": client.responses.create,
    }


def asked(client: OpenAI, call: Call, **options: Any) -> Json:
    """What the client makes of the answer: an object, a stream as one object, or an error."""
    try:
        answer = creates(client)[call.api](**call.body, extra_body=call.extra, **options)
        if not options.get("stream"):
            return {"whole": essence(answer.model_dump(exclude_unset=True, mode="json"))}
        return folded(event.model_dump(exclude_unset=True, mode="json") for event in answer)
    except openai.APIStatusError as error:
        return {"error": error.status_code, "kind": type(error).__name__, "body": error.body}


def both(guarded: Guarded, call: Call, **options: Any) -> tuple[Json, Json]:
    """Directly, and through Lethe."""
    return asked(guarded.direct, call, **options), asked(guarded.client, call, **options)


@pytest.mark.parametrize("call", CHAT + COMPLETIONS + RESPONSES, ids=str)
def test_a_whole_answer_is_equal(guarded: Guarded, call: Call) -> None:
    direct, through = both(guarded, call)
    assert "whole" in direct
    assert through == direct


@pytest.mark.parametrize("call", CHAT + COMPLETIONS, ids=str)
def test_a_stream_is_equal(guarded: Guarded, call: Call) -> None:
    direct, through = both(guarded, call, stream=True, stream_options={"include_usage": True})
    assert "closing" in direct["told"]
    assert through == direct


@pytest.mark.parametrize("call", RESPONSES, ids=str)
def test_a_stream_of_named_events_is_equal(guarded: Guarded, call: Call) -> None:
    direct, through = both(guarded, call, stream=True)
    assert "response.completed" in direct["told"]
    assert through == direct


@pytest.mark.parametrize("options", COUNTS.values(), ids=COUNTS.keys())
@pytest.mark.parametrize("call", [CHAT[0], CHAT[8], COMPLETIONS[2]], ids=str)
def test_the_count_of_tokens_is_told_where_it_is_asked_for(guarded: Guarded, call: Call, options: Json) -> None:
    direct, through = both(guarded, call, stream=True, **options)
    assert through == direct
    assert ("closing" in through["told"]) == bool(options)


def test_what_the_model_is_made_to_say_arrives(guarded: Guarded) -> None:
    by_name = {call.name: call for call in CHAT}
    _, split = both(guarded, by_name["characters of many tokens"], stream=True)
    assert split["told"]["choice 0"]["choice"]["delta"]["content"] == SPLIT
    _, parallel = both(guarded, by_name["parallel tools"], stream=True)
    calls = parallel["told"]["choice 0"]["choice"]["delta"]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ['{"text": "one"}', '{"text": "two"}']


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("call", SHOWN, ids=str)
def test_an_answer_that_says_more_is_equal_but_for_what_is_withheld(guarded: Guarded, call: Call, stream: bool) -> None:
    direct, through = both(guarded, call, stream=stream)
    assert "error" not in direct
    assert through == direct


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("call", BAD + BAD_RESPONSES, ids=str)
def test_what_the_model_server_refuses_is_refused_in_its_words(guarded: Guarded, call: Call, stream: bool) -> None:
    direct, through = both(guarded, call, stream=stream)
    assert 400 <= direct["error"] < 500
    assert through == direct


@pytest.mark.parametrize("call", (*REFUSED_HERE, IMAGE), ids=str)
def test_what_cannot_be_read_is_the_same_kind_of_error(guarded: Guarded, call: Call) -> None:
    direct, through = both(guarded, call)
    assert (through["error"], through["kind"]) == (direct["error"], direct["kind"]) == (400, "BadRequestError")
    assert {"message", "type", "param", "code"} == set(through["body"])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("call", UNKNOWN, ids=str)
def test_a_model_that_does_not_exist_is_the_same_kind_of_error(guarded: Guarded, call: Call, stream: bool) -> None:
    direct, through = both(guarded, call, stream=stream)
    assert (through["error"], through["kind"]) == (direct["error"], direct["kind"]) == (404, "NotFoundError")
    assert {"message", "type", "param", "code"} == set(through["body"])


def test_the_models_are_equal(guarded: Guarded) -> None:
    def listed(client: OpenAI) -> Any:
        return [essence(model.model_dump(exclude_unset=True, mode="json")) for model in client.models.list()]

    def one(client: OpenAI) -> Any:
        name = client.models.list().data[0].id
        return essence(client.models.retrieve(name).model_dump(exclude_unset=True, mode="json"))

    assert listed(guarded.client) == listed(guarded.direct)
    assert one(guarded.client) == listed(guarded.direct)[0]


def test_the_streaming_and_parsing_parts_of_the_client_work(guarded: Guarded) -> None:
    """What the client builds from events by itself comes out the same."""

    def built(client: OpenAI) -> Any:
        asked: Any = [{"role": "user", "content": QUESTION}]
        with client.chat.completions.stream(model="lethe-demo", messages=asked, temperature=0) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_completion()
        return kinds, essence(final.model_dump(exclude_unset=True, mode="json"))

    assert built(guarded.client) == built(guarded.direct)
