"""The plug points: LiteLLM's generic guardrail API and the FMS detector API."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from index.embedder import Embedder
from index.keys import Role
from server.gateway_check import unsettled
from server.routes.plug_points import FMS, LITELLM
from tests.server.operators import CHATTER, FACT, LEAK, PASSAGE, Operators, operators, until

SAYS_ALL = f"Here it is: {PASSAGE['text']} And that was all of it."


@pytest.fixture
async def app(lethe: Operators) -> AsyncIterator[httpx.AsyncClient]:
    """An application's key, as a gateway presents it, on a Lethe that forgets a fact and a passage."""
    await lethe.add()
    await lethe.add(PASSAGE)
    yield await lethe.as_("app")


async def guardrail(client: httpx.AsyncClient, *texts: str, **more: Any) -> Any:
    body = {"input_type": "response", "texts": list(texts), "request_data": {}, **more}
    answer = await client.post(LITELLM, json=body)
    assert answer.status_code == 200, answer.text
    return {name: value for name, value in answer.json().items() if name != "stream_holdback_chars"}


async def detections(client: httpx.AsyncClient, *texts: str, **params: Any) -> Any:
    answer = await client.post(
        FMS, json={"contents": list(texts), "detector_params": params}, headers={"detector-id": "x"}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def actions(lethe: Operators, **on_answer: str) -> None:
    body = {"actions": {"answer": on_answer}}
    answer = await lethe.admin.put("/lethe/v1/policies/default?wait=applied", json=body)
    assert answer.status_code == 200, answer.text


def tool_call(arguments: str) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": "note", "arguments": arguments}}


async def test_a_leaking_answer_is_blocked_with_the_policys_refusal_and_nothing_else(app: httpx.AsyncClient) -> None:
    assert await guardrail(app, SAYS_ALL) == {"action": "BLOCKED", "blocked_reason": "I can't help with that."}
    assert await guardrail(app, CHATTER["text"], SAYS_ALL) == await guardrail(app, SAYS_ALL)
    assert await guardrail(app, LEAK["text"]) == await guardrail(app, SAYS_ALL)


async def test_ordinary_texts_pass(app: httpx.AsyncClient) -> None:
    assert await guardrail(app, CHATTER["text"]) == {"action": "NONE"}
    assert await guardrail(app) == {"action": "NONE"}
    assert await guardrail(app, FACT["prompt"], input_type="request") == {"action": "NONE"}
    assert (await app.post(LITELLM, json={"input_type": "response"})).json() == {"action": "NONE"}


async def test_an_answer_is_read_as_the_answer_to_the_question_of_its_call(app: httpx.AsyncClient) -> None:
    short = "She was born in Vellmar, in 1971."
    question = [{"role": "user", "content": [{"type": "text", "text": FACT["prompt"]}]}]
    asked = {"input_type": "request", "structured_messages": question, "litellm_call_id": "call-1"}
    alone = await guardrail(app, short)
    assert alone["action"] == "NONE", "the test needs an answer that says nothing by itself"
    assert (await guardrail(app, FACT["prompt"], **asked))["action"] == "NONE"
    assert (await guardrail(app, short, litellm_call_id="call-1"))["action"] == "BLOCKED"
    assert (await guardrail(app, short, litellm_call_id="call-2"))["action"] == "NONE"
    assert (await guardrail(app, short, structured_messages=question))["action"] == "BLOCKED"


async def test_a_redaction_comes_back_in_the_text(lethe: Operators, app: httpx.AsyncClient) -> None:
    await actions(lethe, passage="redact")
    told = await guardrail(app, CHATTER["text"], SAYS_ALL)
    assert told["action"] == "GUARDRAIL_INTERVENED"
    assert told["texts"][0] == CHATTER["text"]
    assert told["texts"][1].startswith("Here it is: [redacted]")
    assert "lamplighter" not in told["texts"][1]


async def test_a_tool_call_that_leaks_is_blocked_whatever_the_policy_rewrites(
    lethe: Operators, app: httpx.AsyncClient
) -> None:
    escaped = '{"text": "' + "".join(f"\\u{ord(char):04x}" for char in PASSAGE["text"]) + '"}'
    for action in ("block", "rewrite", "redact"):
        await actions(lethe, passage=action)
        assert (await guardrail(app, tool_calls=[tool_call(escaped)]))["action"] == "BLOCKED"
    assert (await guardrail(app, tool_calls=[tool_call('{"text": "soup"}'), {"odd": 1}]))["action"] == "NONE"


async def test_what_policies_only_flag_or_shadow_passes(lethe: Operators, app: httpx.AsyncClient) -> None:
    await actions(lethe, passage="flag")
    assert (await guardrail(app, SAYS_ALL))["action"] == "NONE"
    assert await detections(app, SAYS_ALL) == [[]]
    await lethe.admin.put("/lethe/v1/policies/default?wait=applied", json={"mode": "shadow"})
    assert (await guardrail(app, SAYS_ALL))["action"] == "NONE"
    assert await detections(app, SAYS_ALL) == [[]]


async def test_a_question_is_blocked_where_the_policy_blocks_questions(
    lethe: Operators, app: httpx.AsyncClient
) -> None:
    body = {"actions": {"prompt": {"passage": "block"}}}
    assert (await lethe.admin.put("/lethe/v1/policies/default?wait=applied", json=body)).status_code == 200
    assert (await guardrail(app, SAYS_ALL, input_type="request"))["action"] == "BLOCKED"
    assert (await guardrail(app, CHATTER["text"], input_type="request"))["action"] == "NONE"
    told = await detections(app, SAYS_ALL, side="prompt")
    assert [(found["start"], found["end"]) for found in told[0]] == [(0, len(SAYS_ALL))]
    assert await detections(app, CHATTER["text"], side="prompt") == [[]]


async def test_a_detector_tells_every_place_and_no_degree(app: httpx.AsyncClient) -> None:
    twice = f"{SAYS_ALL} {CHATTER['text']} {SAYS_ALL}"
    told = await detections(app, CHATTER["text"], twice)
    assert told[0] == []
    assert len(told[1]) == 2
    for found in told[1]:
        assert PASSAGE["text"][4:-1] in twice[found["start"] : found["end"]]
        assert {k: v for k, v in found.items() if k not in ("start", "end")} == {
            "text": "",
            "detection": "suppressed",
            "detection_type": "lethe",
            "score": 1.0,
        }
    assert await detections(app) == []
    assert (await app.post(FMS, json={"contents": ["soup"], "detector_params": None})).json() == [[]]


async def test_a_detector_can_be_told_the_question(app: httpx.AsyncClient) -> None:
    short = "She was born in Vellmar, in 1971."
    assert await detections(app, short) == [[]]
    assert [len(found) for found in await detections(app, short, prompt=FACT["prompt"])] == [1]


async def test_keys_of_applications_open_the_plug_points_and_name_the_namespace(
    lethe: Operators, app: httpx.AsyncClient
) -> None:
    text = {"input_type": "response", "texts": [SAYS_ALL]}
    bodies = {LITELLM: text, FMS: {"contents": [SAYS_ALL]}}
    stranger, operator = await lethe.client(None), await lethe.as_("operator")
    for path, body in bodies.items():
        assert (await stranger.post(path, json=body)).status_code == 401
        assert (await operator.post(path, json=body)).status_code == 403
        assert (await app.get(path)).status_code == 404
        assert (await app.post(path, json=body)).headers["x-request-id"]
    _, secret = lethe.service.keys.create(Role.APP, "shop")
    shop = await lethe.client(None)
    assert (await shop.post(LITELLM, json=text, headers={"x-api-key": secret})).json()["action"] == "NONE"


async def test_bodies_that_cannot_be_read_are_refused_in_each_contracts_form(app: httpx.AsyncClient) -> None:
    for body in ("{", '{"input_type": "answer"}', '{"input_type": "response", "texts": [1]}', '["\\ud800"]'):
        answer = await app.post(LITELLM, content=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "bad_request"
    for body in ("{", "{}", '{"contents": "text"}', '{"contents": [], "detector_params": {"side": "left"}}'):
        answer = await app.post(FMS, content=body)
        assert answer.status_code == 422
        assert set(answer.json()) == {"code", "message"}


async def test_what_cannot_be_judged_does_not_pass(tmp_path: Path, embedder: Embedder) -> None:
    async with operators(tmp_path, embedder, judge_timeout_s=0.000_001) as lethe:
        await lethe.add()
        app = await lethe.as_("app")
        for path, body in (
            (LITELLM, {"input_type": "response", "texts": [LEAK["text"]]}),
            (FMS, {"contents": [LEAK["text"]]}),
        ):
            answer = await app.post(path, json=body)
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert "Vellmar" not in answer.text
        metrics = await lethe.metrics()
        for dialect in ("litellm", "fms"):
            assert metrics[f'lethe_requests_total{{dialect="{dialect}",outcome="unavailable",stream="false"}}'] == 1
        assert not any(name.startswith("lethe_suppressions_total{") and value for name, value in metrics.items())
        body = {"on_failure": "allow"}
        assert (await lethe.admin.put("/lethe/v1/policies/default?wait=applied", json=body)).status_code == 200
        assert (await guardrail(app, LEAK["text"]))["action"] == "NONE", "the policy says so"


async def test_calls_are_limited_and_bodies_too(tmp_path: Path, embedder: Embedder) -> None:
    async with operators(tmp_path, embedder, max_body_bytes=2_000, max_concurrency=1) as lethe:
        app = await lethe.as_("app")
        long = {"input_type": "response", "texts": ["soup " * 1_000]}
        assert (await app.post(LITELLM, json=long)).status_code == 413
        with lethe.service.application_gate.entered():
            assert (await app.post(LITELLM, json={"input_type": "response"})).status_code == 429
            assert (await app.post(FMS, json={"contents": []})).json()["code"] == "too_busy"


async def test_suppressions_are_counted_and_journalled_under_the_contracts_name(
    lethe: Operators, app: httpx.AsyncClient
) -> None:
    await guardrail(app, SAYS_ALL)
    await guardrail(app, CHATTER["text"])
    await detections(app, SAYS_ALL)
    metrics = await lethe.metrics()
    labels = 'action="block",kind="passage",namespace="default",side="answer",stage="fingerprint"'
    assert metrics[f"lethe_suppressions_total{{{labels}}}"] == 2
    for dialect, outcome in (("litellm", "blocked"), ("litellm", "allowed"), ("fms", "blocked")):
        assert metrics[f'lethe_requests_total{{dialect="{dialect}",outcome="{outcome}",stream="false"}}'] == 1

    async def rows() -> Any:
        found = (await lethe.admin.get("/lethe/v1/decisions?action=block")).json()["decisions"]
        return found if {row["dialect"] for row in found} == {"litellm", "fms"} else None

    assert {row["stage"] for row in await until(rows)} >= {"fingerprint"}


async def test_the_end_of_a_text_that_is_still_coming_is_to_be_held(app: httpx.AsyncClient) -> None:
    texts = ["Soup needs time. And then some", CHATTER["text"], ""]
    answer = await app.post(LITELLM, json={"input_type": "response", "texts": texts})
    assert answer.json() == {"action": "NONE", "stream_holdback_chars": [30, len(CHATTER["text"]), 0]}


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("", ""),
        ("one two three", "one two three"),
        ("One, two, three, four, five, six, seven. Eight, nine", "two, three, four, five, six, seven. Eight, nine"),
        ("It is over. a b c d e f g h i j", "a b c d e f g h i j"),
        ("a b c d e f g h i j. ", "c d e f g h i j. "),
        ("- a list of things\n- that has no full stop at all\n", "things\n- that has no full stop at all\n"),
    ],
)
def test_what_is_held_is_a_run_of_words_and_the_unfinished_sentence(text: str, held: str) -> None:
    assert text[len(text) - unsettled(text) :] == held


async def test_no_text_reaches_a_log(app: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await guardrail(app, SAYS_ALL)
    await detections(app, SAYS_ALL)
    await app.post(LITELLM, json={"input_type": SAYS_ALL, "texts": [SAYS_ALL]})
    await app.post(FMS, json={"contents": SAYS_ALL})
    assert any(record.message == "request" for record in caplog.records)
    for record in caplog.records:
        assert "lamplighter" not in f"{record.getMessage()} {record.__dict__.get('lethe')} {record.exc_text}"


async def test_the_plug_points_are_documented(lethe: Operators) -> None:
    document = (await lethe.admin.get("/lethe/openapi.json")).json()
    for path, bad in ((LITELLM, "400"), (FMS, "422")):
        call = document["paths"][path]["post"]
        assert {"200", bad, "401", "403", "413", "429", "503", "504"} <= set(call["responses"])
        assert call["security"] == [{"application key": []}]
