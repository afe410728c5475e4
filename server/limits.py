"""How much one client may ask for: body size while it is read, and requests at work at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

RETRY_AFTER_S: Final = 1


class LimitExceeded(Exception):
    """The client asked for more than this server gives."""


class BodyTooLarge(LimitExceeded):
    """The request body is longer than the limit: the client's fault (413)."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request body is longer than {limit} bytes")
        self.limit = limit


class TooBusy(LimitExceeded):
    """As many requests as allowed are at work (429); `retry_after_s` says when to come back."""

    def __init__(self, limit: int, retry_after_s: int = RETRY_AFTER_S) -> None:
        super().__init__(f"{limit} requests are at work already")
        self.retry_after_s = retry_after_s


class ClientLeft(Exception):
    """The client closed the connection before its request was complete: nobody waits for an answer."""


def declared_length(headers: Mapping[str, str]) -> int | None:
    """What `content-length` says, or None when it says nothing sensible."""
    value = headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None


async def body_chunks(receive: Receive) -> AsyncIterator[bytes]:
    """The request body as it arrives. Raises `ClientLeft`."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        more = message.get("more_body", False)
        if chunk := message.get("body", b""):
            yield chunk


async def read_body(receive: Receive, limit: int, declared: int | None = None) -> bytes:
    """The whole body of at most `limit` bytes. Raises `BodyTooLarge` without reading on, and `ClientLeft`."""
    if declared is not None and declared > limit:
        raise BodyTooLarge(limit)
    body = bytearray()
    async for chunk in body_chunks(receive):
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(limit)
    return bytes(body)


class Gate:
    """Counts requests at work. Used on the event loop only."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside = 0

    @property
    def inside(self) -> int:
        """Requests at work now."""
        return self._inside

    @contextmanager
    def entered(self) -> Iterator[None]:
        """One request at work. Raises `TooBusy` at once when there are too many: waiting would only move the queue."""
        if self._inside >= self._limit:
            raise TooBusy(self._limit)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
