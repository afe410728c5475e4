"""What HTTP clients without a library see of each API: kinds of content, and the refusal of what is no request."""

from __future__ import annotations

import httpx
import pytest

from tests.conformance.calls import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Call
from tests.conformance.test_leaving import PATHS, key_of
from tests.model_servers import Guarded

PLAIN = (CHAT[0], COMPLETIONS[0], MESSAGES[0], RESPONSES[0])


def posted(guarded: Guarded, api: str, content: bytes) -> tuple[httpx.Response, httpx.Response]:
    """Directly, and through Lethe."""
    told = {"content-type": "application/json"}
    direct = httpx.post(guarded.vllm.base_url + PATHS[api], content=content, headers=told, timeout=60)
    through = httpx.post(
        guarded.lethe.base_url + PATHS[api], content=content, headers=told | key_of(guarded), timeout=60
    )
    return direct, through


@pytest.mark.parametrize("stream", [b"false", b"true"], ids=["whole", "stream"])
@pytest.mark.parametrize("call", PLAIN, ids=str)
def test_the_kind_of_content_and_the_last_event_are_equal(guarded: Guarded, call: Call, stream: bytes) -> None:
    body = httpx.Request("POST", "http://a", json=call.whole).content[:-1] + b',"stream":' + stream + b"}"
    direct, through = posted(guarded, call.api, body)
    assert through.status_code == direct.status_code == 200
    assert through.headers["content-type"] == direct.headers["content-type"]
    assert (b"[DONE]" in through.content) == (b"[DONE]" in direct.content)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"7", b"{}", b'{"model": "lethe-demo"}', b"\xff\xfe{}"], ids=repr
)
@pytest.mark.parametrize("api", PATHS)
def test_what_is_no_request_is_refused_with_the_same_status(guarded: Guarded, api: str, content: bytes) -> None:
    direct, through = posted(guarded, api, content)
    assert through.status_code == direct.status_code
    assert 400 <= through.status_code < 500
    assert through.headers["content-type"].startswith("application/json")
    assert through.json()["error"]["message"]


def test_options_for_streams_are_refused_where_nothing_is_streamed(guarded: Guarded) -> None:
    body = httpx.Request("POST", "http://a", json={**CHAT[0].whole, "stream_options": {"include_usage": True}}).content
    direct, through = posted(guarded, "chat", body)
    assert through.json() == direct.json()
    assert through.status_code == direct.status_code == 400


def test_a_field_that_nobody_knows_changes_nothing(guarded: Guarded) -> None:
    body = httpx.Request("POST", "http://a", json={**CHAT[0].whole, "colour": "red"}).content
    direct, through = posted(guarded, "chat", body)
    assert through.json()["choices"] == direct.json()["choices"]
