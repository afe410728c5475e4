"""The client's side of a request: what is sent to it, and notice when it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON: Final = b"application/json"
EVENTS: Final = b"text/event-stream; charset=utf-8"


class Reply:
    """One response. Only its content type and the request's id are told in headers, and when to come back."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send, self._request_id = send, request_id
        self.started = False

    async def whole(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """A complete JSON answer."""
        more = [(b"content-length", b"%d" % len(body))]
        for name, value in (headers or {}).items():
            more.append((name.encode("ascii"), value.encode("latin-1")))
        await self._start(status, JSON, more)
        await self._send({"type": "http.response.body", "body": body})

    async def write(self, body: bytes) -> None:
        """More of a stream, which starts with the first of it."""
        if not self.started:
            await self._start(200, EVENTS)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def finish(self) -> None:
        """The stream is complete."""
        if not self.started:
            await self._start(200, EVENTS)
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, content_type: bytes, more: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.started = True
        told = [(b"content-type", content_type), (b"x-request-id", self._request_id.encode("ascii")), *more]
        await self._send({"type": "http.response.start", "status": status, "headers": told})


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers by lower-case name; of a repeated one the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


async def while_connected(receive: Receive, work: Awaitable[None]) -> bool:
    """Do `work`, and cancel it the moment the client leaves; False when it left. Costs one task, which listens."""
    doing = asyncio.current_task()
    assert doing is not None
    gone = False

    async def listen() -> None:
        nonlocal gone
        try:
            await _left(receive)
        finally:
            gone = not leaving.cancelling()
            if gone:
                doing.cancel()

    leaving = asyncio.ensure_future(listen())
    try:
        await work
    except asyncio.CancelledError:
        if not gone or doing.uncancel():  # someone else wants it to end too
            raise
        return False
    except Exception:
        if gone:  # nobody is told any more
            doing.uncancel()
            return False
        raise
    finally:
        leaving.cancel()
    if gone:
        doing.uncancel()
    return not gone


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
