"""The application side as one ASGI application: the guarded calls, the models, and 404 for everything else."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import unquote

import orjson

from server.access import Access, AccessDenied, Principal
from server.batching import JudgeFault
from server.dialects.dialect import Dialect, encode
from server.exchange import Caller
from server.faults import ApplicationFault, NoSuchRoute, Told, UpstreamFault, UpstreamRefused, told_of
from server.judging import Judge
from server.limits import ClientLeft, Gate, LimitExceeded, declared_length, read_body
from server.models import MODELS, Models
from server.observation import FieldsDropped, RequestObserved, RequestOutcome, UpstreamFailed
from server.offer import Offer
from server.proxy import Proxy
from server.reply import Receive, Reply, Scope, Send, headers_of, while_connected
from server.responses_state import KeptResponses
from server.retelling import retell
from server.side_answers import SideAnswers, SideRequest

LOGGER = logging.getLogger("lethe.application")
_MODELS: Final = "models"
_RESPONSES: Final = "responses"
_USUAL: Final = Offer()
_MOST_NAMES: Final = 8
_KNOWN: Final = (ApplicationFault, AccessDenied, LimitExceeded, JudgeFault)


@dataclass(slots=True)
class _Call:
    """One request as far as it is known yet. `dialect` tells its errors, `name` is what it is counted as."""

    scope: Scope
    receive: Receive
    reply: Reply
    request_id: str
    headers: dict[str, str]
    dialect: Dialect
    name: str = _MODELS
    principal: Principal | None = None
    began: float = field(default=0.0)


class Application:
    """Mount it where every path that nothing else serves ends up. What belongs to no API is told in OpenAI's form."""

    def __init__(self, proxy: Proxy, access: Access, gate: Gate, max_body_bytes: int, offer: Offer = _USUAL) -> None:
        self._proxy, self._access, self._gate = proxy, access, gate
        self._max_body_bytes = max_body_bytes
        self._dialects, self._side_calls = offer.dialects(), offer.side_calls
        self._by_name = {dialect.name: dialect for dialect in self._dialects.values()}
        self._common = next(iter(self._dialects.values()))
        self._models = proxy.models or Models(proxy.upstream, proxy.clock)
        self._side = SideAnswers(proxy, offer.surface)
        self._kept = KeptResponses(proxy, offer.surface, offer.responses)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        if scope["type"] != "http":
            return
        request_id = uuid.uuid4().hex
        reply = Reply(send, request_id)
        call = _Call(scope, receive, reply, request_id, headers_of(scope), self._common, began=self._proxy.clock())
        try:
            await self._route(call)
        except ClientLeft:
            self._observe(call, RequestOutcome.CANCELLED, 499)
        except Exception as fault:  # noqa: BLE001  # the border: every fault becomes an answer
            await self._fail(call, fault)

    async def _route(self, call: _Call) -> None:
        path, method = call.scope["path"], call.scope["method"]
        kept = self._kept.call_of(method, path, call.scope.get("query_string", b""))
        if kept is not None:
            call.dialect, call.name = self._by_name[_RESPONSES], _RESPONSES
            await self._body(call, kept)
        elif method == "POST" and path in self._dialects:
            call.dialect = self._dialects[path]
            call.name = call.dialect.name
            await self._body(call, partial(self._proxy.serve, call.dialect))
        elif method == "POST" and path in self._side_calls:
            side, treatment = self._side_calls[path]
            call.name, call.dialect = side.name, self._by_name.get(side.dialect, self._common)
            await self._body(call, partial(self._side.serve, SideRequest(side, treatment, path)))
        elif method == "GET" and (path == MODELS or path.startswith(MODELS + "/")):
            call.principal = self._access.authenticate(call.headers)
            with self._gate.entered():
                await while_connected(call.receive, self._list(call, path.removeprefix(MODELS).removeprefix("/")))
        else:
            raise NoSuchRoute(f"{method} {_shown(path)} does not exist here")

    async def _body(self, call: _Call, serve: Callable[[Caller, bytes, Reply], Awaitable[None]]) -> None:
        """Answer a request with a body, within the limits."""
        principal = call.principal = self._access.authenticate(call.headers)
        with self._gate.entered():
            body = await read_body(call.receive, self._max_body_bytes, declared_length(call.headers))
            caller = Caller(call.request_id, principal.id, principal.namespace, self._proxy.clock)
            await while_connected(call.receive, serve(caller, body, call.reply))

    async def _list(self, call: _Call, wanted: str) -> None:
        listed = await self._models.listed(call.request_id)
        raw, dropped = listed.raw, listed.dropped
        if dropped:
            self._proxy.observer.observe(FieldsDropped(_MODELS, len(dropped), dropped[:_MOST_NAMES]))
        if wanted:
            found = [model for model in listed.models if model.get("id") == unquote(wanted)]
            if not found:
                raise NoSuchRoute("this model does not exist")
            raw = orjson.dumps(found[0])
        await call.reply.whole(200, raw)
        self._observe(call, RequestOutcome.ALLOWED, 200)

    async def _fail(self, call: _Call, fault: Exception) -> None:
        if not isinstance(fault, _KNOWN):
            LOGGER.error("a request failed", exc_info=fault)
        if call.reply.started:
            return
        told = await self._told(call, fault)
        if isinstance(fault, UpstreamFault):
            self._proxy.observer.observe(UpstreamFailed(fault.reason))
        headers = {"retry-after": told.retry_after} if told.retry_after else {}
        if told.status == 401:
            headers["www-authenticate"] = "Bearer"
        await call.reply.whole(told.status, encode(call.dialect.error(told)), headers)
        if not isinstance(fault, NoSuchRoute) or call.principal is not None:
            self._observe(call, told.outcome, told.status)

    async def _told(self, call: _Call, fault: Exception) -> Told:
        if isinstance(fault, UpstreamRefused) and call.principal is not None:
            proxy = self._proxy
            view = proxy.index.snapshot.view(call.principal.namespace)
            return await retell(fault, call.dialect, Judge(view, proxy.batches, proxy.observer))
        return told_of(fault)

    def _observe(self, call: _Call, outcome: RequestOutcome, status: int) -> None:
        principal = call.principal
        self._proxy.observer.observe(
            RequestObserved(
                request_id=call.request_id,
                namespace=principal.namespace if principal else "",
                principal=principal.id if principal else "",
                dialect=call.name,
                stream=False,
                outcome=outcome,
                status=status,
                seconds=self._proxy.clock() - call.began,
            )
        )


def _shown(path: str) -> str:
    """A path as a message may show it."""
    return path if len(path) <= 80 and path.isascii() and path.isprintable() else "this path"
