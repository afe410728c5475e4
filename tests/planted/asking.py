"""One answer with something planted in it, asked for as a client would, cut in every way that a test wants."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from tests.planted.answers import Json
from tests.planted.catalog import ANSWERS
from tests.planted.paths import holds, planted, read, steps
from tests.planted.table import Row
from tests.server.world import Got, World


def _parent(path: str) -> str:
    """The object that holds a place."""
    return path.rpartition(".")[0]


def carriers(row: Row, events: Sequence[Json], choice: int) -> list[int]:
    """Numbers of the events of a stream in which the field of this row is, or could be."""
    about = [
        number
        for number, event in enumerate(events)
        if (not row.event or event.get("type") == row.event) and _about(event, choice, row.at(True))
    ]
    exact = [number for number in about if holds(events[number], row.at(True))]
    parent = _parent(row.at(True))
    could = [number for number in about if not parent or holds(events[number], parent)]
    return exact or could


def _about(event: Json, choice: int, path: str) -> bool:
    choices = event.get("choices")
    if not path.startswith("choices") or choices is None:
        return True
    return bool(choices) and choices[0]["index"] == choice


def in_stream(row: Row, value: Any, choice: int, choices: int) -> list[Json]:
    """The events of a stream, with this value in the place of the row, once."""
    events = ANSWERS[row.dialect].stream(choices)
    number = carriers(row, events, choice)[0]
    events[number] = planted(events[number], row.at(True), value)
    return events


def spoken_in_stream(row: Row, parts: Sequence[str], choice: int, choices: int) -> list[Json]:
    """The events of a stream, with events before the first of that channel that say these parts."""
    events = ANSWERS[row.dialect].stream(choices)
    numbers = carriers(row, events, choice)
    if ANSWERS[row.dialect].repeats:
        before = "".join(read(events[number], row.at(True)) for number in numbers)
        events = [_retold(event, before, "".join(parts) + before) for event in events]
    number = numbers[0]
    return [*events[:number], *(planted(events[number], row.at(True), part) for part in parts), *events[number:]]


def _retold(value: Any, before: str, after: str) -> Any:
    """JSON in which this text is another."""
    if isinstance(value, dict):
        return {key: _retold(item, before, after) for key, item in value.items()}
    if isinstance(value, list):
        return [_retold(item, before, after) for item in value]
    return after if value == before else value


def in_whole(row: Row, value: Any, choice: int, choices: int) -> Json:
    """A whole answer with this value in the place of the row."""
    path = row.at(False)
    if path.startswith("choices[]"):
        path = path.replace("choices[]", f"choices[{choice}]", 1)
    return planted(ANSWERS[row.dialect].whole(choices), path, value)


def without(body: Any, path: str) -> Any:
    """A copy of the body without that field."""
    body = copy.deepcopy(body)
    *before, last = steps(path)
    at = body
    for step in before:
        at = at[step]
    if isinstance(at, dict):
        at.pop(last, None)
    return body


def cuttings(data: bytes) -> Iterator[Sequence[int]]:
    """Whole, and every byte alone."""
    yield ()
    yield range(1, len(data))


async def ask(w: World, dialect: str, data: bytes, cuts: Sequence[int], stream: bool, choices: int = 1) -> Got:
    """What a client gets when upstream says this."""
    upstream: Any = w.upstream
    upstream.data, upstream.cuts = data, cuts
    answers = ANSWERS[dialect]
    got = await w.call(answers.path, answers.asked(stream, choices))
    assert got.complete
    return got


def events_of(got: Got) -> list[Any]:
    """The data of a stream's events, without the last word."""
    out = []
    for event in got.body.decode().split("\n\n"):
        for line in event.splitlines():
            if line.startswith("data: ") and line != "data: [DONE]":
                out.append(json.loads(line.removeprefix("data: ")))
    return out


def split(text: str, places: Sequence[int]) -> list[str]:
    """A text cut at these places."""
    inner = sorted({place for place in places if 0 < place < len(text)})
    return [text[start:end] for start, end in pairwise([0, *inner, len(text)])]


def by_choice(events: Sequence[Json]) -> list[Json]:
    """The events in the order of their choices, which do not wait for each other; then what is about all of them."""
    return sorted(events, key=lambda event: (event.get("choices") or [{"index": 99}])[0].get("index", 0))
