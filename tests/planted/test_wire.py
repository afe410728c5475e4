"""A canary outside the JSON of an answer, on the wire to the model server: it does not arrive, and the answer does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.guard.streams import PASSAGE
from tests.planted.answers import plain
from tests.planted.asking import by_choice, events_of
from tests.planted.canary import TOKEN, found
from tests.planted.catalog import ANSWERS
from tests.server.world import Request, Script, Writer, world

Json = bytes
SECRET = f"{TOKEN} {PASSAGE}"


@dataclass(frozen=True)
class Wire:
    """One place. `change` puts the canary between the events; `head` and `tail` around the body."""

    place: str
    change: Callable[[bytes], bytes] = bytes
    reason: str = "OK"
    headers: str = ""
    extension: bytes = b""
    trailer: bytes = b""

    def __str__(self) -> str:
        return self.place


def before_each(line: str, end: str = "\n") -> Callable[[bytes], bytes]:
    """This line before the data of every event."""
    inserted = f"{line}{end}".encode()
    return lambda data: data.replace(b"data: ", inserted + b"data: ")


def between(event: str) -> Callable[[bytes], bytes]:
    """This event after every event."""
    return lambda data: data.replace(b"\n\n", b"\n\n" + event.encode() + b"\n\n")


WIRES = (
    Wire("comment of its own", between(f": {SECRET}")),
    Wire("comments", between(f": {SECRET}\n:{SECRET}\n: ping")),
    Wire("comment in an event", before_each(f": {SECRET}")),
    Wire("comment without a blank", before_each(f":{SECRET}")),
    Wire("id", before_each(f"id: {SECRET}")),
    Wire("retry", before_each(f"retry: {SECRET}")),
    Wire("retry of digits", before_each(f"retry: {''.join(str(ord(c)) for c in TOKEN)}")),
    Wire("unknown line", before_each(f"{TOKEN}: {SECRET}")),
    Wire("line without a colon", before_each(SECRET)),
    Wire("carriage returns", before_each(f": {SECRET}", "\r\n")),
    Wire("name without data", between(f"event: {SECRET}")),
    Wire("id without data", between(f"id: {SECRET}")),
    Wire("bytes that are no text", lambda data: data.replace(b"data: ", b": \xff\xfe" + SECRET.encode() + b"\ndata: ")),
    Wire("after the end", lambda data: data + f": {SECRET}\n\ndata: {json.dumps(SECRET)}\n\n".encode()),
    Wire("unfinished at the end", lambda data: data + f"data: {SECRET}".encode()),
    Wire("status reason", reason=SECRET),
    Wire("headers", headers=f"x-{TOKEN}: {SECRET}\r\nset-cookie: a={TOKEN}\r\nx-request-id: {TOKEN}\r\n"),
    Wire("trailers", trailer=f"x-{TOKEN}: {SECRET}\r\n".encode()),
    Wire("chunk extension", extension=f";{TOKEN}={TOKEN}".encode()),
)
"""The table. What is named `event` is a row where events have no names."""

_TOO_LATE = ("after the end", "unfinished at the end")
NAMED = Wire("event name", before_each(f"event: {SECRET}"))


def says(wire: Wire, data: bytes, content_type: str, size: int) -> Script:
    """The bytes in chunks of this size."""

    async def script(_: Request, writer: Writer) -> None:
        head = f"HTTP/1.1 200 {wire.reason}\r\ncontent-type: {content_type}\r\n{wire.headers}"
        more = "trailer: x\r\n" if wire.trailer else ""
        await writer.raw(f"{head}{more}transfer-encoding: chunked\r\nconnection: close\r\n\r\n".encode())
        for start in range(0, len(data), size):
            part = data[start : start + size]
            await writer.raw(b"%x%s\r\n%s\r\n" % (len(part), wire.extension, part))
        await writer.raw(b"0\r\n" + wire.trailer + b"\r\n")

    return script


@pytest.mark.parametrize(
    ("dialect", "wire"),
    [(name, wire) for name, answers in ANSWERS.items() for wire in (WIRES if answers.named else (*WIRES, NAMED))],
    ids=str,
)
async def test_in_a_stream_nothing_but_events_arrives(dialect: str, wire: Wire) -> None:
    answers = ANSWERS[dialect]
    reference = answers.stream(1)
    for empty in (False, True):
        async with world(empty=empty) as w:
            for size in (1 << 20, 61, 1):
                data = wire.change(answers.encode(reference))
                w.upstream.scripts = [says(wire, data, "text/event-stream", size)]
                got = await w.call(answers.path, answers.asked(True, 1))
                assert got.status == 200
                assert got.complete
                assert not found(got.body + json.dumps(got.headers).encode())
                told = plain(events_of(got))
                if wire.place in _TOO_LATE and answers.named and told[-1]["type"] == "error":
                    told.pop()  # a stream without a last word has no end for what comes too late
                assert by_choice(told) == by_choice(plain(reference))


@pytest.mark.parametrize("dialect", ANSWERS)
@pytest.mark.parametrize("wire", [w for w in WIRES if w.change is bytes], ids=str)
async def test_of_a_whole_answer_nothing_but_its_body_arrives(dialect: str, wire: Wire) -> None:
    answers = ANSWERS[dialect]
    async with world() as w:
        w.upstream.scripts = [says(wire, json.dumps(answers.whole(1)).encode(), "application/json", 33)]
        got = await w.call(answers.path, answers.asked(False, 1))
        assert got.status == 200
        assert not found(got.body + json.dumps(got.headers).encode())
        assert plain(got.json) == plain(answers.whole(1))
