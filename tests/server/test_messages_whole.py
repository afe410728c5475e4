"""`/v1/messages` whole: judged as one, and its errors in this API's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guard.verdict import Action, Kind
from server.observation import FieldsDropped, RequestObserved, RequestOutcome
from tests.guard.streams import PASSAGE
from tests.server.messages import COUNT, PATH, asking, begun, message_of, said, spoken, streamed, whole
from tests.server.world import REFUSAL, Got, World, policy, says_json, world

TEXT = {"type": "text", "text": "Rain falls on the harbour."}
THOUGHT = {"type": "thinking", "thinking": "Let me see.", "signature": "0123456789abcdef0123456789abcdef"}
CALL = {"type": "tool_use", "id": "chatcmpl-tool-1a2b", "name": "get_weather", "input": {"place": "harbour", "days": 3}}


async def answered(w: World, body: Any, status: int = 200, **asked: Any) -> Got:
    w.upstream.scripts = [says_json(body, status), *w.upstream.scripts[1:]]
    return await w.call(PATH, asking(**asked))


async def test_what_is_allowed_leaves_byte_for_byte() -> None:
    raw = json.dumps(whole(THOUGHT, TEXT, CALL, reason="tool_use"), indent=1).encode()
    async with world() as w:
        got = await answered(w, raw, tools=[])
        assert (got.status, got.body) == (200, raw)
        assert not w.notebook.of(FieldsDropped)
        assert w.upstream.requests[0].path == PATH
        assert w.upstream.requests[0].json == asking(tools=[])


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": "The copper treaty."},
        {"type": "thinking", "thinking": "The copper treaty.", "signature": "x"},
        {"type": "thinking", "thinking": "So.", "signature": "The copper treaty"},
        {"type": "redacted_thinking", "data": "The copper treaty"},
        {**CALL, "name": "copper treaty"},
        {**CALL, "id": "copper treaty"},
        {**CALL, "input": {"about": ["copper", {"of": "the treaty"}]}},
        {**CALL, "input": {"the copper treaty": 1}},
    ],
)
async def test_a_suppressed_answer_is_an_ordinary_one(block: dict[str, Any]) -> None:
    async with world() as w:
        got = await answered(w, whole(THOUGHT, TEXT, block, reason="tool_use"))
        body = got.json
        assert body["content"] == [{"type": "text", "text": REFUSAL}]
        assert (body["stop_reason"], body["stop_sequence"]) == ("refusal", None)
        assert body["usage"] == {"input_tokens": 10, "output_tokens": 8}
        assert {body["type"], body["role"], body["model"], body["id"]} == {"message", "assistant", "tiny", "chatcmpl-1"}
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.BLOCKED


async def test_a_stop_string_that_completes_what_was_said_is_not_told() -> None:
    async with world() as w:
        spoken = {"type": "text", "text": "The copper "}
        got = await answered(w, whole(spoken, reason="stop_sequence", stop_sequence="treaty"))
        assert got.json["content"] == [{"type": "text", "text": REFUSAL}]
        got = await answered(w, whole(TEXT, reason="stop_sequence", stop_sequence="END"))
        assert got.json["stop_sequence"] == "END"


async def test_a_redacted_answer_keeps_its_blocks() -> None:
    async with world(policy=policy(Action.REDACT)) as w:
        got = await answered(w, whole(THOUGHT, {"type": "text", "text": f"Well: {PASSAGE}. So."}, CALL))
        body = got.json
        assert [block["type"] for block in body["content"]] == ["thinking", "text", "tool_use"]
        assert "[redacted]" in body["content"][1]["text"] and PASSAGE not in got.body.decode()
        assert body["content"][2] == CALL
        assert body["stop_reason"] == "end_turn"
        assert body["usage"]["output_tokens"] != COUNT["output_tokens"]


async def test_an_answer_that_must_have_a_shape_has_it_after_a_redaction_or_is_refused() -> None:
    schema = {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]}
    shape = {"format": {"type": "json_schema", "schema": schema}}
    told = json.dumps({"note": f"Well: {PASSAGE}."})
    async with world(policy=policy(Action.REDACT)) as w:
        got = await answered(w, whole({"type": "text", "text": told}), output_config=shape)
        assert got.json["stop_reason"] == "end_turn" and PASSAGE not in got.body.decode()
        assert isinstance(json.loads(got.json["content"][0]["text"])["note"], str)
        got = await streamed(w, *spoken(*(f"{word} " for word in told.split())), body={"output_config": shape})
        assert message_of(got)["stop_reason"] == "refusal" and PASSAGE not in said(got)
        got = await streamed(w, *spoken('{"note": ', '"Rain."}'), body={"output_config": shape})
        assert said(got) == '{"note": "Rain."}'


async def test_a_redacted_tool_call_still_has_an_object_for_its_input() -> None:
    async with world(policy=policy(Action.REDACT)) as w:
        got = await answered(w, whole({**CALL, "input": {"note": f"Well: {PASSAGE}.", "days": 3}}))
        (block,) = got.json["content"]
        if block["type"] == "tool_use":
            assert block["input"].keys() == {"note", "days"}
        assert PASSAGE not in got.body.decode()


async def test_what_no_list_names_is_dropped() -> None:
    strange = {"type": "server_tool_use", "name": "secret"}
    body = whole({**TEXT, "citations": [{"cited_text": "secret"}], "note": "secret"}, strange, gossip="secret")
    body |= {"stop_details": {"explanation": "secret"}, "kv_transfer_params": {"x": "secret"}}
    body["content"].append({**CALL, "caller": {"type": "secret"}})
    body["content"].append({**TEXT, "input": {"x": "secret"}})
    async with world() as w:
        got = await answered(w, body)
        assert "secret" not in got.body.decode()
        assert [block["type"] for block in got.json["content"]] == ["text", "tool_use", "text"]
        assert got.json["content"][1]["input"] == CALL["input"]
        dropped = w.notebook.of(FieldsDropped)[0]
        assert {"citations", "note", "gossip", "stop_details", "content"} <= set(dropped.names)


async def test_a_model_may_be_called_as_the_client_called_it_and_otherwise_only_by_a_short_name() -> None:
    named = "/models/of/the/copper/treaty/and/of/many/other/things"
    async with world(policy=policy(Action.REDACT)) as w:
        for asked, told, wanted in ((named, named, named), ("tiny", "base-7b", "base-7b"), ("tiny", PASSAGE, "tiny")):
            got = await answered(w, whole(TEXT, model=told), model=asked)
            assert got.json["model"] == wanted
            got = await streamed(w, begun(model=told), *spoken("Rain.")[1:], body={"model": asked})
            assert message_of(got)["model"] == wanted


@pytest.mark.parametrize("body", [b"nothing", b"[]", b"{}", {"content": "text"}, {"content": [], "error": {}}])
async def test_what_is_no_answer_is_upstreams_fault(body: Any) -> None:
    async with world() as w:
        got = await answered(w, body)
        assert (got.status, got.json["type"], got.json["error"]["type"]) == (502, "error", "api_error")


async def test_a_rewritten_answer_tells_why_it_ended() -> None:
    async with world(policy=policy(Action.REWRITE), label="the Orsk papers") as w:
        w.upstream.scripts = [
            says_json(whole({"type": "text", "text": "The copper treaty."})),
            says_json(whole(THOUGHT, {"type": "text", "text": "Gulls cry."}, reason="max_tokens")),
        ]
        asked = asking(tools=[{"name": "f", "input_schema": {}}], tool_choice={"type": "auto"}, system="Be brief.")
        got = await w.call(PATH, asked)
        assert got.json["content"] == [{"type": "text", "text": "Gulls cry."}]
        assert got.json["stop_reason"] == "max_tokens"
        again = w.upstream.requests[1].json
        assert again["system"].startswith("Be brief.\n\nDo not mention") and "the Orsk papers" in again["system"]
        assert not {"tools", "tool_choice", "stream"} & again.keys()
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.REWRITTEN


async def test_a_stream_is_continued_as_the_assistants_last_message() -> None:
    async with world(policy=policy(Action.REWRITE)) as w:
        w.upstream.scripts = [says_json({}), says_json(whole({"type": "text", "text": "Gulls cry over the harbour."}))]
        system = [{"type": "text", "text": "Be brief."}]
        bad = spoken("Rain falls on the sea. It was cold. ", "The copper treaty was signed. ", "So.")
        got = await streamed(w, *bad, body={"system": system, "temperature": 0.0})
        shown = said(got).removesuffix("Gulls cry over the harbour.")
        assert shown.startswith("Rain falls on the sea.") and "treaty" not in shown
        again = w.upstream.requests[1].json
        assert again["messages"][-1] == {"role": "assistant", "content": shown.rstrip()}
        assert again["system"][0] == system[0] and "Do not mention" in again["system"][1]["text"]
        assert "stream" not in again
        message = message_of(got)
        assert [block["type"] for block in message["content"]] == ["text"]
        assert message["stop_reason"] == "end_turn"


async def test_a_server_that_cannot_continue_is_told_what_was_said_and_asked_more_warmly() -> None:
    async with world(policy=policy(Action.REWRITE, rewrite_tries=2)) as w:
        refused = {"type": "error", "error": {"type": "invalid_request_error", "message": "no prefill"}}
        w.upstream.scripts = [
            says_json({}),
            says_json(refused, 400),
            says_json(whole({"type": "text", "text": "The copper treaty."})),
            says_json(whole({"type": "text", "text": "Gulls cry."})),
        ]
        bad = spoken("Rain falls on the sea. It was cold. ", "The copper treaty was signed. ", "So.")
        got = await streamed(w, *bad, body={"temperature": 0.0})
        assert said(got).endswith("Gulls cry.")
        asked = [request.json for request in w.upstream.requests]
        assert [body["temperature"] for body in asked] == [0.0, 0.0, 0.0, 0.4]
        assert asked[2]["messages"] == asked[0]["messages"]
        assert "without repeating any of it" in asked[2]["system"]


async def test_a_question_that_may_not_be_answered_is_refused() -> None:
    async with world(policy=policy(prompt_actions=dict.fromkeys(Kind, Action.BLOCK))) as w:
        w.upstream.scripts = [says_json({})]
        results = [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "copper"}]}]
        for system, content in ((None, "The copper treaty?"), ("The copper treaty.", "So?"), ("The treaty", results)):
            got = await w.call(PATH, asking(system=system, messages=[{"role": "user", "content": content}]))
            if content is not results:
                assert got.json["content"] == [{"type": "text", "text": REFUSAL}]
                assert got.json["stop_reason"] == "refusal"
                assert got.json["usage"]["output_tokens"] == 8 and got.json["usage"]["input_tokens"] > 0


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (400, "BadRequestError", "invalid_request_error"),
        (401, "x", "authentication_error"),
        (403, "x", "permission_error"),
        (404, "NotFoundError", "not_found_error"),
        (413, "x", "request_too_large"),
        (422, "x", "invalid_request_error"),
        (429, "x", "rate_limit_error"),
        (500, "InternalServerError", "api_error"),
        (503, "x", "overloaded_error"),
        (504, "x", "timeout_error"),
        (529, "x", "overloaded_error"),
    ],
)
async def test_upstreams_errors_have_this_apis_types(status: int, told: str, kind: str) -> None:
    async with world() as w:
        for error in ({"type": "error", "error": {"type": told, "message": "no"}}, {"error": {"message": "no"}}):
            got = await answered(w, error, status)
            assert (got.status, got.json) == (status, {"type": "error", "error": {"type": kind, "message": "no"}})
        got = await answered(w, {"type": "error", "error": {"type": told, "message": "the copper treaty"}}, status)
        assert got.status == status and "treaty" not in got.body.decode()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"messages": None}, "'messages'"),
        ({"messages": [{"content": "x"}]}, "'messages[0].role'"),
        ({"messages": [{"role": "user", "content": 7}]}, "'messages[0].content'"),
        ({"system": 7}, "'system'"),
        ({"stream": "yes"}, "'stream'"),
        ({"model": 7}, "'model'"),
        ({"chat_template_kwargs": 7}, "'chat_template_kwargs'"),
        ({"chat_template_kwargs": {"chat_template": "{{ x }}"}}, "'chat_template'"),
        ({"kv_transfer_params": {"x": 1}}, "'kv_transfer_params'"),
        ({"ec_transfer_params": {"x": 1}}, "'ec_transfer_params'"),
        ({"vllm_xargs": {"x": 1}}, "'vllm_xargs'"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64"}}]}]}, "'images'"),
        ({"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "url"}}]}]}, "'files'"),
    ],
)
async def test_what_is_not_allowed_is_refused_in_this_apis_words(changes: dict[str, Any], words: str) -> None:
    async with world() as w:
        w.upstream.scripts = [says_json({})]
        got = await w.call(PATH, asking(**changes))
        assert got.status == 400 and got.json["type"] == "error"
        assert got.json["error"]["type"] == "invalid_request_error" and words in got.json["error"]["message"]
        assert not w.upstream.requests


async def test_a_picture_in_the_result_of_a_tool_is_refused() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [picture]}
    async with world() as w:
        got = await w.call(PATH, asking(messages=[{"role": "user", "content": [result]}]))
        assert got.status == 400 and "'images'" in got.json["error"]["message"]


async def test_fields_that_nobody_knows_do_not_reach_the_model() -> None:
    async with world() as w:
        got = await answered(w, whole(TEXT), logprobs=True, mm_payload="none", echo=True)
        assert got.status == 200
        assert w.upstream.requests[0].json == asking()
        assert set(w.notebook.of(RequestObserved)[0].stripped) == {"echo", "logprobs", "mm_payload"}


async def test_a_body_that_is_too_large_is_refused_in_this_apis_words() -> None:
    async with world() as w:
        got = await w.call(PATH, asking(system="x" * 1_100_000))
        assert (got.status, got.json["error"]["type"]) == (413, "request_too_large")
