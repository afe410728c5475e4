"""The model server, over HTTP. Leaving an answer closes its connection at once, which cancels the generation."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from index.errors import StartRefused
from server.connection import Connection, Stale
from server.connection import Timeouts as Timeouts  # noqa: PLC0414  # what an upstream is made with is found here too
from server.faults import UpstreamFault, UpstreamRefused
from server.observation import UpstreamReason

LONGEST_BODY: Final = 64 * 1024 * 1024
_LONGEST_ERROR: Final = 64 * 1024
_END_S: Final = 0.02
_MOST_HEADS: Final = 64
_KEPT_S: Final = 4.0  # vLLM drops idle connections after 5 s
_NOWHERE: Final = "the model server cannot be reached"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to the model server."""

    method: str
    path: str
    request_id: str
    body: bytes | None = None
    stream: bool = False


class Answer:
    """An answer of status 200 whose body is still coming."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.content_type = connection.headers.get(b"content-type", "")

    def read(self) -> Awaitable[bytes]:
        """The next bytes, as many as there are; empty at the end. Raises `UpstreamFault`."""
        return self._connection.read()

    async def rest(self) -> None:
        """Wait briefly for the end of what is complete: only then can the connection be used again."""
        with suppress(TimeoutError, UpstreamFault):
            async with asyncio.timeout(_END_S):
                while await self._connection.read():
                    pass

    async def whole(self, limit: int = LONGEST_BODY) -> bytes:
        """All of the body. Raises `UpstreamFault`, also when it is longer than `limit` bytes."""
        parts: list[bytes] = []
        size = 0
        while data := await self._connection.read():
            parts.append(data)
            size += len(data)
            if size > limit:
                raise UpstreamFault(UpstreamReason.PROTOCOL, "the model server's answer is too long")
        return b"".join(parts)


class Upstream:
    """The client of one model server. `base` is its URL without `/v1`; create and close it on the event loop.

    Raises `StartRefused` when the key cannot stand in a header.
    """

    def __init__(self, base: str, api_key: str | None, timeouts: Timeouts) -> None:
        parts = urlsplit(base)
        self._timeouts = timeouts
        self._host = parts.hostname or ""
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._prefix = parts.path.rstrip("/")
        if api_key and not api_key.isprintable():
            raise StartRefused("the key for the model server holds a character that no header can carry")
        own = f"host: {parts.netloc}\r\naccept-encoding: identity\r\n"
        own += f"authorization: Bearer {api_key}\r\n" if api_key else ""
        self._own = own.encode()
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._heads: dict[tuple[str, str, bool], bytes] = {}

    async def close(self) -> None:
        """Close every connection."""
        for connection in list(self._all):
            connection.close()
        self._idle.clear()
        if self._sweeping is not None:
            self._sweeping.cancel()
        await asyncio.sleep(0)  # the event loop closes them on its next turn

    async def reachable(self) -> bool:
        """True when the model server says that it is well."""
        try:
            async with self.ask(Ask("GET", "/v1/models", "health")) as answer:
                await answer.whole()
        except UpstreamFault:
            return False
        return True

    def ask(self, ask: Ask) -> Asking:
        """The answer, once its status is known, as a block: leaving it early cancels upstream. Entering raises
        `UpstreamFault`."""
        return Asking(self, ask)

    async def start(self, ask: Ask) -> Connection:
        """A connection on which this was asked and the status came, to be given to `leave`. Raises `UpstreamFault`."""
        head, body = self._head(ask), ask.body or b""
        connection = self._kept() or await self._connected()
        try:
            await connection.ask(head, body)
        except Stale:  # a kept connection that it was about to close: it has seen nothing of this
            self.leave(connection)
            connection = await self._connected()
            try:
                await connection.ask(head, body)
            except BaseException:
                self.leave(connection)
                raise
        except BaseException:
            self.leave(connection)
            raise
        return connection

    def leave(self, connection: Connection) -> None:
        """Keep a connection whose answer was read to the end, close any other."""
        if not connection.done():
            self._all.discard(connection)
            return
        self._idle.append(connection)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(_KEPT_S, self._sweep)

    def _kept(self) -> Connection | None:
        oldest = asyncio.get_running_loop().time() - _KEPT_S
        while self._idle:
            connection = self._idle.pop()
            if connection.open and connection.idle_since > oldest:
                return connection
            connection.close()
            self._all.discard(connection)
        return None

    def _sweep(self) -> None:
        """Close what was not used for long."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - _KEPT_S
        kept = [connection for connection in self._idle if connection.open and connection.idle_since > oldest]
        for connection in set(self._idle).difference(kept):
            connection.close()
            self._all.discard(connection)
        self._idle = kept
        self._sweeping = loop.call_later(_KEPT_S, self._sweep) if kept else None

    async def _connected(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeouts.connect):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, self._timeouts), self._host, self._port, ssl=self._tls
                )
        except OSError:  # a timeout is one too
            raise UpstreamFault(UpstreamReason.CONNECT, _NOWHERE) from None
        self._all.add(connection)
        return connection

    def _head(self, ask: Ask) -> bytes:
        kind = ask.method, ask.path, ask.stream
        fixed = self._heads.get(kind)
        if fixed is None:
            accept = b"text/event-stream" if ask.stream else b"application/json"
            line = f"{ask.method} {self._prefix}{ask.path} HTTP/1.1\r\n".encode("ascii")
            fixed = line + self._own + b"accept: " + accept + b"\r\nx-request-id: "
            if len(self._heads) < _MOST_HEADS:  # a path may name one of many responses
                self._heads[kind] = fixed
        if ask.body is None:
            return fixed + ask.request_id.encode("ascii") + b"\r\n\r\n"
        about = b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ask.body)
        return fixed + ask.request_id.encode("ascii") + about


class Asking:
    """The block in which an answer is read."""

    __slots__ = ("_ask", "_connection", "_upstream")

    def __init__(self, upstream: Upstream, ask: Ask) -> None:
        self._upstream, self._ask = upstream, ask
        self._connection: Connection | None = None

    async def __aenter__(self) -> Answer:
        connection = self._connection = await self._upstream.start(self._ask)
        if connection.status != 200:
            try:
                body = await Answer(connection).whole(_LONGEST_ERROR)
                raise UpstreamRefused(connection.status, body, connection.headers.get(b"retry-after"))
            finally:
                self._upstream.leave(connection)
        return Answer(connection)

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            self._upstream.leave(self._connection)
