"""The HTTP application: the application side under /v1, the operator side under /lethe/v1, health; nothing else."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from index.errors import IndexFault
from server.access import AccessDenied
from server.errors import BadBody, NoSuchCall, Refusal, ServerFault, field_errors, refusal_of
from server.limits import ClientLeft, LimitExceeded, TooBusy
from server.logs import record
from server.models import Models
from server.offer import adapters_of, offer_of
from server.proxy import Proxy
from server.responses_state import ResponsesState
from server.routes import calibrations, check, decisions, entries, health, imports, plug_points, policies, status
from server.routes.application import Application
from server.schemas.refusals import REFUSALS
from server.service import Service, open_sealer

PREFIX: Final = "/lethe/v1"
_DESCRIPTION: Final = (
    "The operator side of Lethe: what must not be said, what is done about it, and what was done. "
    "Text that must be forgotten is never shown, except to an admin who asks for it by `reveal`."
)
_OWN: Final = frozenset({"/lethe", "/healthz", "/readyz"})
_ROUTERS: Final = (entries, imports, policies, check, decisions, calibrations, status)


class Lethe:
    """The ASGI application. What is not ours goes past the framework to the application side: the hot path.

    ```
        /lethe/v1/…                          operator side, a few calls at once
        /lethe/docs, /healthz, /readyz       operator side
        plug points                          calls of other gateways, judged by the same guard
        everything else                      application side: guarded, or 404
    ```
    """

    def __init__(self, service: Service) -> None:
        self._gate = service.operator_gate
        self._operators = operator_app(service)
        grid_s = service.settings.ending_grid_ms / 1000
        timeout_s = service.settings.request_timeout_s
        proxy = Proxy(
            service.index,
            service.upstream,
            service.batcher,
            service.observers,
            ending_grid_s=grid_s,
            timeout_s=timeout_s,
            ledger=service.ledger,
            models=Models(service.upstream, time.perf_counter, adapters_of(service.settings)),
        )
        limit, offer = service.settings.max_body_bytes, offer_of(service.settings)
        if service.settings.responses_state == "guard":
            offer = replace(offer, responses=ResponsesState(open_sealer(service.settings).derived("responses")))
        self._applications = Application(proxy, service.access, service.application_gate, limit, offer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's request."""
        path = scope.get("path", "")
        if path.startswith(f"{PREFIX}/"):
            await self._operator_call(scope, receive, send)
        elif path in _OWN or path.startswith("/lethe/"):
            await self._operators(scope, receive, send)
        elif path in plug_points.PATHS:
            await self._operators(scope, receive, _named(scope, send))
        else:
            await self._applications(scope, receive, send)

    async def _operator_call(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = _named(scope, send)
        try:
            with self._gate.entered():
                await self._operators(scope, receive, named)
        except TooBusy as fault:
            await _told(refusal_of(fault))(scope, receive, named)


def _named(scope: Scope, send: Send) -> Send:
    """Give a request its id, which its answer tells."""
    request_id = uuid.uuid4().hex
    scope.setdefault("state", {})["request_id"] = request_id

    async def named(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
        await send(message)

    return named


def operator_app(service: Service) -> FastAPI:
    """The operator side with its documentation, and health."""
    app = FastAPIOffline(  # its documentation needs no other server
        title="Lethe",
        version=status.installed_version(),
        description=_DESCRIPTION,
        docs_url="/lethe/docs",
        openapi_url="/lethe/openapi.json",
        redoc_url=None,
        static_url="/lethe/docs-files",
        redirect_slashes=False,
    )
    app.state.service = service
    for module in _ROUTERS:
        app.include_router(module.router, prefix=PREFIX, responses=REFUSALS)
    app.state.plug_points = plug_points.PlugPoints(service)
    app.include_router(plug_points.router)
    app.include_router(health.router)
    for fault in (ServerFault, LimitExceeded, ClientLeft, AccessDenied, IndexFault, Exception):
        app.exception_handler(fault)(_refused)
    app.exception_handler(RequestValidationError)(_unreadable)
    app.exception_handler(HTTPException)(_http)
    return app


def _told(refusal: Refusal) -> Response:
    return JSONResponse(refusal.body(), refusal.status, dict(refusal.headers))


async def _refused(request: Request, fault: Exception) -> Response:
    refusal = refusal_of(fault)
    request_id: str = getattr(request.state, "request_id", "")
    if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        record("call_failed", logging.ERROR, fault, fields={"request_id": request_id, "status": refusal.status})
    return _told(refusal)


async def _unreadable(request: Request, fault: RequestValidationError) -> Response:
    return _told(refusal_of(BadBody("the request cannot be read", field_errors(fault.errors()))))


async def _http(request: Request, fault: HTTPException) -> Response:
    if isinstance(fault.__cause__, LimitExceeded | ClientLeft):  # while the framework read the body
        return _told(refusal_of(fault.__cause__))
    if fault.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        return _told(refusal_of(NoSuchCall("there is no such call")))
    if fault.status_code == HTTPStatus.BAD_REQUEST:
        return _told(refusal_of(BadBody("the request cannot be read")))
    return _told(refusal_of(fault))
