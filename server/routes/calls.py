"""What every operator call has in common: its caller, its namespace, its body, and how a write is answered."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import orjson
from fastapi import Depends, Query, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from index.errors import Conflict
from index.records import Once, Written
from server.access import NAMESPACE_PATTERN, Principal, Right, namespace_of
from server.errors import BadBody, NotApplied
from server.limits import declared_length, read_body
from server.logs import Value, record
from server.service import Service

LONGEST_IDEMPOTENCY_KEY = 255
_bearer = HTTPBearer(auto_error=False, description="an access key with role operator or admin")


class StrictRequest(Request):
    """Reads at most the allowed bytes, and JSON that is strictly UTF-8 without lone surrogates."""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            limit = service_of(self).settings.max_body_bytes
            self._body = await read_body(self.receive, limit, declared_length(self.headers))
        return self._body

    async def json(self) -> Any:  # what FastAPI wants; pydantic looks at it next
        return orjson.loads(await self.body())


class StrictRoute(APIRoute):
    """A route whose requests are `StrictRequest`s."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def strict(request: Request) -> Response:
            service_of(request).access.authenticate(request.headers, Right.OBSERVE)  # before the body is read
            return await inner(StrictRequest(request.scope, request.receive))

        return strict


def service_of(request: Request) -> Service:
    """The service that this application was built around."""
    service: Service = request.app.state.service
    return service


@dataclass(frozen=True, slots=True)
class Wait:
    """`?wait=applied&timeout_s=5`: answer when every live replica serves the write."""

    applied: bool
    timeout_s: float


def wait_of(
    wait: Annotated[Literal["applied"] | None, Query(description="answer when every live replica serves it")] = None,
    timeout_s: Annotated[float, Query(gt=0, le=60, description="how long to wait")] = 5.0,
) -> Wait:
    """The wait that a write asks for."""
    return Wait(wait == "applied", timeout_s)


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated operator call."""

    service: Service
    principal: Principal
    namespace: str
    request: Request

    async def once(self, route: str, answer: Callable[[Written], str]) -> Once | None:
        """The idempotency record of this call, if it carries a key. Raises `BadBody` for an unusable key."""
        once = self.keyed(route, hashlib.sha256(await self.request.body()).hexdigest())
        return None if once is None else replace(once, answer=answer)

    def keyed(self, route: str, digest: str) -> Once | None:
        """The same for a body of that hash, which tells no more than that it was done."""
        key = self.request.headers.get("idempotency-key")
        if key is None:
            return None
        if not key.strip() or len(key) > LONGEST_IDEMPOTENCY_KEY:
            raise BadBody(f"an Idempotency-Key has 1 to {LONGEST_IDEMPOTENCY_KEY} characters")
        return Once(self.principal.id, key, f"{self.namespace} {route}", digest)

    async def written(self, written: Written, wait: Wait, answer: Callable[[Written], str], status: int) -> Response:
        """The answer to a committed write, when it is applied if that was asked. Raises `NotApplied`."""
        if wait.applied:
            laggards = await self.service.applied(written.revision, wait.timeout_s)
            if laggards:
                raise NotApplied(written.revision, laggards)
        return Response(written.answer or answer(written), status, media_type="application/json")

    async def answered_once(self, route: str, make: Callable[[], str], status: int = 200) -> Response:
        """The answer that `make` gives off the event loop, or gave before to the same idempotency key."""
        once = await self.once(route, lambda _: "")
        if once is None:
            return Response(await self.service.run(make), status, media_type="application/json")
        before = await self.service.run(self.service.store.replay, once)
        if before is None:
            answer = await self.service.run(make)
            try:
                await self.service.run(self.service.store.remember, once, answer)
                return Response(answer, status, media_type="application/json")
            except Conflict:  # the same call was faster elsewhere: both get its answer
                before = await self.service.run(self.service.store.replay, once)
        return Response(before.answer if before else "", status, media_type="application/json")

    def noted(self, event: str, **fields: Value) -> None:
        """Log what an operator did, without content."""
        record(
            event,
            fields={
                "principal": self.principal.id,
                "namespace": self.namespace,
                "request_id": self.request.state.request_id,
                **fields,
            },
        )


def calling(right: Right) -> Callable[..., Any]:
    """A dependency: the call of a principal who holds `right`. Raises `AccessDenied`."""

    def dependency(
        request: Request,
        _scheme: Annotated[object, Depends(_bearer)],
        namespace: Annotated[str | None, Query(description="admins only: the namespace to work on")] = None,
    ) -> Call:
        service = service_of(request)
        principal = service.access.authenticate(request.headers, right)
        named = namespace_of(principal, namespace)
        if not NAMESPACE_PATTERN.fullmatch(named):
            raise BadBody("a namespace has 1 to 64 letters, digits, dots, dashes or underscores")
        return Call(service, principal, named, request)

    return dependency


Operating = Annotated[Call, Depends(calling(Right.OPERATE))]
Observing = Annotated[Call, Depends(calling(Right.OBSERVE))]
Waiting = Annotated[Wait, Depends(wait_of)]


def answered(body: BaseModel, status: int = 200) -> Response:
    """A body of ours, as it is."""
    return Response(body.model_dump_json(), status, media_type="application/json")
