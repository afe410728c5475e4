"""Plug points: the guard behind other people's gateways, in the words of their contracts. Calls of applications.

```
    LiteLLM proxy            -- generic guardrail API --> /beta/litellm_basic_guardrail_api --.
    FMS guardrails, TrustyAI -- detector API ----------> /api/v1/text/contents ---------------+--> GatewayCheck
```
Neither learns a score, an entry or a detector. What cannot be judged is an error, never a pass.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from guard.verdict import Action, Side
from server.dialects.conversation import text_of
from server.dialects.escapes import unescaped
from server.errors import Refusal, field_errors
from server.exchange import Caller
from server.faults import GuardUnavailable, RequestLate, told_of
from server.gateway_check import GatewayCheck, RecentQuestions, unsettled
from server.judging import Judge
from server.limits import ClientLeft, LimitExceeded
from server.logs import record
from server.observation import Degraded, DegradedReason, RequestObserved, RequestOutcome
from server.prompt_cache import PromptCache
from server.routes.calls import StrictRequest
from server.schemas.plug_points import ContentsIn, DetectionOut, DetectorError, DetectorParams, LiteLLMIn, LiteLLMOut
from server.service import Service

LITELLM: Final = "/beta/litellm_basic_guardrail_api"
FMS: Final = "/api/v1/text/contents"
PATHS: Final[Mapping[str, str]] = {LITELLM: "litellm", FMS: "fms"}
"""The paths, and the name of each contract in metrics and decisions."""

_REFUSALS: Final = {
    401: "no access key, or none that is known",
    403: "the key's role may not make this call",
    413: "the body is too long",
    429: "too many requests, or too much waits to be judged",
    500: "a defect here",
    503: "the guard cannot tell: nothing may pass",
    504: "not judged in time: nothing may pass",
}
_DETECTOR_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": DetectorError, "description": told}
    for status, told in {**_REFUSALS, 422: "the body cannot be read"}.items()
}
_key = HTTPBearer(auto_error=False, scheme_name="application key", description="an access key with role app")
Inner = Callable[[Request], Coroutine[Any, Any, Response]]


class PlugPoints:
    """What calls of gateways share: earlier findings, and questions whose answers come in a call of their own."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._seen = PromptCache()
        self.questions = RecentQuestions()

    async def call(self, request: Request, inner: Inner) -> Response:
        """Let `inner` answer a request: authenticated, within the limits, observed, and failing closed."""
        service, check = self._service, None
        caller, began = Caller(request.state.request_id, "", "", time.perf_counter), time.perf_counter()
        try:
            principal = service.access.authenticate(request.headers)
            caller = replace(caller, principal=principal.id, namespace=principal.namespace)
            with service.application_gate.entered():
                async with asyncio.timeout(service.settings.request_timeout_s):
                    check = request.state.check = self._check(caller, PATHS[request.url.path], began)
                    response = await inner(StrictRequest(request.scope, request.receive))
        except Exception as fault:  # noqa: BLE001  # the border: every fault becomes an answer
            return self._failed(request, caller, began, fault)
        check.over()
        if check.action >= Action.REDACT:  # its delay must not tell what found the match
            grid_s = service.settings.ending_grid_ms / 1000
            await asyncio.sleep(grid_s - (time.perf_counter() - began) % grid_s if grid_s else 0)
        return response

    def _check(self, caller: Caller, dialect: str, began: float) -> GatewayCheck:
        index, observers = self._service.index, self._service.observers
        if not index.ready:
            observers.observe(Degraded("index", DegradedReason.NOT_READY))
            raise GuardUnavailable(DegradedReason.NOT_READY)
        view = index.snapshot.view(caller.namespace)
        judge = Judge(view, self._service.batcher, observers, seen=self._seen)
        if not view.empty:
            judge.admit()
        return GatewayCheck(caller, dialect, judge, observers, began)

    def _failed(self, request: Request, caller: Caller, began: float, fault: Exception) -> Response:
        path = request.url.path
        refusal, outcome = _told(fault, path)
        if refusal.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            record("call_failed", logging.ERROR, fault, {"request_id": caller.request_id, "status": refusal.status})
        self._service.observers.observe(
            RequestObserved(
                request_id=caller.request_id,
                namespace=caller.namespace,
                principal=caller.principal,
                dialect=PATHS[path],
                stream=False,
                outcome=outcome,
                status=refusal.status,
                seconds=time.perf_counter() - began,
            )
        )
        body = {"code": refusal.code, "message": refusal.message} if path == FMS else refusal.body()
        return JSONResponse(body, refusal.status, dict(refusal.headers))


class PlugRoute(APIRoute):
    """A route of a plug point."""

    def get_route_handler(self) -> Inner:
        inner = super().get_route_handler()

        async def plugged(request: Request) -> Response:
            points: PlugPoints = request.app.state.plug_points
            return await points.call(request, inner)

        return plugged


