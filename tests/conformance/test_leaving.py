"""A client that leaves in the middle of a stream frees the model server, whatever API it spoke."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.conformance.calls import Call, chat, completion, message, response
from tests.model_servers import Guarded

PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
}
LONG = {"type": "string", "minLength": 2_000}
MOST = 480
ENDLESS = (
    chat("endless", {"ignore_eos": True}, max_tokens=MOST),
    completion("endless", {"ignore_eos": True}, max_tokens=MOST),
    message("endless", max_tokens=MOST, output_config={"format": {"type": "json_schema", "schema": LONG}}),
    response("endless", {"ignore_eos": True}, max_output_tokens=MOST),
)


@pytest.mark.parametrize("call", ENDLESS, ids=str)
def test_a_client_that_leaves_a_stream_frees_the_model_server(guarded: Guarded, call: Call) -> None:
    body = {**call.whole, "stream": True}
    with (
        httpx.Client(base_url=guarded.lethe.base_url, timeout=30) as client,
        client.stream("POST", PATHS[call.api], json=body, headers=key_of(guarded)) as answer,
    ):
        assert answer.status_code == 200
        parts = answer.iter_bytes()
        while b"delta" not in (said := next(parts)) and b'"text":"' not in said:
            pass
        assert guarded.vllm.running_requests() == 1
    assert idle(guarded)


@pytest.mark.parametrize("call", ENDLESS, ids=str)
def test_a_client_that_does_not_wait_for_a_whole_answer_frees_the_model_server(guarded: Guarded, call: Call) -> None:
    with httpx.Client(base_url=guarded.lethe.base_url, timeout=0.5) as client, pytest.raises(httpx.ReadTimeout):
        client.post(PATHS[call.api], json=call.whole, headers=key_of(guarded))
    assert idle(guarded)


def key_of(guarded: Guarded) -> dict[str, Any]:
    """What lets a client in."""
    return {"authorization": f"Bearer {guarded.lethe.admin_key}"}


def idle(guarded: Guarded) -> bool:
    """True once the model server works at nothing; it needs less than a tenth of the time for that."""
    deadline = time.monotonic() + 10
    while guarded.vllm.running_requests() and time.monotonic() < deadline:
        time.sleep(0.02)
    return guarded.vllm.running_requests() == 0
