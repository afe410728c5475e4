"""Guarded streams of `/v1/responses`, through the application."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.verdict import Action
from server.observation import FieldsDropped, RequestObserved, RequestOutcome
from tests.server.responses_world import (
    USAGE,
    ask,
    call,
    calls,
    custom_call,
    message,
    named,
    reasoning,
    response,
    says,
    streamed,
    texts,
    thinks,
    told,
    writes,
)
from tests.server.world import REFUSAL, policy, says_json, says_stream, world

RAIN = ("Rain falls ", "on the sea. ", "Gulls cry ", "over it.")
ORDINARY = streamed(
    thinks("The user wants ", "weather.", number=0),
    says(*RAIN, number=1),
    calls('{"place":', ' "the quay"}', number=2),
    writes("Gulls ", "cry.", number=3),
)


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def deltas(events: list[dict[str, Any]]) -> str:
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


async def test_an_allowed_stream_leaves_byte_for_byte() -> None:
    async with world() as w:
        w.upstream.scripts = [says_stream(named(ORDINARY))]
        got = await ask(w, stream=True)
        assert got.body == named(ORDINARY) and got.status == 200
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.ALLOWED
        assert not w.notebook.of(FieldsDropped)


async def test_an_allowed_stream_leaves_byte_for_byte_where_nothing_is_looked_for() -> None:
    async with world(empty=True) as w:
        w.upstream.scripts = [says_stream(named(ORDINARY))]
        assert (await ask(w, stream=True)).body == named(ORDINARY)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, len(named(ORDINARY)) - 1), max_size=12))
async def test_however_the_bytes_arrive_the_client_gets_the_same(cuts: list[int]) -> None:
    async with world() as w:
        w.upstream.scripts = [says_stream(named(ORDINARY), cuts)]
        assert (await ask(w, stream=True)).body == named(ORDINARY)


async def test_a_suppressed_message_goes_on_with_the_refusal_and_ends_incomplete() -> None:
    async with world() as w:
        sent = streamed(says("Rain falls on the sea. ", "The copper ", "treaty was signed."))
        w.upstream.scripts = [says_stream(named(sent))]
        got = await ask(w, stream=True)
        events = told(got)
        assert kinds(events)[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
        assert kinds(events)[-4:] == ["output_text.done", "content_part.done", "output_item.done", "incomplete"]
        said = deltas(events)
        assert said.endswith(REFUSAL) and "treaty" not in texts(events)
        final = events[-1]["response"]
        assert (final["status"], final["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})
        assert [item["content"][0]["text"] for item in final["output"]] == [said]
        assert final["output"] == [events[-2]["item"]] and final["output"][0]["status"] == "incomplete"
        assert events[-4]["text"] == events[-3]["part"]["text"] == said
        assert final["usage"]["input_tokens"] and final["usage"]["output_tokens"] < 20
        assert final["id"] == "resp_1" and final["output"][0]["id"] == "msg_0"
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.BLOCKED


SUPPRESSED = named(
    streamed(thinks("The user asks."), says("Rain falls on the sea. ", "The copper ", "treaty was signed.", number=1))
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, len(SUPPRESSED) - 1), max_size=12))
async def test_a_suppressed_stream_is_the_same_however_its_bytes_arrive(cuts: list[int]) -> None:
    async with world() as w:
        w.upstream.scripts = [says_stream(SUPPRESSED)]
        whole = await ask(w, stream=True)
        w.upstream.scripts = [says_stream(SUPPRESSED, cuts)]
        events = told(await ask(w, stream=True))
        assert deltas(events).endswith(REFUSAL) and deltas(events) == deltas(told(whole))
        assert events[-1]["response"]["output"] == told(whole)[-1]["response"]["output"]


async def test_a_stop_in_reasoning_closes_it_and_says_the_refusal_in_a_message() -> None:
    async with world() as w:
        sent = streamed(thinks("Rain falls. ", "The copper ", "treaty."), says("Rain.", number=1))
        w.upstream.scripts = [says_stream(named(sent))]
        events = told(await ask(w, stream=True))
        output = events[-1]["response"]["output"]
        assert [(item["type"], item["status"]) for item in output] == [
            ("reasoning", "incomplete"),
            ("message", "incomplete"),
        ]
        assert output[1]["content"][0]["text"] == REFUSAL and "treaty" not in texts(events)
        assert [event["output_index"] for event in events if event["type"] == "response.output_item.added"] == [0, 1]


async def test_a_suppressed_call_is_never_shown() -> None:
    async with world() as w:
        sent = streamed(says("Rain falls on the sea."), calls('{"query": "copper', ' treaty"}', number=1))
        w.upstream.scripts = [says_stream(named(sent))]
        events = told(await ask(w, stream=True))
        assert "treaty" not in texts(events) and "copper" not in texts(events)
        output = events[-1]["response"]["output"]
        assert [(item["type"], item["status"]) for item in output if item["type"] == "function_call"] == []
        assert output[0]["content"][0]["text"] == "Rain falls on the sea."
        assert output[1]["content"][0]["text"] == REFUSAL


async def test_a_redacted_stream_repeats_only_what_it_told() -> None:
    async with world(policy=policy(Action.REDACT, redaction="[withheld]")) as w:
        sent = streamed(says("Rain falls on the sea. ", "The copper ", "treaty was signed. ", "Gulls cry."))
        w.upstream.scripts = [says_stream(named(sent))]
        events = told(await ask(w, stream=True))
        said = deltas(events)
        assert "[withheld]" in said and "treaty" not in texts(events)
        done = {event["type"]: event for event in events}
        assert done["response.output_text.done"]["text"] == said
        assert done["response.content_part.done"]["part"]["text"] == said
        assert done["response.output_item.done"]["item"]["content"][0]["text"] == said
        final = done["response.completed"]["response"]
        assert final["output"][0]["content"][0]["text"] == said and final["status"] == "completed"
        assert final["usage"]["output_tokens"] != USAGE["output_tokens"]
        assert final["usage"]["output_tokens_details"]["reasoning_tokens"] == 0


async def test_a_rewritten_stream_completes() -> None:
    async with world(policy=policy(Action.REWRITE)) as w:
        sent = streamed(says("Rain falls on the sea. ", "The copper ", "treaty was signed."))
        w.upstream.scripts = [says_stream(named(sent)), says_json(response(message(" Gulls cry over the quay.")))]
        events = told(await ask(w, stream=True, instructions="Be brief.", tools=[]))
        assert deltas(events) == "Rain falls on the sea. Gulls cry over the quay."
        assert events[-1]["type"] == "response.completed" and events[-1]["response"]["status"] == "completed"
        assert events[-1]["response"]["incomplete_details"] is None
        asked_again = w.upstream.requests[1].json
        assert asked_again["input"][-1]["status"] == "in_progress" and "stream" not in asked_again
        assert asked_again["instructions"].startswith("Be brief.\n\n") and asked_again["store"] is False
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.REWRITTEN


@pytest.mark.parametrize("place", ["response.output_text.done", "response.content_part.done", "item", "last"])
async def test_what_a_recap_says_and_no_delta_said_is_judged(place: str) -> None:
    lie = "The copper treaty was signed."
    sent = streamed(says("Rain falls on the sea."))
    for event in sent:
        if event["type"] == place:
            event["part" if "part" in event else "text"] = {**event["part"], "text": lie} if "part" in event else lie
        if place == "item" and event["type"] == "response.output_item.done":
            event["item"] = message(lie)
        if place == "last" and event["type"] == "response.completed":
            event["response"] = response(message(lie))
    async with world() as w:
        w.upstream.scripts = [says_stream(named(sent))]
        events = told(await ask(w, stream=True))
        assert "treaty" not in texts(events)
        assert events[-1]["type"] == "response.incomplete"
        assert REFUSAL in texts(events[-1]["response"]["output"])


async def test_a_harmless_recap_that_differs_leaves_as_it_came() -> None:
    sent = streamed(says("Rain falls on the sea."), last=response(message("Rain falls on the sea, and hail.")))
    async with world() as w:
        w.upstream.scripts = [says_stream(named(sent))]
        assert (await ask(w, stream=True)).body == named(sent)


async def test_an_item_that_only_the_last_event_tells_is_judged() -> None:
    hidden = response(message("Rain."), call('{"q": "the copper treaty"}', 1))
    async with world() as w:
        w.upstream.scripts = [says_stream(named(streamed(says("Rain."), last=hidden)))]
        events = told(await ask(w, stream=True))
        assert "treaty" not in texts(events) and events[-1]["response"]["status"] == "incomplete"


async def test_unknown_events_items_parts_and_fields_are_dropped_and_named() -> None:
    secret = "what nobody guards here at all"
    sent = streamed(says("Rain falls."))
    sent.insert(3, {"type": "response.secret.delta", "delta": secret, "sequence_number": 3})
    sent[4]["surprise"] = secret
    hidden = {"type": "secret_item", "id": "x", "text": secret}
    sent.insert(5, {"type": "response.output_item.added", "item": hidden, "output_index": 9, "sequence_number": 5})
    sent[-1]["response"]["output"].append(hidden)
    sent[-1]["response"]["kv_transfer_params"] = {"prompt": secret}
    sent[-1]["response"]["output"][0]["content"][0]["annotations"] = [{"title": secret}]
    async with world() as w:
        w.upstream.scripts = [says_stream(named(sent))]
        events = told(await ask(w, stream=True))
        assert secret not in texts(events) and deltas(events) == "Rain falls."
        assert events[-1]["response"]["output"][0]["content"][0] == {**message("Rain falls.")["content"][0]}
        (dropped,) = w.notebook.of(FieldsDropped)
        assert dropped.dialect == "responses"
        assert {"response.secret.delta", "surprise", "secret_item", "kv_transfer_params"} <= set(dropped.names)


async def test_what_the_response_repeats_of_the_request_is_what_the_client_said() -> None:
    tools = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]
    echo = {"instructions": "Be brief.", "tools": [{**tools[0], "strict": None}], "metadata": {"a": "b"}}
    sent = streamed(says("Rain falls."))
    for n in (0, 1, -1):
        sent[n]["response"] = {**sent[n]["response"], **echo}
    async with world() as w:
        w.upstream.scripts = [says_stream(named(sent))]
        asked: dict[str, Any] = {"instructions": "Be brief.", "tools": tools, "metadata": {"a": "b"}}
        assert (await ask(w, stream=True, **asked)).body == named(sent)
        w.upstream.scripts = [says_stream(named(sent))]
        events = told(await ask(w, stream=True, **{**asked, "instructions": "Be long.", "metadata": {"a": "c"}}))
        final = events[-1]["response"]
        assert (final["instructions"], final["metadata"]) == ("Be long.", {"a": "c"})
        assert final["tools"] == echo["tools"]
        for told_tool in ({"the copper treaty": None}, {"the_copper_treaty": None}, {"strict": "copper treaty"}):
            sent[-1]["response"]["tools"] = [{**tools[0], **told_tool}]
            w.upstream.scripts = [says_stream(named(sent))]
            assert told(await ask(w, stream=True, **asked))[-1]["response"]["tools"] == tools


async def test_a_redacted_call_is_told_once_and_repeated_as_it_was_told() -> None:
    async with world(policy=policy(Action.REDACT, redaction="[withheld]")) as w:
        sent = streamed(says("Rain falls."), calls('{"query": ', '"copper ', 'treaty", "n": 1}', number=1))
        w.upstream.scripts = [says_stream(named(sent))]
        events = told(await ask(w, stream=True))
        assert "treaty" not in texts(events)
        said = [event["delta"] for event in events if event["type"] == "response.function_call_arguments.delta"]
        done = [event["arguments"] for event in events if event["type"] == "response.function_call_arguments.done"]
        assert len(said) == 1 and done == said and json.loads(said[0]).keys() == {"query", "n"}
        assert events[-1]["response"]["output"][1]["arguments"] == said[0]


async def test_a_refused_question_is_answered_like_any_other() -> None:
    async with world(policy=policy(prompt_actions=dict.fromkeys(policy().answer_actions, Action.BLOCK))) as w:
        got = await ask(w, stream=True, input="What of the copper treaty?", user="me")
        events = told(got)
        assert not w.upstream.requests and deltas(events) == REFUSAL
        assert kinds(events)[:2] == ["created", "in_progress"] and kinds(events)[-1] == "incomplete"
        assert events[-1]["response"]["usage"]["total_tokens"] > 0 and events[0]["response"]["user"] == "me"
        ordinary = streamed(says("Rain."))
        shape = {event["type"]: list(event) for event in ordinary}
        assert list(events[0]["response"]) == list(ordinary[0]["response"])
        for event in events[:-1]:
            assert list(event) == sorted(shape[event["type"]])


@pytest.mark.parametrize(
    "fault",
    [
        {"type": "error", "code": "bad", "message": "The copper treaty is too long.", "param": None},
        {"type": "response.failed", "response": {"error": {"code": "bad", "message": "The copper treaty."}}},
        {"type": "response.failed", "response": {**response(status="failed")}},
    ],
)
async def test_an_error_inside_a_stream_is_judged_and_told_as_an_event(fault: dict[str, Any]) -> None:
    async with world() as w:
        sent = [*streamed(says("Rain falls on the sea. ", "Gulls cry."))[:6], fault]
        w.upstream.scripts = [says_stream(named(sent))]
        events = told(await ask(w, stream=True))
        assert events[-1]["type"] == "error" and "treaty" not in texts(events)
        assert events[-1]["message"] == events[-1]["error"]["message"]
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.UPSTREAM_ERROR


async def test_a_stream_that_breaks_off_ends_in_an_error() -> None:
    async with world() as w:
        w.upstream.scripts = [says_stream(named(streamed(says("Rain falls."))[:-1]))]
        assert told(await ask(w, stream=True))[-1]["type"] == "error"


async def test_an_event_whose_name_is_not_its_type_is_told_by_its_type() -> None:
    async with world() as w:
        sent = named(streamed(says("Rain falls."))).replace(b"event: response.created", b"event: The copper treaty")
        w.upstream.scripts = [says_stream(sent)]
        assert b"treaty" not in (await ask(w, stream=True)).body


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    "hidden", [{"output": [message("The copper treaty.")]}, {"error": {"message": "copper treaty"}}]
)
async def test_what_the_first_events_say_already_is_judged(place: int, hidden: dict[str, Any]) -> None:
    sent = streamed(says("Rain falls."))
    sent[place]["response"] = {**sent[place]["response"], **hidden}
    async with world() as w:
        w.upstream.scripts = [says_stream(named(sent))]
        events = told(await ask(w, stream=True))
        assert "treaty" not in texts(events) and events[-1]["type"] == "response.incomplete"


async def test_events_without_names_are_told_by_name() -> None:
    sent = streamed(says("Rain falls."))
    bare = b"".join(event.partition(b"\n")[2] + b"\n\n" for event in named(sent).split(b"\n\n") if event)
    for shown in ({}, {"empty": True}):
        async with world(**shown) as w:
            w.upstream.scripts = [says_stream(bare)]
            assert told(await ask(w, stream=True)) == sent


async def test_a_redaction_that_would_break_the_asked_for_shape_is_no_answer() -> None:
    told_whole = '{"a": "Rain falls. The copper treaty was signed."}'
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    shape: dict[str, Any] = {"format": {"type": "json_schema", "name": "s", "schema": schema}}
    async with world(policy=policy(Action.REDACT, redaction="[withheld]")) as w:
        w.upstream.scripts = [says_stream(named(streamed(says(told_whole[:12], told_whole[12:]))))]
        events = told(await ask(w, stream=True, text=shape))
        assert "treaty" not in texts(events) and events[-1]["type"] == "response.incomplete"
        w.upstream.scripts = [says_json(response(message(told_whole)))]
        got = (await ask(w, text=shape)).json
        assert "treaty" not in texts(got)
        assert json.loads(got["output"][0]["content"][0]["text"]).keys() == {"a"} and got["status"] == "completed"


async def test_what_is_split_between_two_messages_is_judged_together() -> None:
    async with world() as w:
        sent = streamed(says("Rain falls on the sea. Of copper"), says("Treaty is a word.", number=1))
        w.upstream.scripts = [says_stream(named(sent))]
        events = told(await ask(w, stream=True))
        assert events[-1]["type"] == "response.incomplete" and "Treaty" not in texts(events)


async def test_an_incomplete_answer_stays_incomplete() -> None:
    sent = streamed(says("Rain falls."), last=response(message("Rain falls."), status="incomplete"))
    async with world() as w:
        w.upstream.scripts = [says_stream(named(sent))]
        assert (await ask(w, stream=True)).body == named(sent)


async def test_a_custom_call_whose_input_was_said_anew_leaves_as_it_came() -> None:
    sent = streamed(writes("Gulls", "Rain falls."), last=response(custom_call("Rain falls.")))
    sent[-3]["input"], sent[-2]["item"] = "Rain falls.", custom_call("Rain falls.")
    async with world() as w:
        w.upstream.scripts = [says_stream(named(sent))]
        assert (await ask(w, stream=True)).body == named(sent)


async def test_reasoning_that_only_its_summary_tells_is_judged() -> None:
    sent = streamed(says("Rain falls."))
    item = {**reasoning("Rain."), "summary": [{"type": "summary_text", "text": "The copper treaty."}]}
    sent.insert(2, {"type": "response.output_item.done", "item": item, "output_index": 5, "sequence_number": 2})
    async with world() as w:
        w.upstream.scripts = [says_stream(named(sent))]
        events = told(await ask(w, stream=True))
        assert "treaty" not in texts(events) and events[-1]["type"] == "response.incomplete"