router = APIRouter(
    route_class=PlugRoute,
    tags=["plug points"],
    dependencies=[Depends(_key)],
    responses={status: {"description": told} for status, told in _REFUSALS.items()},
)


def check_of(request: Request) -> GatewayCheck:
    """The check that this call is."""
    check: GatewayCheck = request.state.check
    return check


Checking = Annotated[GatewayCheck, Depends(check_of)]


@router.post(LITELLM, response_model=LiteLLMOut, responses={400: {"description": "the body cannot be read"}})
async def litellm_guardrail(body: LiteLLMIn, check: Checking, request: Request) -> Response:
    """LiteLLM's generic guardrail API: judges the texts and tool calls of a request, or of a response."""
    points: PlugPoints = request.app.state.plug_points
    answer = await (_request(check, body, points) if body.input_type == "request" else _response(check, body, points))
    return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")


@router.post(FMS, response_model=list[list[DetectionOut]], responses=_DETECTOR_ERRORS)
async def text_contents(body: ContentsIn, check: Checking) -> Response:
    """The FMS detector API: per text, the places that would be withheld."""
    asked, told = body.detector_params or DetectorParams(), []
    for text in body.contents:
        if asked.side == "answer":
            seen = await check.answer(text, asked.prompt)
            spans = seen.spans
        else:
            stops = (await check.prompt([text])).action.stops
            spans = ((0, len(text)),) if stops and text else ()
        told.append([DetectionOut(start=start, end=end).model_dump() for start, end in spans])
    return JSONResponse(told)


async def _request(check: GatewayCheck, body: LiteLLMIn, points: PlugPoints) -> LiteLLMOut:
    texts = [*(body.texts or ()), *_tool_texts(body)]
    if body.litellm_call_id:
        points.questions.keep(check.caller.principal, body.litellm_call_id, _question(body))
    verdict = await check.prompt(texts)
    if verdict.action.stops:
        return LiteLLMOut(action="BLOCKED", blocked_reason=check.refusal(verdict, Side.PROMPT))
    return LiteLLMOut(action="NONE")


async def _response(check: GatewayCheck, body: LiteLLMIn, points: PlugPoints) -> LiteLLMOut:
    question = _question(body) if body.structured_messages else ""
    question = question or points.questions.of(check.caller.principal, body.litellm_call_id or "")
    seen = [await check.answer(text, question) for text in body.texts or ()]
    calls = [await check.answer(text, question) for text in _tool_texts(body)]
    stopped = [one.verdict for one in (*seen, *calls) if one.verdict.action.stops]
    stopped += [one.verdict for one in calls if one.spans]  # the contract has no way to say less in a call
    if stopped:
        return LiteLLMOut(action="BLOCKED", blocked_reason=check.refusal(stopped[0], Side.ANSWER))
    held = [unsettled(one.text) for one in seen]
    if any(one.spans for one in seen):
        texts = [one.text for one in seen]
        return LiteLLMOut(action="GUARDRAIL_INTERVENED", texts=texts, stream_holdback_chars=held)
    return LiteLLMOut(action="NONE", stream_holdback_chars=held or None)


def _question(body: LiteLLMIn) -> str:
    """What the model answers to: the last message of the user."""
    for message in reversed(body.structured_messages or []):
        if message.get("role") == "user":
            return text_of(message)
    return (body.texts or [""])[-1]


def _tool_texts(body: LiteLLMIn) -> list[str]:
    """What tool calls say: their names, and their arguments as they will be read."""
    texts = []
    for call in body.tool_calls or ():
        function = call.get("function")
        if isinstance(function, dict):
            said = (function.get(name) for name in ("name", "arguments"))
            texts.append(unescaped(" ".join(part for part in said if isinstance(part, str))))
    return texts


def _told(fault: Exception, path: str) -> tuple[Refusal, RequestOutcome]:
    """What the gateway is told, and what that was."""
    if isinstance(fault, HTTPException) and isinstance(fault.__cause__, LimitExceeded | ClientLeft):
        fault = fault.__cause__  # while the framework read the body
    if isinstance(fault, RequestValidationError | HTTPException | ClientLeft):
        errors = field_errors(fault.errors()) if isinstance(fault, RequestValidationError) else []
        status, details = (422 if path == FMS else 400), {"errors": errors} if errors else {}
        return Refusal(status, "bad_request", "the request cannot be read", details), RequestOutcome.CLIENT_ERROR
    told = told_of(RequestLate() if isinstance(fault, TimeoutError) else fault)
    headers = {"Retry-After": told.retry_after} if told.retry_after else {}
    if told.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Refusal(told.status, str(told.code), told.message, headers=headers), told.outcome
