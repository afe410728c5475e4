"""The model server, over HTTP. Leaving an answer closes its connection at once, which cancels the generation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import aiohttp

from server.faults import UpstreamFault, UpstreamRefused
from server.observation import UpstreamReason

LONGEST_BODY: Final = 64 * 1024 * 1024
_LONGEST_ERROR: Final = 64 * 1024
_END_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `first_byte` covers queueing and, without streaming, the whole generation; `idle` is the longest silence
    inside an answer; `total` the longest whole answer."""

    connect: float = 5.0
    first_byte: float = 600.0
    idle: float = 60.0
    total: float = 600.0


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

    def __init__(self, response: aiohttp.ClientResponse, idle_s: float) -> None:
        self._response, self._idle_s = response, idle_s
        self.content_type = response.headers.get("Content-Type", "")

    async def read(self) -> bytes:
        """The next bytes, as many as there are; empty at the end. Raises `UpstreamFault`."""
        with _faults():
            try:
                async with asyncio.timeout(self._idle_s):
                    return await self._response.content.readany()
            except TimeoutError:
                raise UpstreamFault(UpstreamReason.IDLE, "the model server fell silent") from None

    async def rest(self) -> None:
        """Wait briefly for the end of what is complete: only then can the connection be used again."""
        with suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(_END_S):
                while await self._response.content.readany():
                    pass

    async def whole(self, limit: int = LONGEST_BODY) -> bytes:
        """All of the body. Raises `UpstreamFault`, also when it is longer than `limit` bytes."""
        parts: list[bytes] = []
        size = 0
        while data := await self.read():
            parts.append(data)
            size += len(data)
            if size > limit:
                raise UpstreamFault(UpstreamReason.PROTOCOL, "the model server's answer is too long")
        return b"".join(parts)


class Upstream:
    """The client of one model server. `base` is its URL without `/v1`; create and close it on the event loop."""

    def __init__(self, base: str, api_key: str | None, timeouts: Timeouts) -> None:
        self._base, self._timeouts = base, timeouts
        self._authorization = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0),  # vLLM drops idle connections after 5 s
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            read_bufsize=256 * 1024,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def reachable(self) -> bool:
        """True when the model server says that it is well."""
        try:
            async with self.ask(Ask("GET", "/v1/models", "health")) as answer:
                await answer.whole()
        except UpstreamFault:
            return False
        return True

    @asynccontextmanager
    async def ask(self, ask: Ask) -> AsyncIterator[Answer]:
        """The answer, once its status is known. Raises `UpstreamFault`; leaving the block early cancels upstream."""
        try:
            async with asyncio.timeout(self._timeouts.total):
                response = await self._start(ask)
                try:
                    if response.status != 200:
                        raise await _refused(response, self._timeouts.idle)
                    yield Answer(response, self._timeouts.idle)
                finally:
                    response.close()  # gives a connection back only when its answer was read to the end
        except TimeoutError:
            raise UpstreamFault(UpstreamReason.TIMEOUT, "the model server took too long") from None

    async def _start(self, ask: Ask) -> aiohttp.ClientResponse:
        with _faults():
            try:
                async with asyncio.timeout(self._timeouts.first_byte):
                    try:
                        return await self._send(ask)
                    except aiohttp.ServerDisconnectedError:  # an idle connection that it was about to close
                        return await self._send(ask)
            except TimeoutError as error:
                if isinstance(error, aiohttp.ServerTimeoutError):
                    raise UpstreamFault(UpstreamReason.CONNECT, "the model server cannot be reached") from None
                raise UpstreamFault(UpstreamReason.TIMEOUT, "the model server did not begin to answer") from None

    async def _send(self, ask: Ask) -> aiohttp.ClientResponse:
        url, headers = self._base + ask.path, self._headers(ask)
        return await self._session.request(ask.method, url, data=ask.body, headers=headers, allow_redirects=False)

    def _headers(self, ask: Ask) -> Mapping[str, str]:
        accept = "text/event-stream" if ask.stream else "application/json"
        headers = {"Accept": accept, "X-Request-Id": ask.request_id, "Accept-Encoding": "identity"}
        if ask.body is not None:
            headers["Content-Type"] = "application/json"
        return headers | self._authorization


async def _refused(response: aiohttp.ClientResponse, idle_s: float) -> UpstreamFault:
    body = await Answer(response, idle_s).whole(_LONGEST_ERROR)
    return UpstreamRefused(response.status, body, response.headers.get("Retry-After"))


class _faults:  # noqa: N801  # reads as a block: `with _faults():`
    """Turns the client library's errors into ours."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        match error:
            case aiohttp.ClientConnectorError() | aiohttp.ServerTimeoutError():
                raise UpstreamFault(UpstreamReason.CONNECT, "the model server cannot be reached") from None
            case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | aiohttp.ClientOSError():
                raise UpstreamFault(
                    UpstreamReason.CLOSED, "the model server closed the connection before its answer was complete"
                ) from None
            case aiohttp.ClientError() | ValueError():
                raise UpstreamFault(UpstreamReason.PROTOCOL, "the model server's answer cannot be read") from None
