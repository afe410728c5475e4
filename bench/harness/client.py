"""A keep-alive HTTP/1.1 client that costs little: it notes when each piece of a body arrives and reads it later."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Any

import orjson

LENGTH = re.compile(rb"content-length:\s*(\d+)")


@dataclass(slots=True)
class Reply:
    """A response as it arrived. Times are seconds on the monotonic clock; `parts` are pieces of the body."""

    number: int
    began: float
    ended: float = 0.0
    status: int = 0
    fault: str = ""
    parts: list[tuple[float, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Said:
    """What a reply says: pieces of text with their times of arrival, and how it ended."""

    pieces: list[tuple[float, str]]
    finish: str
    fault: str

    @property
    def text(self) -> str:
        """All pieces."""
        return "".join(text for _, text in self.pieces)


def said(reply: Reply, stream: bool, needs_done: bool = True) -> Said:
    """Read a reply. A fault is anything but a complete answer."""
    if reply.fault or reply.status != 200:
        return Said([], "", reply.fault or f"status {reply.status}")
    try:
        if not stream:
            choice = orjson.loads(b"".join(part for _, part in reply.parts))["choices"][0]
            return Said([(reply.ended, choice["message"]["content"] or "")], choice.get("finish_reason") or "", "")
        return _streamed(reply, needs_done)
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError) as cause:
        return Said([], "", f"unreadable: {type(cause).__name__}")


def _streamed(reply: Reply, needs_done: bool) -> Said:
    pieces: list[tuple[float, str]] = []
    finish, rest, done = "", b"", False
    for when, part in reply.parts:
        *events, rest = (rest + part).replace(b"\r\n", b"\n").split(b"\n\n")
        for event in events:
            for line in event.split(b"\n"):
                if not line.startswith(b"data:"):
                    continue
                if line[5:].strip() == b"[DONE]":
                    done = True
                    continue
                event_in = orjson.loads(line[5:])
                if "error" in event_in:
                    return Said(pieces, finish, "error event")
                for choice in event_in.get("choices") or ():
                    finish = choice.get("finish_reason") or finish
                    if text := (choice.get("delta") or {}).get("content"):
                        pieces.append((when, text))
    complete = pieces and (done or not needs_done)
    return Said(pieces, finish, "" if complete else "incomplete stream")


class Connection(asyncio.Protocol):
    """One connection to a server; `ask` sends a request and waits for the end of its response."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.transport: Any = None
        self.future: asyncio.Future[None] | None = None

    async def ask(self, number: int, request: bytes, patience: float) -> Reply:
        """Send a request. A connection that breaks, and a response that takes too long, are faults of the reply."""
        loop = asyncio.get_running_loop()
        self.rest, self.mode, self.left, self.close = b"", "head", 0, False
        self.reply = Reply(number, time.monotonic())
        try:
            if self.transport is None:
                await loop.create_connection(lambda: self, self.host, self.port)
            self.future = loop.create_future()
            self.reply.began = time.monotonic()
            self.transport.write(request)
            await asyncio.wait_for(self.future, patience)
        except (OSError, TimeoutError) as cause:
            self.reply.fault = type(cause).__name__
            self.end()
        self.reply.ended = self.reply.ended or time.monotonic()
        if self.close:
            self.end()
        return self.reply

    def end(self) -> None:
        """Close the connection."""
        if self.transport is not None:
            self.transport.close()
        self.transport = None

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The server went away: where the length was not told, that is how a response ends."""
        self.transport = None
        if self.future and not self.future.done():
            if self.mode != "to the end":
                self.reply.fault = "connection lost"
            self._done(time.monotonic())

    def _done(self, when: float) -> None:
        self.reply.ended = when
        if self.future and not self.future.done():
            self.future.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Take what arrived apart into head and body."""
        when = time.monotonic()
        data = self.rest + data if self.rest else data
        self.rest = b""
        if self.mode == "head":
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.rest = data
                return
            self._head(data[:end].lower())
            data = data[end + 4 :]
        if self.mode == "chunks":
            self._chunks(data, when)
            return
        if data:
            self.reply.parts.append((when, data))
        self.left -= len(data)
        if self.mode == "length" and self.left <= 0:
            self._done(when)

    def _head(self, head: bytes) -> None:
        self.reply.status = int(head[9:12])
        self.close = b"connection: close" in head
        length = LENGTH.search(head)
        if b"transfer-encoding: chunked" in head:
            self.mode = "chunks"
        elif length:
            self.mode, self.left = "length", int(length[1])
        else:
            self.mode = "to the end"

    def _chunks(self, data: bytes, when: float) -> None:
        at = 0
        while (line := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:line].split(b";")[0], 16)
            if len(data) < line + size + 4:
                break
            at = line + size + 4
            if not size:
                self._done(when)
                return
            self.reply.parts.append((when, data[line + 2 : line + 2 + size]))
        self.rest = data[at:]
