"""Server-sent events are read the same however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.dialects.sse import SseBroken, SseComment, SseEvent, SseReader

ENDS = ["\n", "\r\n", "\r"]


def read(data: bytes, cuts: list[int]) -> tuple[list[SseEvent | SseComment], bool]:
    reader = SseReader()
    events: list[SseEvent | SseComment] = []
    places = [0, *sorted(cuts), len(data)]
    for start, end in pairwise(places):
        events += reader.feed(data[start:end])
    return [*events, *reader.end()], reader.pending


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes | None]]:
    """Bytes, and the data of each event in them; None for a comment."""
    out, told = "", []
    for _ in range(draw(st.integers(0, 5))):
        end = draw(st.sampled_from(ENDS))
        kind = draw(st.sampled_from(["plain", "tight", "lines", "fields", "comment"]))
        text = draw(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8))
        lines = {
            "plain": [f"data: {text}"],
            "tight": [f"data:x{text}"],
            "lines": [f"data: {text}", "data: more"],
            "fields": ["event: e", f"data: {text}", "id: 5", ": said"],
            "comment": [f": {text}"],
        }[kind]
        out += "".join(line + end for line in lines) + end
        data = {"tight": f"x{text}", "lines": f"{text}\nmore", "comment": None}.get(kind, text)
        told.append(None if data is None else data.encode())
    return out.encode(), told


@given(streams(), st.data())
def test_cuts_change_nothing_and_events_keep_their_bytes(
    made: tuple[bytes, list[bytes | None]], draw: st.DataObject
) -> None:
    data, told = made
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=10))
    whole, pending = read(data, [])
    assert [event.data if isinstance(event, SseEvent) else None for event in whole] == told
    assert not pending
    assert read(data, cuts) == (whole, False)
    assert read(data, list(range(len(data)))) == (whole, False)
    assert all(event.raw in data for event in whole if isinstance(event, SseEvent))


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (b"data: {}\n\n", True),
        (b"data:{}\r\n\r\n", True),
        (b"data: {\ndata: }\n\n", True),
        (b"event: x\ndata: {}\n\n", False),
        (b"data: {}\n: said\n\n", False),
        (b"data: {}\nretry: 5\n\n", False),
        (b"data: {}\nsurprise\n\n", False),
    ],
)
def test_an_event_with_anything_beside_data_is_not_plain(raw: bytes, plain: bool) -> None:
    (event,) = SseReader().feed(raw)
    assert isinstance(event, SseEvent)
    assert event.plain is plain
    assert event.raw == raw


def test_an_event_without_its_end_is_discarded_and_pending() -> None:
    reader = SseReader()
    assert reader.feed(b"data: {}\n") == []
    assert reader.end() == []
    assert reader.pending


def test_an_endless_event_is_refused() -> None:
    reader = SseReader(longest=100)
    with pytest.raises(SseBroken):
        for _ in range(20):
            reader.feed(b"data: xxxxxxxx")
