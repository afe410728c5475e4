"""Anthropic's own client for Python: the same calls, directly and through Lethe, with equal results."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.conformance.calls import BAD_MESSAGES, MESSAGES, NO_MESSAGE, PIXEL, Call, message
from tests.conformance.comparing import Json, essence, folded
from tests.model_servers import Guarded


def clients(guarded: Guarded) -> tuple[Anthropic, Anthropic]:
    """One for the model server, and one for Lethe."""
    return (
        Anthropic(base_url=guarded.vllm.base_url, api_key="none", max_retries=0),
        Anthropic(base_url=guarded.lethe.base_url, api_key=guarded.lethe.admin_key, max_retries=0),
    )


def asked(client: Anthropic, call: Call, stream: bool = False) -> Json:
    """What the client makes of the answer: an object, a stream as one object, or an error."""
    body: Any = call.body
    try:
        answer = client.messages.create(**body, extra_body=call.extra, stream=stream)
        if not stream:
            return {"whole": essence(answer.model_dump(exclude_unset=True, mode="json"))}
        return folded(event.model_dump(exclude_unset=True, mode="json") for event in answer)
    except anthropic.APIStatusError as error:
        return {"error": error.status_code, "kind": type(error).__name__, "body": error.body}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("call", MESSAGES, ids=str)
def test_an_answer_is_equal(guarded: Guarded, call: Call, stream: bool) -> None:
    direct, through = (asked(client, call, stream) for client in clients(guarded))
    assert "error" not in direct
    assert through == direct


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("call", BAD_MESSAGES, ids=str)
def test_what_the_model_server_refuses_is_refused_in_its_words(guarded: Guarded, call: Call, stream: bool) -> None:
    direct, through = (asked(client, call, stream) for client in clients(guarded))
    assert 400 <= direct["error"] < 500
    assert (through["error"], through["kind"]) == (direct["error"], direct["kind"])
    assert through["body"]["type"] == "error"
    assert through["body"]["error"]["message"] == direct["body"]["error"]["message"]


def test_a_picture_is_refused_as_a_request_that_cannot_be_served(guarded: Guarded) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL.partition(",")[2]}
    call = message("an image", messages=[{"role": "user", "content": [{"type": "image", "source": source}]}])
    direct, through = (asked(client, call) for client in clients(guarded))
    assert (through["error"], through["kind"]) == (direct["error"], direct["kind"]) == (400, "BadRequestError")


def test_a_model_that_does_not_exist_is_the_same_kind_of_error(guarded: Guarded) -> None:
    direct, through = (asked(client, NO_MESSAGE) for client in clients(guarded))
    assert (through["error"], through["kind"]) == (direct["error"], direct["kind"]) == (404, "NotFoundError")


def test_the_tokens_of_a_question_are_counted_the_same(guarded: Guarded) -> None:
    asked: list[Any] = [{"role": "user", "content": "How many tokens is this?"}]
    counts = [c.messages.count_tokens(model="lethe-demo", messages=asked).input_tokens for c in clients(guarded)]
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("call", [MESSAGES[0], MESSAGES[9]], ids=str)
def test_the_message_that_the_client_builds_from_a_stream_is_equal(guarded: Guarded, call: Call) -> None:
    def built(client: Anthropic) -> Any:
        body: Any = call.body
        with client.messages.stream(**body) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_message()
        return kinds, essence(final.model_dump(exclude_unset=True, mode="json"))

    direct, through = map(built, clients(guarded))
    assert through == direct
