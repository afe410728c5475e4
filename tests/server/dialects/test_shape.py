"""An event that is read by its shape is read as it would be in full, whatever it holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.dialects import DIALECTS
from server.dialects.dialect import Dialect, Frame, Unreadable, encode_frame
from server.dialects.shape import Shapes
from server.dialects.sse import SseEvent, SseReader

CHAT, COMPLETIONS = DIALECTS[:2]
ODD = ["", "m", 'a "quoted" word', "back\\slash", '"},"logprobs":null}]}', "\n\n", "data: {}", "\u2028\x7f", "\ud83d"]
TEXTS = st.one_of(st.text(max_size=12), st.sampled_from(ODD))


def event(text: str, dialect: Dialect = CHAT, ascii_only: bool = False, **more: Any) -> bytes:
    said: dict[str, Any] = {"delta": {"content": text}} if dialect is CHAT else {"text": text}
    said |= more.pop("choice", {})
    entry = {"index": more.pop("index", 0), **said, "logprobs": None, "finish_reason": more.pop("finish", None)}
    body = {"id": "c-1", "object": "chunk", "created": 1, "model": "m", "choices": [entry], **more}
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=ascii_only)
    return b"data: " + text.encode("utf-8", "surrogatepass") + b"\n\n"


def in_full(dialect: Dialect, raw: bytes) -> Frame | None:
    """The only frame of the only event in these bytes, or None."""
    try:
        (found,) = SseReader().feed(raw)
        assert isinstance(found, SseEvent)
        (frame,) = dialect.event(found)
    except (ValueError, Unreadable):
        return None
    return frame


def learned(dialect: Dialect, raw: bytes) -> Shapes:
    shapes = Shapes(dialect.event)
    for found in SseReader().feed(raw):
        assert isinstance(found, SseEvent)
        shapes.learn(found, dialect.event(found))
    return shapes


def assert_same(dialect: Dialect, shapes: Shapes, raw: bytes) -> bool:
    """True when the event at the front of `raw` was read by its shape; then it was read as in full."""
    found = shapes.find(raw)
    if found is None:
        return False
    shape, text, end, usage = found
    frame, full = shapes.frame(raw[:end], shape, text, usage), in_full(dialect, raw[:end])
    assert full is not None
    assert not full.changed
    assert not full.dropped
    assert (frame.kind, frame.choices, frame.ends, frame.usage) == (full.kind, full.choices, full.ends, full.usage)
    assert [(p.channel, p.text, p.key) for p in frame.pieces] == [(p.channel, p.text, p.key) for p in full.pieces]
    assert encode_frame(frame) == encode_frame(full)
    frame.say(frame.pieces[0], "[redacted]")
    full.say(full.pieces[0], "[redacted]")
    assert frame.body == full.body
    assert encode_frame(frame) == encode_frame(full)
    return True


@given(st.sampled_from((CHAT, COMPLETIONS)), TEXTS, TEXTS, st.booleans(), st.binary(max_size=40))
def test_a_text_in_a_known_shape_is_read_as_in_full(
    dialect: Dialect, first: str, then: str, ascii_only: bool, behind: bytes
) -> None:
    shapes = Shapes(dialect.event)
    for text in (first, "Rain "):  # the second one always gives a shape
        (found,) = SseReader().feed(event(text.replace("\ud83d", ""), dialect, ascii_only))
        assert isinstance(found, SseEvent)
        shapes.learn(found, dialect.event(found))
    assert_same(dialect, shapes, event(then, dialect, ascii_only) + behind)
    assert assert_same(dialect, shapes, event("falls", dialect, ascii_only) + behind)


@given(st.data())
def test_bytes_that_were_tampered_with_are_read_as_in_full_or_not_by_their_shape(draw: st.DataObject) -> None:
    raw = event("Rain falls")
    shapes = learned(CHAT, raw)
    changed = bytearray(raw)
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(changed)))
        piece = draw.draw(
            st.sampled_from([b'"', b"\\", b",", b'","content":"x', b"}", b"\n", b"\r", b"\xff", b"\\u0022"])
        )
        cut = draw.draw(st.integers(0, 3))
        changed[at : at + cut] = piece
    assert_same(CHAT, shapes, bytes(changed))


@pytest.mark.parametrize(
    "more",
    [
        {"finish": "stop"},
        {"usage": {"prompt_tokens": 1, "completion_tokens": "1", "total_tokens": 2}},
        {"usage": {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}}},
        {"usage": {"prompt_tokens": 1}, "service_tier": None},
        {"surprise": 1},
        {"choice": {"delta": {"content": "Rain", "reasoning": "hm"}}},
        {"choice": {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "Rain"}}]}}},
        {"model": "Rain"},
        {"choice": {"stop_reason": "Rain"}},
    ],
)
def test_an_event_with_more_to_look_at_gives_no_shape(more: dict[str, Any]) -> None:
    raw = event("Rain", **more)
    assert learned(CHAT, raw).find(raw) is None


def test_each_choice_and_channel_has_a_shape_of_its_own() -> None:
    events = [
        event("Rain", index=n, choice={"delta": {name: "Rain"}}) for n in (0, 1) for name in ("content", "reasoning")
    ]
    shapes = Shapes(CHAT.event)
    for raw in events:
        (found,) = SseReader().feed(raw)
        assert isinstance(found, SseEvent)
        shapes.learn(found, CHAT.event(found))
    assert all(assert_same(CHAT, shapes, raw) for raw in events)


def test_the_head_of_another_stream_does_not_fit() -> None:
    shapes = learned(CHAT, event("Rain"))
    assert shapes.find(event("Rain").replace(b"c-1", b"c-2")) is None


def test_an_empty_text_and_a_text_that_does_not_end_are_read_in_full() -> None:
    shapes = learned(CHAT, event("Rain"))
    assert shapes.find(event("")) is None
    assert shapes.find(event("Rain falls")[:-1]) is None


@pytest.mark.parametrize("usage", [{}, {"usage": {"prompt_tokens": 9}}])
def test_an_event_that_is_not_complete_waits_for_the_rest(usage: dict[str, Any]) -> None:
    raw = event("Rain falls", **usage)
    shapes = learned(CHAT, raw)
    assert shapes.find(raw) is not None
    assert [end for end in range(len(raw)) if shapes.find(raw[:end]) is not None] == []


def test_a_text_that_also_stands_elsewhere_gives_no_shape() -> None:
    raw = event("Rain", model="Rain").replace(b'"content":"Rain"', b'"content":"\\u0052ain"')
    assert in_full(CHAT, raw)
    assert learned(CHAT, raw).find(raw.replace(b'"model":"Rain"', b'"model":"Snow"')) is None


def counted(done: int, text: str = "Rain") -> bytes:
    return event(text, usage={"prompt_tokens": 9, "total_tokens": 9 + done, "completion_tokens": done})


@given(TEXTS, st.integers(0, 10**12), st.binary(max_size=30))
def test_a_running_count_is_read_as_in_full(text: str, done: int, behind: bytes) -> None:
    shapes = learned(CHAT, counted(1))
    raw = counted(done, text)
    assert_same(CHAT, shapes, raw + behind)
    assert assert_same(CHAT, shapes, counted(done) + behind)


@pytest.mark.parametrize("said", [False, True])
def test_a_count_that_nobody_wants_is_left_out_of_the_bytes_and_of_the_body(said: bool) -> None:
    shapes = learned(CHAT, counted(1))
    found = shapes.find(counted(2))
    assert found is not None
    shape, text, _, usage = found
    frame, full = shapes.frame(counted(2), shape, text, usage), in_full(CHAT, counted(2))
    assert full is not None
    for each in (frame, full):
        if said:
            each.say(each.pieces[0], "[redacted]")
        CHAT.forget_usage(each)
    assert encode_frame(frame) == encode_frame(full)
    assert b"usage" not in encode_frame(frame)
    assert "usage" not in frame.body
    assert frame.usage == full.usage == {"prompt_tokens": 9, "total_tokens": 11, "completion_tokens": 2}


@pytest.mark.parametrize(
    "usage", [{}, {"prompt_tokens": "many"}, {"prompt_tokens": True}, {"prompt_tokens": 1, "words": "said"}, [1], None]
)
def test_another_count_is_read_in_full(usage: Any) -> None:
    shapes = learned(CHAT, event("Rain", usage={"prompt_tokens": 1}))
    assert shapes.find(event("Rain", usage={"prompt_tokens": 2})) is not None
    assert shapes.find(event("Rain", usage=usage)) is None
