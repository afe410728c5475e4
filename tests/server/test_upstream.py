"""The connections to the model server: used again when that is safe, left at once when it is not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from index.errors import StartRefused
from server.faults import UpstreamFault, UpstreamRefused
from server.observation import UpstreamReason
from server.upstream import Ask, Timeouts, Upstream

ASK = Ask("POST", "/v1/chat/completions", "r1", b"{}", stream=True)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
PATIENT = Timeouts()

Say = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """Says one thing per request, over all connections; None closes instead. The last one is said again and again."""

    says: list[bytes | Say | None]
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) if b"-length" in head else 0
                self.requests.append(head + await reader.readexactly(length))
                said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
                if said is None:
                    break
                if isinstance(said, bytes):
                    writer.write(said)
                else:
                    await said(writer)
        self.closed.set()
        writer.close()


@contextlib.asynccontextmanager
async def upstream(
    *says: bytes | Say | None, timeouts: Timeouts = PATIENT, key: str | None = None
) -> AsyncIterator[tuple[Upstream, Server]]:
    told = Server(list(says))
    listening = await asyncio.start_server(told.serve, "127.0.0.1", 0)
    client = Upstream(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/base", key, timeouts)
    try:
        yield client, told
    finally:
        await client.close()
        listening.close()


async def whole(client: Upstream, ask: Ask = ASK) -> bytes:
    async with client.ask(ask) as answer:
        return await answer.whole()


async def refused(client: Upstream) -> UpstreamReason:
    with pytest.raises(UpstreamFault) as fault:
        await whole(client)
    return fault.value.reason


def closing(data: bytes) -> Say:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    return say


async def test_a_question_goes_out_with_its_own_headers_only() -> None:
    async with upstream(OK, key="secret") as (client, server):
        assert await whole(client) == b"ok"
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        line, *headers = head.decode().split("\r\n")
        assert line == "POST /base/v1/chat/completions HTTP/1.1"
        told = dict(header.split(": ", 1) for header in headers)
        assert told.pop("host").startswith("127.0.0.1:")
        assert told == {
            "accept": "text/event-stream",
            "accept-encoding": "identity",
            "authorization": "Bearer secret",
            "content-length": "2",
            "content-type": "application/json",
            "x-request-id": "r1",
        }
        assert body == b"{}"


async def test_a_connection_is_used_again_only_after_an_answer_was_read_to_its_end() -> None:
    async with upstream(OK) as (client, server):
        for _ in range(3):
            await whole(client)
        assert server.connections == 1
        async with client.ask(ASK):
            pass
        await whole(client)
        assert server.connections == 2


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad", b"rubbish\r\n\r\n", b"\0"])
async def test_what_follows_an_answer_is_given_to_nobody(extra: bytes) -> None:
    async with upstream(OK + extra, OK) as (client, server):
        assert await whole(client) == b"ok"
        assert await whole(client) == b"ok"
        assert server.connections == 2


async def test_what_comes_unasked_closes_the_connection() -> None:
    async def late(writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await asyncio.sleep(0.02)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad")

    async with upstream(late, OK) as (client, server):
        assert await whole(client) == b"ok"
        await asyncio.sleep(0.05)
        assert await whole(client) == b"ok"
        assert server.connections == 2


async def test_a_kept_connection_that_was_just_closed_costs_nobody_an_answer() -> None:
    async with upstream(OK, None, OK) as (client, server):
        assert await whole(client) == b"ok"
        assert await whole(client) == b"ok"
        assert server.connections == 2


async def test_a_new_connection_that_closes_is_not_asked_again() -> None:
    async with upstream(None) as (client, server):
        assert await refused(client) is UpstreamReason.CLOSED
        assert len(server.requests) == 1


async def test_an_answer_that_began_is_not_asked_for_again() -> None:
    async with upstream(OK, closing(b"HTTP/1.1 200"), OK) as (client, server):
        await whole(client)
        assert await refused(client) is UpstreamReason.CLOSED
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (closing(CHUNKED + b"5\r\nab"), UpstreamReason.CLOSED),
        (closing(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"), UpstreamReason.CLOSED),
        (b"nonsense\r\n\r\n", UpstreamReason.PROTOCOL),
        (CHUNKED + b"zz\r\n", UpstreamReason.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000, UpstreamReason.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx", UpstreamReason.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nxx", UpstreamReason.PROTOCOL),
        (b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", UpstreamReason.PROTOCOL),
    ],
)
async def test_an_answer_that_cannot_be_read_is_a_fault(said: bytes | Say, reason: UpstreamReason) -> None:
    async with upstream(said) as (client, server):
        assert await refused(client) is reason
        async with asyncio.timeout(1):
            await server.closed.wait()


@pytest.mark.parametrize(
    "said",
    [
        closing(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK,
        CHUNKED + b"1\r\no\r\n1;x=y\r\nk\r\n" + b"0\r\ntrailer: x\r\n\r\n",
    ],
)
async def test_answers_come_in_several_ways(said: bytes | Say) -> None:
    async with upstream(said) as (client, _):
        assert await whole(client) == b"ok"


async def test_an_answer_is_read_the_same_however_its_bytes_arrive() -> None:
    async def slowly(writer: asyncio.StreamWriter) -> None:
        for byte in CHUNKED + b"4\r\nab\r\n\r\n2\r\n\r\n\r\n" + END:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)

    async with upstream(slowly) as (client, server):
        assert [await whole(client) for _ in range(2)] == [b"ab\r\n\r\n"] * 2
        assert server.connections == 1


async def test_a_silent_server_is_left() -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + b"2\r\nok\r\n")

    async def nothing(_: asyncio.StreamWriter) -> None:
        return

    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        while not writer.is_closing():
            writer.write(b"2\r\nok\r\n")
            await asyncio.sleep(0.02)

    async with upstream(silent, timeouts=Timeouts(idle=0.05)) as (client, server):
        assert await refused(client) is UpstreamReason.IDLE
        await server.closed.wait()
    async with upstream(nothing, timeouts=Timeouts(first_byte=0.05)) as (client, server):
        assert await refused(client) is UpstreamReason.TIMEOUT
        await server.closed.wait()
    async with upstream(endless, timeouts=Timeouts(total=0.1, idle=0.05)) as (client, _):
        assert await refused(client) is UpstreamReason.TIMEOUT


async def test_a_reader_that_takes_its_time_is_no_silence_of_the_server() -> None:
    async def twice(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + b"2\r\nok\r\n")
        await asyncio.sleep(0.25)
        writer.write(b"2\r\nok\r\n" + END)

    async with upstream(twice, timeouts=Timeouts(idle=0.15)) as (client, _), client.ask(ASK) as answer:
        assert await answer.read() == b"ok"
        await asyncio.sleep(0.2)
        assert await answer.whole() == b"ok"


async def test_leaving_an_answer_closes_its_connection_at_once() -> None:
    async def first(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + b"2\r\nok\r\n")

    async with upstream(first) as (client, server):
        async with client.ask(ASK) as answer:
            assert await answer.read() == b"ok"
        async with asyncio.timeout(1):
            await server.closed.wait()


async def test_a_slow_reader_makes_the_server_wait() -> None:
    sent = 0

    async def much(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(CHUNKED)
        for _ in range(64):
            writer.write(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
            await writer.drain()
            sent += 0x100000
        writer.write(END)

    async with upstream(much) as (client, _), client.ask(ASK) as answer:
        size = len(await answer.read())
        await asyncio.sleep(0.2)
        assert sent < 0x100000 * 32  # what the sockets hold, and no more
        while data := await answer.read():
            size += len(data)
        assert size == 0x100000 * 64


async def test_an_error_is_told_with_its_status_and_is_no_longer_than_it_may_be() -> None:
    late = b"HTTP/1.1 429 X\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}"
    long = b"HTTP/1.1 500 X\r\ncontent-length: 100000\r\n\r\n" + b"x" * 100_000
    async with upstream(late, long) as (client, server):
        with pytest.raises(UpstreamRefused) as fault:
            await whole(client)
        assert (fault.value.status, fault.value.body, fault.value.retry_after) == (429, b"{}", "7")
        assert await refused(client) is UpstreamReason.PROTOCOL
        assert server.connections == 1


async def test_a_key_that_no_header_can_carry_is_an_error_at_start() -> None:
    with pytest.raises(StartRefused):
        Upstream("http://127.0.0.1:1", "a\r\nb: c", Timeouts())
