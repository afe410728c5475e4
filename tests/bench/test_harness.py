"""The measuring instruments: what the mock model server sends is what the load's client reads, byte for byte."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bench.delay import words_held
from bench.harness.client import Connection, Reply, said
from bench.harness.exchanges import Exchange
from bench.harness.load import Target, request
from bench.harness.upstream import DONE, EVENTS, FINISH, Served, piece
from bench.harness.upstream import Connection as Upstream

TEXT = "A first sentence, with “quotes”, \\ and\na line. Ünïcödé 𝔘 🙂 ends it."
BODY = b"".join(piece(TEXT[at : at + 4]) for at in range(0, len(TEXT), 4)) + FINISH + DONE


async def asked(stream: bool) -> Reply:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(Served(["another", TEXT])), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    target = Target(f"http://127.0.0.1:{port}/v1/chat/completions")
    connection = Connection("127.0.0.1", port)
    reply = await connection.ask(1, request(target, Exchange("Say something.", TEXT), 1, stream), 10)
    connection.end()
    server.close()
    return reply


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_read_as_it_was_meant(stream: bool) -> None:
    found = said(await asked(stream), stream)
    assert (found.text, found.finish, found.fault) == (TEXT, "stop", "")
    assert (len(found.pieces) == -(-len(TEXT) // 4)) is stream


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_a_stream_reads_the_same_however_it_is_cut(size: int) -> None:
    class Wire:
        def close(self) -> None:
            pass

    connection: Any = Connection("", 0)
    connection.rest, connection.mode, connection.left, connection.close = b"", "head", 0, False
    connection.reply, connection.transport = Reply(1, 0.0), Wire()
    whole = EVENTS + BODY
    for at in range(0, len(whole), size):
        connection.data_received(whole[at : at + size])
    assert said(connection.reply, True).text == TEXT
    assert connection.reply.ended


def test_a_stream_without_its_end_is_a_fault() -> None:
    cut = Reply(1, 0.0, 1.0, 200, "", [(0.5, b'data: {"choices":[{"index":0,"delta":{"content":"A"}}]}\n\n')])
    assert said(cut, True).fault == "incomplete stream"
    assert not said(cut, True, needs_done=False).fault


def test_words_are_held_from_their_last_letter_until_they_arrive() -> None:
    stream = {"sent": [1.0, 2.0, 3.0], "pieces": [(1.5, 4), (4.0, 8)]}
    assert words_held("one two six.", stream) == ([1, 1, 2], [0, 0])
