"""The client's side of a request: what is sent to it, and notice when it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream; charset=utf-8"


class Reply:
    """One response. Only its content type and the request's id are told in headers, and when to come back."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send, self._request_id = send, request_id
        self.started = False

    async def whole(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """A complete JSON answer."""
        length = {"content-length": str(len(body))}
        await self._start(status, JSON, {**length, **(headers or {})})
        await self._send({"type": "http.response.body", "body": body})

    async def write(self, body: bytes) -> None:
        """More of a stream, which starts with the first of it."""
        if not self.started:
            await self._start(200, EVENTS, {})
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def finish(self) -> None:
        """The stream is complete."""
        if not self.started:
            await self._start(200, EVENTS, {})
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, content_type: str, headers: Mapping[str, str]) -> None:
        self.started = True
        told = {"content-type": content_type, "x-request-id": self._request_id, **headers}
        raw = [(name.encode("ascii"), value.encode("latin-1")) for name, value in told.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers by lower-case name; of a repeated one the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


async def while_connected(receive: Receive, work: Awaitable[None]) -> bool:
    """Do `work`, and cancel it the moment the client leaves; False when it left."""
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
            return True
        return False
    finally:
        leaving.cancel()
        if not doing.done():
            doing.cancel()
            await asyncio.wait({doing})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
