"""`/v1/messages` as a stream: what clients see is well formed, whatever was suppressed in it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.policy import Streaming
from guard.verdict import Action
from server.observation import FieldsDropped, RequestObserved, RequestOutcome
from tests.guard.streams import PASSAGE
from tests.server.messages import (
    COUNT,
    begun,
    encoded,
    ended,
    events_of,
    message_of,
    said,
    says,
    spoken,
    streamed,
    text,
    thinking,
    tool,
    whole,
)
from tests.server.world import REFUSAL, World, policy, says_json, says_stream, world

EVERYTHING = [
    begun(),
    {"type": "ping"},
    *thinking(0, "Let me ", "see. ", "Rain it is."),
    *text(1, "Rain falls ", "on the harbour. ", "Gulls “cry”."),
    *tool(2, "get_weather", '{"place": "the ', 'harbour"}'),
    *tool(3, "get_time", "{}", id="chatcmpl-tool-3c4d"),
    *ended("tool_use"),
]


def outcome(w: World) -> RequestOutcome:
    return w.notebook.of(RequestObserved)[-1].outcome


@pytest.mark.parametrize("streaming", list(Streaming))
async def test_what_is_allowed_leaves_byte_for_byte(streaming: Streaming) -> None:
    data = encoded(EVERYTHING)
    async with world(policy=policy(streaming=streaming)) as w:
        for step in (len(data), 5):
            got = await streamed(w, *EVERYTHING, cuts=range(step, len(data), step))
            assert got.body == data
            assert got.complete and outcome(w) is RequestOutcome.ALLOWED
        assert not w.notebook.of(FieldsDropped)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, len(encoded(EVERYTHING)) - 1), max_size=20), st.sampled_from(list(Streaming)))
async def test_however_the_bytes_arrive_the_same_bytes_leave(cuts: list[int], streaming: Streaming) -> None:
    async with world(policy=policy(streaming=streaming)) as w:
        got = await streamed(w, *EVERYTHING, cuts=cuts)
        assert got.body == encoded(EVERYTHING)


BAD = [
    begun(),
    *thinking(0, "Let me ", "see. ", "Rain it is."),
    *text(1, "Rain falls. ", "Gulls cry. It was cold. ", "The copper ", "treaty. ", "So."),
    *tool(2, "get_weather", "{}"),
    *ended("tool_use"),
]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, len(encoded(BAD)) - 1), max_size=20),
    st.sampled_from(list(Streaming)),
    st.sampled_from([Action.BLOCK, Action.REDACT, Action.REWRITE]),
)
async def test_however_the_bytes_arrive_what_is_suppressed_does_not_leave(
    cuts: list[int], streaming: Streaming, action: Action
) -> None:
    async with world(policy=policy(action, streaming=streaming)) as w:
        w.upstream.scripts = [says(), says_json(whole({"type": "text", "text": "Gulls cry."}))]
        got = await streamed(w, *BAD, cuts=cuts)
        message = message_of(got)
        assert b"treaty" not in got.body
        assert said(got, "thinking") == "Let me see. Rain it is."
        wanted = {Action.BLOCK: "refusal", Action.REDACT: "tool_use", Action.REWRITE: "end_turn"}[action]
        kinds = ["thinking", "text", "tool_use"][: 3 if action is Action.REDACT else 2]
        assert message["stop_reason"] == wanted
        assert [item["type"] for item in message["content"]] == kinds


async def test_without_entries_only_fields_are_filtered() -> None:
    async with world(empty=True) as w:
        assert (await streamed(w, *EVERYTHING)).body == encoded(EVERYTHING)
        events = spoken("The copper treaty.")
        events[2]["delta"]["logits"] = "secret"
        got = await streamed(w, *events)
        assert got.body == encoded(spoken("The copper treaty."))


async def test_older_servers_end_with_done_as_well() -> None:
    data = encoded(EVERYTHING) + b"data: [DONE]\n\n"
    async with world() as w:
        w.upstream.scripts = [says()]
        got = await streamed(w, *EVERYTHING, then=0.0)
        assert got.body == encoded(EVERYTHING)
        w.upstream.scripts = [says_stream(data)]
        got = await w.call("/v1/messages", {"model": "tiny", "max_tokens": 9, "messages": [], "stream": True})
        assert got.body == data


async def test_a_stopped_answer_goes_on_in_the_block_of_text_that_is_open() -> None:
    async with world() as w:
        got = await streamed(
            w, *spoken("Rain falls. Gulls cry. It was cold. ", "The copper treaty. ", "So."), then=30.0
        )
        message = message_of(got)
        assert [item["type"] for item in message["content"]] == ["text"]
        shown = said(got)
        assert shown.startswith("Rain falls.") and shown.endswith(REFUSAL) and "treaty" not in shown
        assert (message["stop_reason"], message["stop_sequence"]) == ("refusal", None)
        assert message["usage"]["input_tokens"] == 10
        assert 0 < message["usage"]["output_tokens"] < 30
        assert outcome(w) is RequestOutcome.BLOCKED
        for _ in range(100):
            await asyncio.sleep(0.01 if not w.upstream.left else 0.0)
        assert len(w.upstream.left) == 1


async def test_an_answer_that_is_stopped_at_once_says_only_the_refusal() -> None:
    async with world(policy=policy(streaming=Streaming.STRICT)) as w:
        cached = {**COUNT, "cache_read_input_tokens": 4}
        first = begun(usage={**cached, "output_tokens": 0})
        said_so = text(0, "The copper treaty. ", "So it goes. ", "And so on.")
        for last in (ended(usage=cached), []):
            got = await streamed(w, first, *said_so, *last, then=0.1)
            message = message_of(got)
            assert message["content"] == [{"type": "text", "text": REFUSAL}]
            assert message["stop_reason"] == "refusal"
            assert events_of(got)[-2]["usage"] == {**cached, "output_tokens": 8}


async def test_thoughts_that_are_stopped_end_signed_and_the_refusal_is_text() -> None:
    async with world() as w:
        events = [begun(), *thinking(0, "Rain falls. So it goes. ", "The copper treaty. "), *text(1, "So."), *ended()]
        got = await streamed(w, *events)
        content = message_of(got)["content"]
        assert [item["type"] for item in content] == ["thinking", "text"]
        assert "treaty" not in content[0]["thinking"]
        assert len(content[0]["signature"]) == 32
        assert content[1]["text"] == REFUSAL


@pytest.mark.parametrize("bad", ["name", "input", "escaped", "id"])
async def test_a_suppressed_tool_call_is_never_told(bad: str) -> None:
    pieces = {"input": ('{"about": "the copper ', 'treaty"}'), "escaped": ('{"about": "copper\\n', 'tre\\u0061ty"}')}
    name = "copper treaty" if bad == "name" else "look_up"
    called = tool(1, name, *pieces.get(bad, ("{}",)), id="copper treaty" if bad == "id" else "call_1")
    async with world() as w:
        got = await streamed(w, begun(), *text(0, "Rain falls."), *called, *ended("tool_use"))
        message = message_of(got)
        assert [item["type"] for item in message["content"]] == ["text", "text"]
        assert message["stop_reason"] == "refusal"
        assert said(got).endswith(REFUSAL)
        assert b"tool_use" not in got.body and b"look_up" not in got.body and b"treaty" not in got.body


async def test_a_tool_call_that_was_told_stays_when_a_later_one_is_suppressed() -> None:
    async with world() as w:
        first, second = (
            tool(0, "get_time", '{"zone": "CET"}'),
            tool(1, "look_up", '{"of": "copper treaty"}', id="call_2"),
        )
        got = await streamed(w, begun(), *first, *second, *ended("tool_use"))
        message = message_of(got)
        assert [item["type"] for item in message["content"]] == ["tool_use", "text"]
        assert json.loads(message["content"][0]["input"]) == {"zone": "CET"}
        assert message["stop_reason"] == "refusal"


async def test_a_redacted_answer_keeps_its_blocks_and_counts_what_is_left() -> None:
    words = PASSAGE.split()
    async with world(policy=policy(Action.REDACT)) as w:
        pieces = [f"{word} " for word in ["Well:", *words, "So", "it", "goes."]]
        got = await streamed(w, begun(), *text(0, *pieces), *ended(usage={**COUNT, "output_tokens": len(pieces)}))
        message = message_of(got)
        assert said(got).startswith("Well:") and said(got).rstrip().endswith("So it goes.")
        assert words[3] not in said(got)
        assert message["stop_reason"] == "end_turn"
        assert message["usage"]["output_tokens"] < len(pieces)
        assert outcome(w) is RequestOutcome.REDACTED


async def test_a_block_whose_beginning_is_redacted_is_still_begun() -> None:
    words = PASSAGE.split()
    for rest in ((" So it goes.",), ()):
        async with world(policy=policy(Action.REDACT)) as w:
            second = text(1, *[f" {word}" for word in words[4:]], *rest)
            second[0]["content_block"]["text"] = words[3]
            got = await streamed(w, begun(), *text(0, " ".join(words[:3]) + " "), *second, *text(2, " Rain."), *ended())
            message = message_of(got)
            assert len(message["content"]) == 3
            assert message["content"][1]["text"].replace("[redacted]", "").strip() == "".join(rest).strip()
            assert not set(words[3:6]) & set(said(got).split())


async def test_a_stop_string_that_completes_what_was_said_is_not_told() -> None:
    async with world() as w:
        got = await streamed(w, begun(), *text(0, "The copper "), *ended("stop_sequence", "treaty"))
        message = message_of(got)
        assert (message["stop_reason"], message["stop_sequence"]) == ("refusal", None)
        got = await streamed(w, begun(), *text(0, "Rain "), *ended("stop_sequence", "falls"))
        assert message_of(got)["stop_sequence"] == "falls"


async def test_what_no_list_names_is_dropped_and_blocks_are_numbered_again() -> None:
    events: list[Any] = [
        begun(secret="x"),
        {"type": "ping"},
        {"type": "model_gossip", "text": "secret"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use", "name": "secret"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "secret"}},
        {"type": "content_block_stop", "index": 0},
        *text(1, "Rain falls."),
        *ended(),
    ]
    events.insert(
        7, {"type": "content_block_delta", "index": 1, "delta": {"type": "citations_delta", "text": "secret"}}
    )
    events[-2]["note"] = "secret"
    async with world() as w:
        got = await streamed(w, *events)
        assert b"secret" not in got.body and b"gossip" not in got.body
        assert message_of(got)["content"] == [{"type": "text", "text": "Rain falls."}]
        dropped = w.notebook.of(FieldsDropped)[0]
        assert dropped.dialect == "messages"
        assert {"secret", "model_gossip", "content_block", "note"} <= set(dropped.names)


async def test_events_that_carry_anything_else_are_written_anew() -> None:
    data = b""
    for raw in encoded(spoken("Rain falls.")).split(b"\n\n")[:-1]:
        name, _, body = raw.partition(b"\n")
        data += b"id: 7\n" + name + b"\n" + body + b"\n\n: still here\n\n"
    plain = b"\n\n".join(raw.partition(b"\n")[2] for raw in encoded(spoken("Rain falls.")).split(b"\n\n"))
    async with world() as w:
        renamed = encoded(spoken("Rain falls.")).replace(b"event: message_stop", b"event: secret")
        twice = encoded(spoken("Rain falls.")).replace(b'"text":"Rain', b'"text":"secret","text":"Rain')
        for sent in (data, plain, renamed, twice):
            w.upstream.scripts = [says_stream(sent)]
            got = await w.call("/v1/messages", {"model": "tiny", "max_tokens": 9, "messages": [], "stream": True})
            assert said(got) == "Rain falls."
            assert b"id: 7" not in got.body and b"secret" not in got.body


@pytest.mark.parametrize("before", [0, 1, 3])
async def test_an_error_in_the_stream_is_the_last_event(before: int) -> None:
    failed = {"type": "error", "error": {"type": "internal_error", "message": "out of memory"}}
    bad = {"type": "error", "error": {"type": "overloaded_error", "message": "the copper treaty"}}
    async with world() as w:
        got = await streamed(w, *spoken("Rain falls.")[:before], failed)
        error = json.loads(got.body.split(b"data: ")[-1])
        assert error == {"type": "error", "error": {"type": "api_error", "message": "out of memory"}}
        assert got.status == (200 if before else 502)
        assert outcome(w) is RequestOutcome.UPSTREAM_ERROR
        got = await streamed(w, *spoken("Rain falls.")[:before], bad)
        error = json.loads(got.body.split(b"data: ")[-1])["error"]
        assert error["type"] == "overloaded_error" and "treaty" not in error["message"]


async def test_a_stream_that_breaks_off_ends_with_an_error() -> None:
    async with world() as w:
        got = await streamed(w, *spoken("Rain falls. ", "Gulls cry.")[:4])
        last = got.body.decode().split("\n\n")[-2]
        assert last.startswith("event: error\ndata: ")
        got = await streamed(w, *text(0, "Rain falls."))
        assert (got.status, got.json["error"]["type"]) == (502, "api_error")


async def test_a_question_that_may_not_be_answered_is_refused_as_a_stream() -> None:
    async with world(policy=policy(prompt_actions=policy(Action.BLOCK).answer_actions)) as w:
        w.upstream.scripts = [says()]
        got = await streamed(w, body={"messages": [{"role": "user", "content": "The copper treaty?"}]})
        message = message_of(got)
        assert message["content"] == [{"type": "text", "text": REFUSAL}]
        assert (message["stop_reason"], message["model"], message["role"]) == ("refusal", "tiny", "assistant")
        begins = events_of(got)[0]["message"]["usage"]
        assert begins == {"input_tokens": message["usage"]["input_tokens"], "output_tokens": 0}
        assert begins["input_tokens"] > 0
        assert not w.upstream.requests
