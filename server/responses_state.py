"""Calls for responses that the model server keeps: refused, or bound to the one who asked for them.

```
    POST /v1/responses               store, background, previous_response_id
    GET  /v1/responses/{id}          whole, or as a stream (?stream=true&starting_after=7)
    POST /v1/responses/{id}/cancel
```
What is kept upstream was never judged: it is judged when it is fetched, and only its principal may fetch it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import parse_qs

from server.dialects.option_table import Surface
from server.dialects.responses import PATH, UNKNOWN, ResponsesDialect
from server.dialects.responses_ids import BoundIds
from server.dialects.responses_kept import KeptCall, KeptResponse
from server.exchange import Caller
from server.faults import NoSuchRoute, RequestRefused
from server.proxy import Proxy
from server.reply import Reply

_CANCEL: Final = "/cancel"
_NOTHING_KEPT: Final = "this server keeps no responses"
_YES: Final = frozenset({"true", "1", "yes", "on"})
_NO: Final = frozenset({"false", "0", "no", "off", ""})

Serve = Callable[[Caller, bytes, Reply], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ResponsesState:
    """What is done with kept responses: refused without `key`, by which ids are bound to principals otherwise."""

    key: bytes | None = field(default=None, repr=False)


class KeptResponses:
    """Answers calls that make or use kept responses."""

    def __init__(self, proxy: Proxy, surface: Surface, state: ResponsesState) -> None:
        self._proxy, self._surface, self._state = proxy, surface, state

    def call_of(self, method: str, path: str, query: bytes) -> Serve | None:
        """What answers this call, once it is known who asks; None for all calls that have nothing to do with it."""
        if path == PATH and method == "POST" and self._state.key is not None:
            return self._create
        told, slash, rest = path.removeprefix(f"{PATH}/").partition("/")
        if not path.startswith(f"{PATH}/") or not told:
            return None
        if method == "GET" and not slash:
            return partial(self._fetch, told, query)
        return partial(self._cancel, told) if method == "POST" and f"/{rest}" == _CANCEL else None

    async def _create(self, caller: Caller, body: bytes, reply: Reply) -> None:
        await self._proxy.serve(ResponsesDialect(self._surface, self._ids(caller)), caller, body, reply)

    async def _fetch(self, told: str, query: bytes, caller: Caller, body: bytes, reply: Reply) -> None:
        own, stream, after = self._own(told, caller), *_asked(query)
        await self._serve(KeptCall(own, stream=stream, after=after if stream else None), caller, body, reply)

    async def _cancel(self, told: str, caller: Caller, body: bytes, reply: Reply) -> None:
        await self._serve(KeptCall(self._own(told, caller), cancel=True), caller, body, reply)

    async def _serve(self, call: KeptCall, caller: Caller, body: bytes, reply: Reply) -> None:
        await self._proxy.serve(KeptResponse(self._surface, self._ids(caller), call), caller, body, reply)

    def _own(self, told: str, caller: Caller) -> str:
        """The model server's id. Raises `NoSuchRoute` for what this principal was never told."""
        own = self._ids(caller).unbind(told)
        if own is None:
            raise NoSuchRoute(UNKNOWN)
        return own

    def _ids(self, caller: Caller) -> BoundIds:
        if self._state.key is None:
            raise NoSuchRoute(_NOTHING_KEPT)
        return BoundIds(self._state.key, caller.namespace, caller.principal)


def _asked(query: bytes) -> tuple[bool, int | None]:
    """Whether a stream is asked for, and after which of its events it begins. Raises `RequestRefused`."""
    told = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
    stream, after = told.get("stream", "").lower(), told.get("starting_after")
    if stream not in _YES | _NO:
        raise RequestRefused("'stream' must be true or false", "stream", "invalid_type")
    if after is not None and not (after.isascii() and after.isdigit() and len(after) < 10):
        raise RequestRefused("'starting_after' must be the number of an event", "starting_after", "invalid_type")
    return stream in _YES, None if after is None else int(after)
