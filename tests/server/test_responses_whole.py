"""Guarded whole answers of `/v1/responses`, through the application."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guard.verdict import Action
from server.dialects.dialect import Unreadable
from server.dialects.responses import ResponsesDialect
from server.observation import FieldsDropped, RequestObserved, RequestOutcome
from server.usage import estimate_tokens
from tests.server.responses_world import USAGE, ask, call, custom_call, message, reasoning, response, texts
from tests.server.world import REFUSAL, policy, says_json, world

ORDINARY = response(reasoning("Weather."), message("Rain falls.", 1), call('{"a": "b"}', 2), custom_call("Gulls.", 3))
SECRET = "the copper treaty was signed"


async def test_an_allowed_answer_leaves_byte_for_byte() -> None:
    async with world() as w:
        w.upstream.scripts = [says_json(ORDINARY)]
        got = await ask(w)
        assert got.body == json.dumps(ORDINARY, separators=(",", ":"), ensure_ascii=False).encode()
        assert not w.notebook.of(FieldsDropped)
        assert w.upstream.requests[0].path == "/v1/responses" and w.upstream.requests[0].json["store"] is False


@pytest.mark.parametrize(
    "items",
    [
        [message(f"Well, {SECRET}.")],
        [reasoning(f"Well, {SECRET}."), message("Rain falls.", 1)],
        [{**reasoning("Rain."), "summary": [{"type": "summary_text", "text": SECRET}]}],
        [message("Rain falls."), call(json.dumps({"q": SECRET}), 1)],
        [call("{}", 0, "copper treaty")],
        [{**call("{}"), "call_id": "the copper treaty"}],
        [custom_call(SECRET)],
        [{"type": "mcp_call", "id": "m", "name": "n", "server_label": "s", "arguments": "{}", "output": SECRET}],
        [{"type": "code_interpreter_call", "id": "c", "code": SECRET, "container_id": "auto", "outputs": []}],
        [{"type": "web_search_call", "id": "w", "action": {"type": "search", "query": SECRET}, "status": "completed"}],
        [{**message("Rain."), "content": [{"type": "refusal", "refusal": SECRET}]}],
    ],
)
async def test_every_channel_is_guarded(items: list[dict[str, Any]]) -> None:
    async with world() as w:
        w.upstream.scripts = [says_json(response(*items))]
        got = (await ask(w)).json
        assert "treaty" not in texts(got)
        assert (got["status"], got["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})
        (item,) = got["output"]
        assert (item["type"], item["status"], item["content"][0]["text"]) == ("message", "incomplete", REFUSAL)
        usage = got["usage"]
        assert usage["input_tokens"] == 10 and usage["input_tokens_details"] == USAGE["input_tokens_details"]
        assert usage["output_tokens"] == estimate_tokens(REFUSAL) and usage["total_tokens"] == 18
        assert usage["output_tokens_details"]["reasoning_tokens"] == 0
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.BLOCKED


async def test_what_a_failed_answer_says_is_guarded() -> None:
    async with world() as w:
        failed = response(message("Rain falls."), status="failed", error={"code": "server_error", "message": "Full."})
        w.upstream.scripts = [says_json(failed)]
        assert (await ask(w)).json == failed
        w.upstream.scripts = [says_json({**failed, "error": {"code": "server_error", "message": SECRET}})]
        got = (await ask(w)).json
        assert "treaty" not in texts(got) and (got["status"], got["error"]) == ("incomplete", None)


async def test_a_redacted_answer_keeps_its_status() -> None:
    async with world(policy=policy(Action.REDACT, redaction="[withheld]")) as w:
        w.upstream.scripts = [says_json(response(message("Rain falls. The copper treaty was signed.")))]
        got = (await ask(w)).json
        assert "[withheld]" in texts(got["output"]) and "treaty" not in texts(got)
        assert got["status"] == "completed" and got["usage"]["output_tokens_details"]["reasoning_tokens"] == 0


async def test_a_rewritten_answer_is_complete() -> None:
    async with world(policy=policy(Action.REWRITE)) as w:
        w.upstream.scripts = [says_json(response(message(SECRET))), says_json(response(message("Gulls cry.")))]
        got = (await ask(w, tools=[{"type": "function", "name": "look", "parameters": {}}])).json
        assert got["output"][0]["content"][0]["text"] == "Gulls cry." and got["status"] == "completed"
        again = w.upstream.requests[1].json
        assert not {"tools", "stream", "background"} & again.keys() and again["store"] is False
        assert again["instructions"]


async def test_what_no_list_names_is_dropped_and_what_could_hold_text_is_withheld() -> None:
    body = response(message("Rain falls."), {"type": "image_generation_call", "id": "i", "result": SECRET})
    body |= {key: {"a": SECRET} for key in ("kv_transfer_params", "ec_transfer_params")} | {"surprise": SECRET}
    body |= {key: [{"message": SECRET}] for key in ("input_messages", "output_messages")}
    body |= {"instructions": SECRET, "metadata": {"a": SECRET}, "tools": [{"type": "function", "description": SECRET}]}
    body["output"][0]["content"][0]["logprobs"] = [{"token": SECRET}]
    body["output"].append({**reasoning("Rain.", 2), "encrypted_content": SECRET})
    async with world() as w:
        w.upstream.scripts = [says_json(body)]
        got = (await ask(w)).json
        assert "treaty" not in texts(got) and got["status"] == "completed"
        assert [item["type"] for item in got["output"]] == ["message", "reasoning"]
        assert (got["tools"], got["instructions"], got["kv_transfer_params"]) == ([], None, None)
        (dropped,) = w.notebook.of(FieldsDropped)
        assert dropped.count == 11 and {"surprise", "metadata", "input_messages"} <= set(dropped.names)


async def test_what_is_repeated_of_the_request_is_what_the_client_said() -> None:
    format_ = {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": True}
    echo = {"instructions": "Be brief.", "metadata": {"a": "b"}, "text": {"format": format_, "verbosity": None}}
    async with world() as w:
        w.upstream.scripts = [says_json(response(message("Rain."), **echo))]
        got = (await ask(w, instructions="Be brief.", metadata={"a": "b"}, text={"format": format_})).json
        assert {key: got[key] for key in echo} == echo


async def test_a_refused_question_is_not_asked() -> None:
    async with world(policy=policy(prompt_actions=dict.fromkeys(policy().answer_actions, Action.BLOCK))) as w:
        got = (await ask(w, input=[{"role": "user", "content": [{"type": "input_text", "text": SECRET}]}])).json
        assert not w.upstream.requests
        assert got["output"][0]["content"][0]["text"] == REFUSAL and got["status"] == "incomplete"
        assert got["object"] == "response" and got["usage"]["output_tokens"] > 0


async def test_upstreams_error_is_judged_and_told_in_this_apis_form() -> None:
    async with world() as w:
        error = {"message": "Too long.", "type": "BadRequestError", "param": "input", "code": 400}
        w.upstream.scripts = [says_json({"error": error}, 400)]
        got = await ask(w)
        assert got.status == 400 and got.json == {"error": error}
        w.upstream.scripts = [says_json({"error": {**error, "message": f"You said: {SECRET}"}}, 400)]
        assert "treaty" not in (await ask(w)).body.decode()
        w.upstream.scripts = [says_json({"object": "list", "data": []})]
        assert (await ask(w)).status == 502


async def test_an_answer_without_output_cannot_be_read() -> None:
    with pytest.raises(Unreadable):
        ResponsesDialect().body(b'{"id": "x"}')
    with pytest.raises(Unreadable):
        ResponsesDialect().body(b"[]")
