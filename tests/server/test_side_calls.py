"""The calls beside the guarded ones: off unless they are turned on, closed lists, guarded texts."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from typing import Any

import pytest

from guard.verdict import Action, Kind
from server.access import Access
from server.dialects.option_table import PASS, REFUSE, Surface
from server.limits import Gate
from server.observation import DecisionObserved, FieldsDropped, RequestObserved, RequestOutcome
from server.offer import Offer
from server.routes.application import Application
from server.settings import SettingsInvalid, load_settings
from server.side_calls import SIDE_CALLS, SideCallInvalid, parse_side_calls
from tests.guard.streams import PASSAGE
from tests.server.routes.test_application import OneKey
from tests.server.world import REFUSAL, World, policy, says_json, world

PROMPTS = policy(prompt_actions=dict.fromkeys(Kind, Action.BLOCK))
USAGE = {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3, "prompt_tokens_details": None}
HEAD = {"id": "x-1", "object": "list", "created": 1, "model": "org/tiny", "usage": USAGE}
ANSWERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "count_tokens": (
        {"model": "tiny", "messages": [{"role": "user", "content": "TEXT"}], "system": "Be kind."},
        {"input_tokens": 12},
    ),
    "embeddings": (
        {"model": "tiny", "input": ["rain", "TEXT"], "encoding_format": "float", "user": "u"},
        {**HEAD, "data": [{"index": 0, "object": "embedding", "embedding": [0.5, -1.25, 3]}]},
    ),
    "rerank": (
        {"model": "tiny", "query": "TEXT", "documents": ["a", {"text": "b"}], "top_n": 1},
        {**HEAD, "results": [{"index": 0, "document": {"text": "a"}, "relevance_score": 0.5}]},
    ),
    "score": (
        {"model": "tiny", "text_1": "a", "text_2": ["TEXT"]},
        {**HEAD, "data": [{"index": 0, "object": "score", "score": 0.5}]},
    ),
    "classify": (
        {"model": "tiny", "input": "TEXT"},
        {**HEAD, "data": [{"index": 0, "label": "LABEL_1", "probs": [0.5, 0.5], "num_classes": 2}]},
    ),
    "pooling": (
        {"model": "tiny", "input": "TEXT", "task": "token_embed"},
        {**HEAD, "data": [{"index": 0, "object": "pooling", "data": [[0.5], [1.5]]}]},
    ),
    "tokenize": (
        {"model": "tiny", "prompt": "TEXT"},
        {"count": 2, "max_model_len": 512, "tokens": [1, 2], "token_strs": None},
    ),
    "detokenize": ({"model": "tiny", "tokens": [1, 2]}, {"prompt": "rain falls"}),
}
CALLS = pytest.mark.parametrize("call", SIDE_CALLS, ids=lambda call: call.name)


def on(name: str, treatment: str = "pass", surface: Surface | None = None) -> Offer:
    return Offer(surface or Surface({}), parse_side_calls(f"{name}={treatment}"))


def asked(name: str, text: str = "of rain") -> dict[str, Any]:
    return json.loads(json.dumps(ANSWERS[name][0]).replace("TEXT", text))  # type: ignore[no-any-return]  # an object


@CALLS
async def test_a_call_that_is_off_does_not_exist(call: Any) -> None:
    async with world(offer=on(call.name, "off")) as w:
        for path in call.paths:
            got = await w.call(path, asked(call.name))
            assert (got.status, got.json["error"]["code"]) == (404, "not_found")
        assert w.upstream.requests == []


def test_only_counting_is_on_from_the_start() -> None:
    assert list(parse_side_calls("")) == ["/v1/messages/count_tokens"]


@CALLS
@pytest.mark.parametrize("treatment", ["pass", "guard"])
async def test_a_call_that_is_on_passes_byte_for_byte(call: Any, treatment: str) -> None:
    request, answer = asked(call.name), ANSWERS[call.name][1]
    raw = json.dumps(answer, indent=1).encode()
    async with world(offer=on(call.name, treatment)) as w:
        w.upstream.scripts = [says_json(raw)]
        for path in call.paths:
            got = await w.call(path, request)
            assert (got.status, got.body) == (200, raw)
            assert (w.upstream.requests[-1].path, w.upstream.requests[-1].json) == (path, request)
        seen = w.notebook.of(RequestObserved)[0]
        assert (seen.dialect, seen.outcome, seen.status) == (call.name, RequestOutcome.ALLOWED, 200)


@CALLS
async def test_unknown_fields_go_neither_up_nor_down(call: Any) -> None:
    def seeded(value: Any) -> Any:
        if isinstance(value, dict):
            return {**{key: seeded(item) for key, item in value.items()}, "secret": PASSAGE}
        return [seeded(item) for item in value] if isinstance(value, list) and value[:1] != [0.5] else value

    request, answer = asked(call.name), ANSWERS[call.name][1]
    async with world(offer=on(call.name)) as w:
        w.upstream.scripts = [says_json(seeded(answer))]
        got = await w.call(call.paths[0], {**request, "secret": PASSAGE, "kv_transfer_params": {"a": 1}})
        assert got.json == answer
        assert w.upstream.requests[0].json == request
        assert w.notebook.of(FieldsDropped)[0].dialect == call.name
    async with world(offer=on(call.name, surface=Surface({}, REFUSE))) as w:
        assert (await w.call(call.paths[0], {**request, "secret": 1})).status == 400


@CALLS
async def test_what_must_not_be_asked_is_judged_where_the_call_is_guarded(call: Any) -> None:
    if "TEXT" not in str(ANSWERS[call.name][0]):
        return
    request = asked(call.name, PASSAGE)
    async with world(offer=on(call.name, "guard"), policy=PROMPTS) as w:
        got = await w.call(call.paths[0], request)
        assert got.status == 400
        assert REFUSAL in got.body.decode()
        assert "keeper" not in got.body.decode()
        assert w.upstream.requests == []
        assert w.notebook.of(DecisionObserved)[0].dialect == call.name
        seen = w.notebook.of(RequestObserved)
        assert [(row.outcome, row.status) for row in seen] == [(RequestOutcome.BLOCKED, 400)]
    async with world(offer=on(call.name, "pass"), policy=PROMPTS) as w:
        w.upstream.scripts = [says_json(ANSWERS[call.name][1])]
        assert (await w.call(call.paths[0], request)).status == 200


@CALLS
async def test_numbers_are_numbers(call: Any) -> None:
    """A text in the place of an array of numbers does not leave."""
    for planted in (PASSAGE, [PASSAGE], [[1, PASSAGE]], base64.b64encode(PASSAGE.encode()).decode(), {"a": PASSAGE}):
        answer = json.loads(json.dumps(ANSWERS[call.name][1]))
        for holder in (answer, *answer.get("data", []), *answer.get("results", [])):
            for field, value in holder.items():
                if isinstance(value, list) and not (value and isinstance(value[0], dict)):
                    holder[field] = planted
                elif isinstance(value, (int, float)):
                    holder[field] = PASSAGE
        async with world(offer=on(call.name)) as w:
            w.upstream.scripts = [says_json(answer)]
            got = await w.call(call.paths[0], asked(call.name))
            assert "keeper" not in got.body.decode()
            assert base64.b64encode(PASSAGE.encode()) not in got.body


async def test_embeddings_in_base64_pass() -> None:
    packed = base64.b64encode(struct.pack("<4f", 0.25, -1.5, 0.0, 7.0)).decode()
    answer = {**HEAD, "data": [{"index": 0, "object": "embedding", "embedding": packed}]}
    async with world(offer=on("embeddings")) as w:
        w.upstream.scripts = [says_json(answer)]
        got = await w.call("/v1/embeddings", {"input": "rain", "encoding_format": "base64"})
        assert got.json == answer


@pytest.mark.parametrize(("name", "answer"), [
    ("detokenize", {"prompt": f"They say: {PASSAGE}"}),
    ("rerank", {**HEAD, "results": [{"index": 0, "document": {"text": PASSAGE}, "relevance_score": 1}]}),
])  # fmt: skip
@pytest.mark.parametrize("treatment", ["pass", "guard"])
async def test_a_text_in_an_answer_is_judged(name: str, answer: dict[str, Any], treatment: str) -> None:
    path = f"/{name}"
    async with world(offer=on(name, treatment)) as w:
        w.upstream.scripts = [says_json(answer)]
        got = await w.call(path, asked(name))
        assert (got.status, got.json["error"]["code"]) == (400, "content_filter")
        assert "keeper" not in got.body.decode()
    async with world(offer=on(name, treatment), policy=policy(Action.REDACT)) as w:
        w.upstream.scripts = [says_json(answer)]
        got = await w.call(path, asked(name))
        assert got.status == 200
        assert "[redacted]" in got.body.decode()
        assert "keeper" not in got.body.decode()


@pytest.mark.parametrize("request_", [
    {"input": [1, 2]}, {"input": [[1], [2]]}, {"input": [{"type": "image_url", "image_url": {"url": "x"}}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
], ids=str)  # fmt: skip
async def test_what_nobody_can_read_is_refused_where_the_call_is_guarded(request_: dict[str, Any]) -> None:
    async with world(offer=on("embeddings", "guard")) as w:
        got = await w.call("/v1/embeddings", request_)
        assert (got.status, got.json["error"]["code"]) == (400, "option_not_allowed")
    trusting = Surface({"images": PASS, "token_prompts": PASS})
    for offer in (on("embeddings"), on("embeddings", "guard", trusting)):
        async with world(offer=offer) as w:
            w.upstream.scripts = [says_json(ANSWERS["embeddings"][1])]
            assert (await w.call("/v1/embeddings", request_)).status == 200


async def test_errors_of_upstream_are_guarded() -> None:
    async with world(offer=on("embeddings")) as w:
        w.upstream.scripts = [says_json({"error": {"message": f"no: {PASSAGE}", "type": "E", "code": 400}}, 400)]
        got = await w.call("/v1/embeddings", asked("embeddings"))
        assert got.status == 400
        assert "keeper" not in got.body.decode()
        w.upstream.scripts = [says_json(b"<html>")]
        assert (await w.call("/v1/embeddings", asked("embeddings"))).status == 502
        assert {row.dialect for row in w.notebook.of(RequestObserved)} == {"embeddings"}


async def test_the_guards_limits_hold_here_too() -> None:
    async with world(offer=on("embeddings", "guard"), policy=PROMPTS) as w:
        w.detector.failing = True
        assert (await w.call("/v1/embeddings", asked("embeddings"))).status == 503
        assert w.upstream.requests == []
        w.index.ready = False
        assert (await w.call("/v1/embeddings", asked("embeddings"))).status == 503
    async with world(offer=on("embeddings"), adapters=[]) as w:
        w.upstream.scripts = [says_json({"object": "list", "data": []})]
        assert (await w.call("/v1/embeddings", asked("embeddings"))).json["error"]["code"] == "model_not_found"
    async with world(offer=on("embeddings")) as w:
        too_long = {"input": "x" * 1_000_001}
        assert (await w.call("/v1/embeddings", too_long)).status == 413
        assert (await w.call("/v1/embeddings", b"[]")).status == 400
        w.app = Application(w.app._proxy, Access(OneKey(), "bootstrap-key-0123456789"), Gate(9), 1_000_000, on("score"))
        assert (await w.call("/score", asked("score"))).status == 401
        w.app = Application(w.app._proxy, w.app._access, Gate(0), 1_000_000, on("score"))
        key = {"authorization": "Bearer bootstrap-key-0123456789"}
        assert (await w.call("/score", asked("score"), headers=key)).status == 429
        assert w.upstream.requests == []


async def test_a_client_that_leaves_cancels_upstream() -> None:
    async def slow(_: Any, __: Any) -> None:
        await asyncio.sleep(5)

    async with world(offer=on("embeddings")) as w:
        w.upstream.scripts = [slow]
        await w.call("/v1/embeddings", asked("embeddings"), leave_after=0.05)
        await until_left(w)
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.CANCELLED


async def until_left(w: World) -> None:
    async with asyncio.timeout(5):
        while not w.upstream.left:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("told", ["embedings=pass", "embeddings", "embeddings=strip", "=guard"])
def test_a_call_that_does_not_exist_is_an_error_at_start(told: str) -> None:
    with pytest.raises(SideCallInvalid):
        parse_side_calls(told)
    with pytest.raises(SettingsInvalid, match="side-calls"):
        load_settings({"side_calls": told}, {})
