"""Chat, not streamed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from guard.policy import Mode
from guard.verdict import Action, Side
from server.observation import DecisionObserved, FieldsDropped, RequestObserved, RequestOutcome, RewriteObserved
from tests.guard.streams import PASSAGE
from tests.server.world import REFUSAL, policy, says_json, whole, world

FINE = whole("Rain falls on the old harbour. Gulls cry – ünïcode – 世界 \U0001f642.")


def compact(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


async def test_an_answer_without_matches_leaves_byte_for_byte_in_any_layout() -> None:
    async with world() as w:
        for raw in (compact(FINE), json.dumps(FINE, indent=2).encode(), b" " + compact(FINE) + b"\n"):
            w.upstream.scripts = [says_json(raw)]
            got = await w.chat()
            assert (got.status, got.body) == (200, raw)
            assert set(got.headers) == {"content-type", "content-length", "x-request-id"}


async def test_a_blocked_answer_has_the_shape_of_an_ordinary_one() -> None:
    async with world() as w:
        w.upstream.scripts = [says_json(whole("The copper treaty was signed. " * 9, reasoning="hm", tool_calls=[]))]
        got = await w.chat()
        choice = got.json["choices"][0]
        assert got.status == 200
        assert choice["finish_reason"] == "content_filter"
        message = {"role": "assistant", "content": REFUSAL, "refusal": None, "annotations": None, "reasoning": None}
        assert choice["message"] == message
        assert got.json["usage"] == {
            "prompt_tokens": 10,
            "total_tokens": 18,
            "completion_tokens": 8,
            "prompt_tokens_details": None,
        }
        seen = w.notebook.of(RequestObserved)[0]
        assert (seen.outcome, seen.leaked) == (RequestOutcome.BLOCKED, None)
        assert [row.counted for row in w.notebook.of(DecisionObserved)] == [True]


async def test_a_redacted_answer_keeps_its_finish_reason_and_is_counted_as_delivered() -> None:
    async with world(policy=policy(Action.REDACT)) as w:
        w.upstream.scripts = [says_json(whole(f"They say: {PASSAGE}. So it is.", finish="length"))]
        got = await w.chat()
        assert got.json["choices"][0]["message"]["content"] == "They say: [redacted]. So it is."
        assert got.json["choices"][0]["finish_reason"] == "length"
        assert got.json["usage"]["completion_tokens"] == 11


@pytest.mark.parametrize(
    ("message", "leaks"),
    [
        ({"reasoning": "the copper treaty"}, "treaty"),
        ({"reasoning_content": "the copper treaty"}, "treaty"),
        ({"refusal": "not the copper treaty"}, "treaty"),
        ({"function_call": {"name": "f", "arguments": '{"a":"copper treaty"}'}}, "treaty"),
        (
            {"tool_calls": [{"id": "1", "type": "function", "function": {"name": "copper treaty", "arguments": ""}}]},
            "treaty",
        ),
        (
            {"tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "copper treaty"}}]},
            "treaty",
        ),
    ],
)
async def test_every_channel_is_guarded(message: dict[str, Any], leaks: str) -> None:
    async with world() as w:
        w.upstream.scripts = [says_json(whole("All is well.", **message))]
        got = await w.chat()
        assert leaks not in got.body.decode()
        assert got.json["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize(
    "place",
    ["top", "choice", "message", "usage", "tool", "logprobs", "annotations", "audio", "content", "stop_reason", "id"],
)
async def test_text_has_no_door_that_nobody_guards(place: str) -> None:
    secret: Any = ["the copper treaty was signed"]
    body = whole(
        "All is well.", tool_calls=[{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    )
    choice = body["choices"][0]
    match place:
        case "top":
            body |= {"prompt_text": secret, "kv_transfer_params": {"a": secret}, "new": secret}
        case "choice":
            choice |= {"token_ids": secret, "routed_experts": secret, "new": secret}
        case "message":
            choice["message"]["new"] = secret
        case "usage":
            body["usage"] |= {"new": secret, "prompt_tokens_details": {"new": secret, "cached_tokens": secret}}
        case "tool":
            choice["message"]["tool_calls"][0] |= {"new": secret, "type": secret}
        case "logprobs":
            choice["logprobs"] = {"content": [{"token": "treaty"}]}
        case "annotations" | "audio":
            choice["message"][place] = secret
        case "content":
            choice["message"]["content"] = [{"type": "text", "text": "copper treaty"}]
        case "stop_reason":
            choice["stop_reason"] = "copper treaty"
        case "id":
            body["id"] = "the copper treaty was signed here by all of them"
    async with world() as w:
        w.upstream.scripts = [says_json(body)]
        got = await w.chat()
        assert got.status == 200
        assert "treaty" not in got.body.decode()
        if place not in ("stop_reason",):
            assert w.notebook.of(FieldsDropped)[0].count >= 1
            assert got.json["choices"][0]["finish_reason"] == "stop"


async def test_a_rewrite_replaces_the_whole_answer() -> None:
    async with world(policy=policy(Action.REWRITE), label="the papers") as w:
        w.upstream.scripts = [says_json(whole("The copper treaty.")), says_json(whole("Let us speak of gulls."))]
        got = await w.chat(
            {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Well?"}]}
        )
        assert got.json["choices"][0]["message"]["content"] == "Let us speak of gulls."
        assert got.json["choices"][0]["finish_reason"] == "stop"
        system = w.upstream.requests[1].json["messages"][0]["content"]
        assert system.startswith("Be kind.\n\nDo not mention, quote or paraphrase the papers.")
        assert [(r.strategy, r.outcome, r.tries) for r in w.notebook.of(RewriteObserved)] == [
            ("regenerate", "verified", 1)
        ]


async def test_only_the_choice_that_matched_is_replaced() -> None:
    body = whole("All is well.")
    body["choices"].append({**whole("The copper treaty.")["choices"][0], "index": 1})
    async with world() as w:
        w.upstream.scripts = [says_json(body)]
        got = await w.chat({"n": 2})
        assert [c["finish_reason"] for c in got.json["choices"]] == ["stop", "content_filter"]
        assert got.json["choices"][0] == body["choices"][0]


async def test_a_client_that_leaves_cancels_upstream() -> None:
    async def silent(*_: Any) -> None:
        await asyncio.sleep(30)

    async with world() as w:
        w.upstream.scripts = [silent]
        got = await w.chat(leave_after=0.05)
        await asyncio.sleep(0.05)
        assert got.status == 0
        assert len(w.upstream.left) == 1
        assert w.upstream.running == 0
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.CANCELLED


# -- the prompt side --


def asks(action: Action, **changes: Any) -> Any:
    from guard.verdict import Kind

    return policy(prompt_actions=dict.fromkeys(Kind, action), **changes)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_that_must_not_be_answered_is_refused_without_asking_upstream(stream: bool) -> None:
    async with world(policy=asks(Action.BLOCK)) as w:
        body = {"messages": [{"role": "user", "content": "What of the copper treaty?"}], "stream": stream, "n": 2}
        got = await w.chat({**body, "stream_options": {"include_usage": True}} if stream else body)
        assert w.upstream.requests == []
        if stream:
            assert [got.text(0), got.text(1)] == [REFUSAL, REFUSAL]
            assert [got.finish(0), got.finish(1)] == [["content_filter"]] * 2
            usage = got.events[-2]["usage"]
            assert got.events[-1] == "[DONE]"
        else:
            assert [c["message"]["content"] for c in got.json["choices"]] == [REFUSAL] * 2
            assert [c["index"] for c in got.json["choices"]] == [0, 1]
            assert [c["finish_reason"] for c in got.json["choices"]] == ["content_filter"] * 2
            usage = got.json["usage"]
        assert usage["completion_tokens"] == 16
        row = w.notebook.of(DecisionObserved)[0]
        assert (row.side, row.action, row.entry_id) == (Side.PROMPT, Action.BLOCK, "f1")
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.BLOCKED


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_flagged_conversation_is_answered_and_told(mode: Mode) -> None:
    async with world(policy=asks(Action.FLAG if mode is Mode.ENFORCE else Action.BLOCK, mode=mode)) as w:
        w.upstream.scripts = [says_json(FINE)]
        got = await w.chat({"messages": [{"role": "user", "content": PASSAGE}]})
        assert got.json == FINE
        row = w.notebook.of(DecisionObserved)[0]
        assert (row.side, row.stage, row.shadow) == (Side.PROMPT, "fingerprint", mode is Mode.SHADOW)
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.FLAGGED


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "tool_call_id": "1", "content": "the copper treaty"},
        {"role": "user", "content": [{"type": "text", "text": "the copper treaty"}]},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "the copper treaty"}}]},
    ],
)
async def test_every_text_of_the_conversation_is_judged(message: dict[str, Any]) -> None:
    async with world(policy=asks(Action.BLOCK)) as w:
        await w.chat({"messages": [{"role": "user", "content": "Hello."}, message, {"role": "user", "content": "So?"}]})
        assert w.upstream.requests == []
