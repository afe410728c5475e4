"""What holds for any bytes that a model server sends."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from guard.policy import Streaming
from guard.verdict import Action
from server.dialects import DIALECTS
from server.dialects.dialect import Frame, Unreadable
from server.dialects.shape import Shapes
from server.dialects.sse import SseComment, SseEvent, SseReader
from server.observation import RequestObserved, RequestOutcome
from tests.fuzz.grammar import body_of, cuts_of, stream_of
from tests.planted.answers import GROWS, heard
from tests.planted.asking import ask, split
from tests.planted.canary import found
from tests.planted.catalog import ANSWERS
from tests.planted.world import pieces_world
from tests.server.world import Got

_RUN = 4  # what the small world looks for
_NAMES = 8  # a run of a passage that is too long for a name
_BY_NAME = {dialect.name: dialect for dialect in DIALECTS}


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes as the network brings them."""
    return [part.encode("latin-1") for part in split(data.decode("latin-1"), cuts)]


def read_events(pieces: list[bytes]) -> list[SseEvent | SseComment]:
    """The events in these bytes."""
    reader = SseReader()
    out: list[SseEvent | SseComment] = []
    for piece in pieces:
        out += reader.feed(piece)
    return out + reader.end()


def check_events_do_not_depend_on_cuts(draw: Random) -> None:
    """Where the network cuts changes no event."""
    answers = ANSWERS[draw.choice(tuple(ANSWERS))]
    data = stream_of(answers, draw, 1)
    whole = read_events([data])
    for cuts in (cuts_of(data, draw), list(range(1, len(data)))):
        assert read_events(pieces_of(data, cuts)) == whole
    assert all(event.raw in data for event in whole if isinstance(event, SseEvent))


def _told(frame: Frame) -> dict[str, Any]:
    pieces = [(piece.channel, piece.text, piece.key) for piece in frame.pieces]
    kept = {"kind": frame.kind, "choices": frame.choices, "ends": frame.ends, "usage": frame.usage}
    return {**kept, "pieces": pieces, "changed": frame.changed, "dropped": frame.dropped, "body": frame.body}


def check_the_fast_path_reads_what_the_full_one_reads(draw: Random) -> None:
    """An event that is read by its shape is read as if in full, and cut where it ends."""
    answers = ANSWERS[draw.choice(tuple(ANSWERS))]
    dialect = _BY_NAME[answers.dialect]
    asked = dialect.read(json.dumps(answers.asked(True, 1)).encode())
    telling, beside = dialect.telling(asked), dialect.telling(asked)
    shapes = Shapes(telling.read)
    events = [event for event in read_events([stream_of(answers, draw, 1)]) if isinstance(event, SseEvent)]
    for event in events + events[: draw.randint(0, len(events))]:
        try:
            full = beside.read(event)
        except Unreadable:
            full = None
        known = shapes.find(event.raw + b"data: ")
        if known is not None:
            shape, text, end, usage = known
            assert full is not None and len(full) == 1
            assert end == len(event.raw)
            assert _told(shapes.frame(event.raw, shape, text, usage)) == _told(full[0])
        elif full is not None:
            shapes.learn(event, telling.read(event))


async def check_nothing_forgotten_leaves_and_nothing_breaks(draw: Random) -> None:
    """Whatever comes: an answer or a declared fault, in bounded time, without what is forgotten."""
    answers = ANSWERS[draw.choice(tuple(ANSWERS))]
    choices = draw.randint(1, answers.most_choices)
    stream = draw.random() < 0.8
    data = stream_of(answers, draw, choices) if stream else body_of(answers, draw, choices)
    action = draw.choice((Action.BLOCK, Action.REDACT))
    streaming = draw.choice(tuple(Streaming))
    async with pieces_world(action, streaming) as w:
        got = await ask(w, answers.dialect, data, cuts_of(data, draw), stream, choices)
        seen = w.notebook.of(RequestObserved)
    assert [one.outcome for one in seen if one.outcome is RequestOutcome.ERROR] == [], data
    assert b"internal_error" not in got.body
    assert got.status in (200, 400, 502, 503), got.status
    assert not found(got.body, _NAMES, glued=False), data
    for path, text in heard(_told_to(got, stream)).items():
        # the events of one text, where they have types, tell its place in ways that a broken stream contradicts
        if isinstance(text, str) and path.rsplit(".", 1)[-1].startswith(GROWS) and "content_block_start" not in path:
            assert not found(text.encode(), _RUN if answers.named else 0, glued=False), data


def _told_to(got: Got, stream: bool) -> list[Any]:
    """What a client reads: JSON, or events of JSON. Anything else is a failure."""
    got.body.decode()
    if not stream or got.status != 200:
        return [json.loads(got.body)]
    events = [event.data for event in read_events([got.body]) if isinstance(event, SseEvent)]
    return [json.loads(data) for data in events if data != b"[DONE]"]
