"""One HTTP/1.1 connection to the model server: one question out, one answer in, again and again.

```
    bytes --> parser --> status and headers | body, in parts --> read()
                                               ^ more than a few hundred kilobytes unread: the socket is not read
    one timer per answer watches its silences, its first byte and its total: reading sets none
```
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, cast

import httptools

from server.faults import UpstreamFault
from server.observation import UpstreamReason

_MOST_UNREAD: Final = 256 * 1024
_LONGEST_HEAD: Final = 64 * 1024
_WANTED: Final = frozenset(
    {b"content-type", b"retry-after", b"content-encoding", b"content-length", b"transfer-encoding"}
)
_ODD: Final = "the model server's answer cannot be read"
_CLOSED: Final = "the model server closed the connection before its answer was complete"
_LATE: Final = "the model server did not begin to answer"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `first_byte` covers queueing and, without streaming, the whole generation; `idle` is the longest silence
    inside an answer; `total` the longest whole answer."""

    connect: float = 5.0
    first_byte: float = 600.0
    idle: float = 60.0
    total: float = 600.0


class Stale(Exception):
    """A connection that was used before closed without a single byte of an answer: it was closing already."""


class Connection(asyncio.Protocol):
    """A connection that is open. It is `reusable` when an answer was read to its end and the other side keeps it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeouts: Timeouts) -> None:
        self._loop, self._timeouts = loop, timeouts
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fault: UpstreamFault | None = None
        self._asking = self._began = self._headed = self._complete = self._paused = self._keeps = False
        self._extra = False
        self._since = self._limit = self._deadline = 0.0
        self._parts: list[bytes] = []
        self._unread = self._head_bytes = 0
        self.headers: dict[bytes, str] = {}
        self.status = 0
        self.answers = 0
        self.idle_since = 0.0

    # -- asking --

    async def ask(self, head: bytes, body: bytes) -> None:
        """Send a question and wait until `status` and `headers` are known. Raises `UpstreamFault` and `Stale`."""
        assert self._transport is not None and not self._asking
        self._asking = True
        self._began = self._headed = self._complete = self._keeps = False
        self._head_bytes = 0
        self.headers = {}
        self._transport.write(head + body if len(body) < _LONGEST_HEAD else head)
        if len(body) >= _LONGEST_HEAD:
            self._transport.write(body)
        self._watch_from(self._loop.time())
        while not self._headed:
            if self._fault is not None:
                raise self._fault
            if self._transport is None:
                raise Stale if self.answers and not self._began else UpstreamFault(UpstreamReason.CLOSED, _CLOSED)
            await self._more(self._timeouts.first_byte)
        if self.headers.get(b"content-encoding", "identity").lower() != "identity":
            raise UpstreamFault(UpstreamReason.PROTOCOL, _ODD)  # nothing else was asked for

    async def read(self) -> bytes:
        """The next bytes of the body, as many as there are; empty at the end. Raises `UpstreamFault`."""
        while not self._parts:
            if self._complete:
                return b""
            if self._fault is not None:
                raise self._fault
            if self._transport is None:
                raise UpstreamFault(UpstreamReason.CLOSED, _CLOSED)
            await self._more(self._timeouts.idle)
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._unread = 0
        if self._paused:
            self._paused = False
            if self._transport is not None:
                self._transport.resume_reading()
        return data

    def done(self) -> bool:
        """The answer is of no more interest. True when another may be asked for; else the connection is closed, which
        cancels the generation."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        again = self._complete and self._keeps and not self._extra and self._transport is not None and not self._parts
        self._asking = False
        if again:
            self.answers += 1
            self.idle_since = self._loop.time()
        else:
            self.close()
        return again

    def close(self) -> None:
        """Leave at once."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    @property
    def open(self) -> bool:
        """True while the other side has not closed it."""
        return self._transport is not None

    # -- waiting --

    async def _more(self, limit: float) -> None:
        self._limit, self._since = limit, self._loop.time()
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _watch_from(self, now: float) -> None:
        self._deadline = now + self._timeouts.total
        self._timer = self._loop.call_at(min(now + self._tick, self._deadline), self._watch)

    @property
    def _tick(self) -> float:
        return min(self._timeouts.first_byte, self._timeouts.idle)

    def _watch(self) -> None:
        """A wait that begins after this runs ends later than the next time it runs, so none is missed."""
        now = self._loop.time()
        waiting = self._waiter is not None
        due = min(self._deadline, self._since + self._limit if waiting else now + self._tick)
        if now < due:
            self._timer = self._loop.call_at(due, self._watch)
        elif now >= self._deadline:
            self._fail(UpstreamReason.TIMEOUT, "the model server took too long")
        elif self._headed:
            self._fail(UpstreamReason.IDLE, "the model server fell silent")
        else:
            self._fail(UpstreamReason.TIMEOUT, _LATE)

    def _fail(self, reason: UpstreamReason, message: str) -> None:
        self._fault = self._fault or UpstreamFault(reason, message)
        self.close()
        self._wake()

    # -- what the event loop tells --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if not self._asking or self._complete:  # nobody asked for this
            self._keeps = False
            self.close()
            return
        self._began = True
        if not self._headed:
            self._head_bytes += len(data)
        if not self._parsed(data):
            return
        if self._head_bytes > _LONGEST_HEAD and not self._headed:
            self._fail(UpstreamReason.PROTOCOL, _ODD)
        if self._unread > _MOST_UNREAD and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        if self._parts or self._headed:
            self._wake()

    def _parsed(self, data: bytes) -> bool:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._complete:
                self._fail(UpstreamReason.PROTOCOL, _ODD)
                return False
            self._keeps = False  # the answer is here, and what follows it is not wanted
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = None
        self._keeps = False
        if self._headed and error is None and self.headers.keys().isdisjoint((b"content-length", b"transfer-encoding")):
            self._complete = True  # an answer without a length ends with its connection
        self._wake()

    # -- what the parser tells --

    def on_message_begin(self) -> None:
        """An answer begins; one that nobody asked for spoils the connection."""
        self._extra = self._complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody asked for."""
        name = name.lower()
        if name in _WANTED and not self._headed:
            self.headers[name] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The status is known."""
        if self._extra:
            return
        self.status = self._parser.get_status_code()
        self._headed = self.status >= 200  # before that it is only told to wait

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._extra:
            return
        self._parts.append(body)
        self._unread += len(body)

    def on_message_complete(self) -> None:
        """The end of the body."""
        if not self._headed:
            self.headers = {}
            return
        self._complete = True
        self._keeps = not self._extra and self._parser.should_keep_alive()
