"""`/v1/messages`: what a request says, and how a stream is told that was taken from upstream."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.dialects.dialect import Channel, Ending, FrameKind, Rewrite, Telling, Unreadable
from server.dialects.messages import MessagesDialect
from server.dialects.option_table import Surface, Treatment, parse_treatments
from server.dialects.sse import SseEvent, SseReader
from server.faults import RequestRefused
from tests.server.messages import COUNT, Json, asking, begun, encoded, ended, events_of, text, thinking, tool, whole
from tests.server.world import Got

DIALECT = MessagesDialect()
USAGE = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}


def read(surface: Surface | None = None, **changes: Any) -> Any:
    dialect = DIALECT if surface is None else MessagesDialect(surface)
    return dialect.read(orjson.dumps(asking(**changes)))


def telling() -> Telling:
    return DIALECT.telling(read(stream=True))


def events(data: bytes) -> list[SseEvent]:
    return [event for event in SseReader().feed(data) if isinstance(event, SseEvent)]


def told(stream: Telling, *bodies: Json) -> bytes:
    """What leaves of these events when nothing is changed in them."""
    return b"".join(stream.tell(frame) for event in events(encoded(bodies)) for frame in stream.read(event))


# -- requests --


def test_every_text_of_a_conversation_is_read_and_the_users_own_is_known() -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"file": "an input", "n": [1]}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "a result"}]}
    source = {"type": "text", "media_type": "text/plain", "data": "a document"}
    paper = {"type": "document", "source": source, "title": "a title"}
    asked = read(
        system=[{"type": "text", "text": "the operator", "cache_control": {"type": "ephemeral"}}],
        tools=[{"name": "look_up", "description": "a tool", "input_schema": {"type": "object"}}],
        stop_sequences=["a stop"],
        chat_template_kwargs={"style": "a template"},
        output_config={"format": {"type": "json_schema", "schema": {"enum": ["a schema"]}}},
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "a question"}, paper]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "a thought", "signature": "x y"}, call]},
            {"role": "user", "content": [result]},
            {"role": "system", "content": "a reminder"},
        ],
    )
    said = "\n".join(asked.texts)
    everything = "operator|tool|stop|template|schema|question|document|title|thought|input|result|reminder"
    for word in everything.split("|"):
        assert any(f"{article} {word}" in said for article in ("a", "an", "the")), word
    assert "x y" not in said and "ephemeral" not in said
    supplied = "\n".join(asked.supplied)
    assert all(word in supplied for word in ("a question", "a document", "a result"))
    assert not any(word in supplied for word in ("a thought", "an input", "the operator", "a reminder"))
    assert asked.questions == ("a question a document a title",)
    assert (asked.choices, asked.model, asked.stream, asked.include_usage) == (1, "tiny", False, False)
    assert asked.structured is not None and asked.structured.json


def test_the_question_is_the_last_turn_in_which_the_user_speaks() -> None:
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "copper"}
    turns = [{"role": "user", "content": "first"}, {"role": "assistant", "content": "so"}]
    assert read(messages=turns[:1]).questions == ("first",)
    assert read(messages=[*turns, {"role": "user", "content": [result]}]).questions == ("first",)
    assert read(messages=[{"role": "user", "content": [result]}]).questions == ("copper",)
    assert read(messages=turns).questions == ("first so",)
    assert read(messages=[]).questions == ("",)


def test_what_is_sent_on_is_what_was_read() -> None:
    asked = read(cache_salt="x", metadata={"user_id": "u-1"})
    assert json.loads(asked.forward) == asked.body == asking(cache_salt="x", metadata={"user_id": "u-1"})
    assert (asked.stripped, asked.end_user) == ((), "u-1")
    assert DIALECT.with_usage(asked) == asked.forward
    changed = read(echo=True, mm_payload="none")
    assert json.loads(changed.forward) == asking()
    assert changed.stripped == ("echo", "mm_payload")
    twice = b'{"model":"tiny","max_tokens":64,"system":"first","system":"second","messages":[]}'
    assert b"first" not in DIALECT.read(twice).forward


def test_a_stream_counts_without_being_asked() -> None:
    asked = read(stream=True)
    assert asked.stream and asked.include_usage and asked.continuous_usage


def test_the_operator_says_what_is_done_with_options() -> None:
    picture = {"type": "image", "source": {"type": "base64", "data": "AAAA"}}
    said = {"type": "text", "text": "See."}
    nested = {"type": "tool_result", "tool_use_id": "t", "content": [said, picture]}
    messages = [{"role": "user", "content": [said, picture, nested]}, {"role": "assistant", "content": "It is"}]
    passing = Surface(parse_treatments("images=pass,vllm_xargs=pass"))
    asked = read(passing, messages=messages, vllm_xargs={"x": 1})
    assert asked.body["messages"] == messages and not asked.stripped
    assert "AAAA" not in "".join(asked.texts)
    stripping = Surface(parse_treatments("images=strip,assistant_prefix=strip,stop=strip"))
    asked = read(stripping, messages=messages, stop_sequences=["x"])
    assert asked.stripped == ("assistant_prefix", "images", "stop_sequences")
    assert json.loads(asked.forward) == asking(
        messages=[{"role": "user", "content": [said, {**nested, "content": [said]}]}]
    )
    refusing = Surface(parse_treatments("assistant_prefix=refuse,response_format=refuse"), Treatment.REFUSE)
    for changes in (
        {"messages": messages[1:]},
        {"output_config": {"format": {"type": "json_schema"}}},
        {"unheard_of": 1},
    ):
        with pytest.raises(RequestRefused):
            read(refusing, **changes)
    assert read(refusing, output_config={"effort": "low"}).body["output_config"] == {"effort": "low"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5), lambda inner: st.lists(inner)
    )
)
def test_no_content_breaks_the_reader(content: Any) -> None:
    for changes in ({"messages": [{"role": "user", "content": content}]}, {"system": content}, {"messages": content}):
        try:
            read(**changes)
        except RequestRefused:
            continue


def test_deep_nesting_is_read_as_far_as_it_goes() -> None:
    deep: Any = "copper treaty"
    for _ in range(200):
        deep = [deep]
    asked = read(messages=[{"role": "user", "content": [{"type": "tool_result", "content": {"x": deep}}]}])
    assert "copper treaty" in asked.texts[0]


@pytest.mark.parametrize(
    ("system", "wanted"),
    [
        (None, "Do not."),
        ("Be brief.", "Be brief.\n\nDo not."),
        (
            [{"type": "text", "text": "Be brief."}],
            [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "\n\nDo not."}],
        ),
    ],
)
def test_another_answer_is_asked_for_under_one_more_instruction(system: Any, wanted: Any) -> None:
    asked = read(system=system, stream=True, tools=[], tool_choice={"type": "auto"})
    body = json.loads(DIALECT.rewrite(asked, Rewrite(0, "Do not.", 0.4)))
    assert body == {**asking(), "system": wanted, "temperature": 1.4}


@pytest.mark.parametrize("content", ["It is ", [{"type": "text", "text": "It is "}]])
def test_what_was_begun_goes_on_from_the_clients_own_beginning(content: Any) -> None:
    messages = [{"role": "user", "content": "Well?"}, {"role": "assistant", "content": content}]
    shape = {"effort": "low", "format": {"type": "json_schema", "schema": {}}}
    body = json.loads(DIALECT.rewrite(read(messages=messages, output_config=shape), Rewrite(0, "Do not.", begun="so")))
    assert body["output_config"] == {"effort": "low"}
    joined = "It is so" if isinstance(content, str) else [*content, {"type": "text", "text": "so"}]
    assert body["messages"] == [messages[0], {"role": "assistant", "content": joined}]


# -- whole answers --


def test_every_block_of_a_whole_answer_is_read() -> None:
    body = whole(
        {"type": "thinking", "thinking": "hm", "signature": "signed"},
        {"type": "redacted_thinking", "data": "data"},
        {"type": "text", "text": "said"},
        {"type": "tool_use", "id": "functions.f:0", "name": "f", "input": {"a": "ü\n"}},
        {"type": "tool_use", "id": "toolu_1", "name": "g", "input": {}},
        stop_sequence="END",
    )
    frame = DIALECT.body(json.dumps(body).encode())
    assert [(piece.channel.name, piece.text) for piece in frame.pieces] == [
        ("thinking", "hm"),
        ("thinking.signature", "signed"),
        ("thinking.data", "data"),
        ("text", "said"),
        ("tool_use[3].id", "functions.f:0"),
        ("tool_use[3].name", "f"),
        ("tool_use[3].input", '{"a":"ü\\n"}'),
        ("tool_use[4].name", "g"),
        ("stop_sequence", "END"),
    ]
    assert frame.usage == {"prompt_tokens": 10, "completion_tokens": 8, "total_tokens": 18}
    assert not frame.changed and frame.ends == frame.choices == (0,)
    given = next(piece for piece in frame.pieces if piece.channel.name == "tool_use[3].input")
    assert given.channel == Channel(0, "tool_use[3].input", True, True, "tool_use[3]")
    frame.say(given, '{"a":""}')
    assert frame.body["content"][3]["input"] == {"a": ""}
    frame.say(given, '{"a":')
    assert frame.body["content"][3]["input"] == {}


def test_a_recount_uses_the_names_that_upstream_used() -> None:
    counts = {**COUNT, "cache_read_input_tokens": 6, "output_tokens_details": {"thinking_tokens": 7}}
    frame = DIALECT.body(json.dumps(whole(usage=counts)).encode())
    assert frame.usage is not None and frame.usage["prompt_tokens"] == 16
    DIALECT.recount(frame, {**frame.usage, "completion_tokens": 3})
    assert frame.body["usage"] == {**COUNT, "output_tokens": 3, "cache_read_input_tokens": 6}


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [("end_turn", "stop"), ("max_tokens", "length"), ("refusal", "content_filter"), (None, "stop")],
)
def test_what_a_whole_answer_says_has_the_usual_names(reason: Any, wanted: str) -> None:
    said = whole({"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"})
    assert DIALECT.said(DIALECT.body(json.dumps({**said, "stop_reason": reason}).encode())) == ("ab", wanted)


# -- streams --


def ending(text: str = "No.", finish_reason: str = "content_filter", paced: bool = False) -> Ending:
    return Ending(0, text, finish_reason, paced=paced)


UNTIL: list[tuple[list[Json], list[str]]] = [
    ([begun()], ["text"]),
    ([begun(), *text(0, "So ")[:1]], ["text"]),
    ([begun(), *text(0, "So ")[:2]], ["text"]),
    ([begun(), *text(0, "So ")], ["text", "text"]),
    ([begun(), *thinking(0, "hm")[:2]], ["thinking", "text"]),
    ([begun(), *thinking(0, "hm")], ["thinking", "text"]),
    ([begun(), *tool(0, "f", "{}")[:1]], ["text"]),
    ([begun(), *text(0, "So "), *tool(1, "f", "", "{}")[:2]], ["text", "text"]),
    ([begun(), *tool(0, "f", "{}")], ["tool_use", "text"]),
    ([begun(), *tool(0, "f", '{"a":', "1}")[:3]], ["tool_use", "text"]),
]


@pytest.mark.parametrize("later", ["nothing", "delta", "all", "done"])
@pytest.mark.parametrize(("before", "kinds"), UNTIL, ids=[str(n) for n in range(len(UNTIL))])
def test_wherever_a_stream_is_stopped_it_stays_well_formed(before: list[Json], kinds: list[str], later: str) -> None:
    stream = telling()
    data = told(stream, *before)
    last = [frame for event in events(encoded(ended())) for frame in stream.read(event)]
    data += stream.end(ending())
    if later in ("delta", "all"):
        (frame,) = (frame for frame in last if frame.usage is not None)
        DIALECT.recount(frame, USAGE)
        data += stream.tell(frame)
    if later in ("all", "done"):
        data += stream.tell(last[-1])
    if later == "done":
        (done,) = stream.read(SseEvent(b"data: [DONE]\n\n", b"[DONE]"))
        data += stream.tell(done).removesuffix(b"data: [DONE]\n\n")
    data += stream.close(USAGE)
    seen = events_of(Got(body=data))
    assert [event["content_block"]["type"] for event in seen if event["type"] == "content_block_start"] == kinds
    assert seen[-2]["delta"] == {"stop_reason": "refusal", "stop_sequence": None}
    assert seen[-2]["usage"] == {"input_tokens": 10, "output_tokens": 0 if later == "done" else 3}
    assert any(event.get("delta", {}).get("text") == "No." for event in seen)


def test_an_answer_that_upstream_was_not_asked_for_is_told_when_its_count_is_known() -> None:
    stream = telling()
    data = stream.open("r1", 1) + stream.end(ending("No. Never again, please.", "stop", paced=True))
    assert data == b""
    seen = events_of(Got(body=stream.close(USAGE)))
    assert seen[0]["message"]["id"] == "chatcmpl-r1"
    assert seen[0]["message"]["usage"] == {"input_tokens": 10, "output_tokens": 0}
    assert [event["delta"]["text"] for event in seen if "text" in event.get("delta", {})] == [
        "No. Never again, ",
        "please.",
    ]
    assert seen[-2]["delta"]["stop_reason"] == "end_turn"
    assert stream.close(USAGE) == b""


def test_a_call_of_a_tool_waits_for_its_input() -> None:
    stream, (start, empty, given, stop) = telling(), tool(0, "f", "", '{"a":1}')
    told(stream, begun())
    assert told(stream, start) == told(stream, empty) == b""
    assert told(stream, given) == encoded([start, empty, given])
    assert told(stream, stop) == encoded([stop])
    start, stop = tool(1, "g")
    assert told(stream, start) == b""
    assert told(stream, stop) == encoded([start, stop])
    start, given, stop = tool(2, "h", "{}")
    assert told(stream, start, *ended()) == encoded([start, stop, *ended()])


def test_a_block_that_upstream_forgot_to_end_is_ended() -> None:
    stream = telling()
    data = told(stream, begun(), *thinking(0, "hm")[:2], *text(1, "So ")[:2], *text(2, "it goes.")[:2], *ended())
    assert len([event for event in events_of(Got(body=data)) if event["type"] == "content_block_stop"]) == 3


@pytest.mark.parametrize(
    "data",
    [
        b"nothing",
        b"[]",
        b'{"type":"message_start"}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
    ],
)
def test_what_no_stream_may_say_is_not_read(data: bytes) -> None:
    with pytest.raises(Unreadable):
        telling().read(SseEvent(b"event: x\ndata: " + data + b"\n\n", data, False, b"x"))


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "type": st.sampled_from(
                    ["content_block_start", "content_block_delta", "content_block_stop", "x y", "ping"]
                )
            },
            optional={
                "index": st.none() | st.integers(-1, 2) | st.text(max_size=2),
                "content_block": st.none()
                | st.fixed_dictionaries({"type": st.sampled_from(["text", "tool_use", "?"])}),
                "delta": st.none() | st.just({"type": "text_delta", "text": "copper"}) | st.just({"type": "other"}),
            },
        ),
        max_size=12,
    )
)
def test_whatever_upstream_sends_blocks_are_numbered_in_a_row(bodies: list[Json]) -> None:
    stream = telling()
    data = told(stream, begun(), *bodies)
    begins = [json.loads(event.data)["index"] for event in events(data) if event.name == b"content_block_start"]
    assert begins == list(range(len(begins)))
    assert b"x y" not in data and b"other" not in data


def test_nothing_is_told_of_an_event_that_no_list_names_and_its_name_may_be_a_text() -> None:
    stream = telling()
    for kind, shown in (("gossip", "gossip"), ("the copper treaty", "event"), (7, "event"), (None, "event")):
        (frame,) = stream.read(SseEvent(b"", orjson.dumps({"type": kind}), False))
        assert (frame.dropped, stream.tell(frame), frame.choices) == ([shown], b"", (0,))
    (frame,) = stream.read(SseEvent(b"", b'{"error":{"message":"x"}}', True))
    assert frame.kind is FrameKind.ERROR
