"""A mock OpenAI-compatible model server that costs next to nothing: one process, a raw asyncio protocol.

    python -m bench.harness.upstream --port 9000 --texts FILE

POST /v1/chat/completions answers with the text whose number the prompt ends with, `(request 17)`: whole, or, when the
body asks for a stream, as a role event, one event per piece of four characters (one write each, at fixed times), a
finish event and `[DONE]`. `GET /_ctl?pause_ms=10&log=1` sets the pause between pieces and whether the times of sending
are kept, `GET /_sent` hands them out: `{number: [seconds on the monotonic clock]}`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import uvloop

from bench.harness.exchanges import read

PIECE = 4
NUMBER = re.compile(rb"\(request (\d+)\)")
STREAM = re.compile(rb'"stream"\s*:\s*true')
USAGE = re.compile(rb'"include_usage"\s*:\s*true')
LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection:\s*close", re.IGNORECASE)
SAME = {"id": "chatcmpl-mock0001", "created": 1700000000, "model": "mock"}
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


def whole(body: object, status: bytes = b"200 OK") -> bytes:
    """A complete answer with a JSON body."""
    data = orjson.dumps(body)
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (status, len(data), data)


def frame(data: bytes) -> bytes:
    """A server-sent event in a chunk of its own."""
    event = b"data: " + data + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return frame(orjson.dumps({**SAME, "object": "chat.completion.chunk", "choices": [choice]}))


ROLE, FINISH, DONE = event({"role": "assistant", "content": ""}), event({}, "stop"), frame(b"[DONE]") + b"0\r\n\r\n"
MODELS = whole({"object": "list", "data": [{"id": "mock", "object": "model", "owned_by": "mock"}]})
SAMPLE = event({"content": "@"})
BEFORE, AFTER = SAMPLE[SAMPLE.index(b"{") : SAMPLE.index(b"@")], SAMPLE[SAMPLE.index(b"@") + 1 : -2]


def piece(text: str) -> bytes:
    """The event of a piece of text."""
    data = b"data: " + BEFORE + orjson.dumps(text)[1:-1] + AFTER
    return b"%x\r\n%b\r\n" % (len(data), data)


class Served:
    """What is served, and how. `sent` holds the times of sending by number, while they are kept."""

    def __init__(self, texts: list[str]) -> None:
        self.texts, self.pause, self.log = texts, 0.0, False
        self.sent: dict[str, list[float]] = {}

    def answer(self, text: str) -> bytes:
        """The whole answer."""
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        body = {**SAME, "object": "chat.completion", "choices": [{**choice, "logprobs": None}]}
        return whole({**body, "usage": self.usage(text)})

    def usage(self, text: str) -> dict[str, int]:
        """Tokens, where a token is a piece."""
        tokens = -(-len(text) // PIECE)
        return {"prompt_tokens": 25, "completion_tokens": tokens, "total_tokens": 25 + tokens}

    def other(self, path: str) -> bytes:
        """Everything but completions."""
        if path.startswith("/v1/models"):
            return MODELS
        if path in ("/health", "/v1/health"):
            return whole({"status": "ok"})
        if path == "/_sent":
            sent, self.sent = self.sent, {}
            return whole(sent)
        if path.startswith("/_ctl?"):
            for key, _, value in (pair.partition("=") for pair in path.partition("?")[2].split("&")):
                if key == "pause_ms":
                    self.pause = float(value) / 1000
                elif key == "log":
                    self.log = value == "1"
            return whole({"pause_s": self.pause, "log": self.log})
        return whole({"error": {"message": "not found"}}, b"404 Not Found")


class Connection(asyncio.Protocol):
    """One connection: requests one after the other."""

    def __init__(self, served: Served) -> None:
        self.served, self.rest, self.closed = served, b"", False
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side went away: end its stream."""
        self.closed = True
        if self.task:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self.rest += data
        while self.task is None and self.rest and self.one():
            pass

    def one(self) -> bool:
        """Answer the request at the front, if it is complete."""
        end = self.rest.find(b"\r\n\r\n")
        if end < 0:
            return False
        head, at = self.rest[:end], end + 4
        found = self.body(head, at)
        if found is None:
            return False
        body, stop = found
        self.rest = self.rest[stop:]
        method, path, _ = head[: head.find(b"\r\n")].split(b" ", 2)
        if method == b"POST" and path.startswith(b"/v1/chat/completions"):
            numbers = NUMBER.findall(body)
            number = int(numbers[-1]) if numbers else 0
            text = self.served.texts[number % len(self.served.texts)]
            if STREAM.search(body):
                self.task = asyncio.ensure_future(self.stream(number, text, bool(USAGE.search(body))))
                return False
            self.transport.write(self.served.answer(text))
        else:
            self.transport.write(self.served.other(path.decode()))
        if CLOSE.search(head):
            self.transport.close()
        return True

    def body(self, head: bytes, at: int) -> tuple[bytes, int] | None:
        """The body that begins at `at`, and where it ends; None while it is incomplete."""
        length = LENGTH.search(head)
        if length:
            stop = at + int(length[1])
            return (self.rest[at:stop], stop) if len(self.rest) >= stop else None
        parts: list[bytes] = []
        while CHUNKED.search(head):
            line = self.rest.find(b"\r\n", at)
            size = int(self.rest[at:line].split(b";")[0], 16) if line >= 0 else 0
            if line < 0 or len(self.rest) < line + size + 4:
                return None
            parts.append(self.rest[line + 2 : line + 2 + size])
            at = line + size + 4
            if not size:
                break
        return b"".join(parts), at

    async def stream(self, number: int, text: str, usage: bool) -> None:
        """Send a text piece by piece. The times are fixed: one late wake-up does not put off all later pieces."""
        served, write = self.served, self.transport.write
        times: list[float] = []
        write(EVENTS + ROLE)
        due = time.monotonic()
        for at in range(0, len(text), PIECE):
            due += served.pause
            await asyncio.sleep(max(0.0, due - time.monotonic()) if served.pause else 0)
            if served.log:
                times.append(time.monotonic())
            write(piece(text[at : at + PIECE]))
        write(FINISH)
        if usage:
            use = {**SAME, "object": "chat.completion.chunk", "choices": [], "usage": served.usage(text)}
            write(frame(orjson.dumps(use)))
        write(DONE)
        if served.log:
            served.sent[str(number)] = times
        self.task = None
        if not self.closed and self.rest:
            self.data_received(b"")


async def serve(port: int, texts: list[str]) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    served, stop = Served(texts), asyncio.Event()
    server = await loop.create_server(lambda: Connection(served), "127.0.0.1", port, backlog=1024)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    print(f"mock model server on port {port}, {len(texts)} texts", file=sys.stderr, flush=True)
    await stop.wait()
    server.close()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--texts", type=Path, required=True, help="what bench.harness.exchanges.write wrote")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, [exchange.text for exchange in read(arguments.texts)]))


if __name__ == "__main__":
    main()
