"""Policies: what to do on a match."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from index.errors import EntryRefused
from server.errors import BadBody
from server.routes.calls import Operating, StrictRoute, Waiting, answered
from server.schemas.policies import PoliciesOut, PolicyIn, PolicyOut, PolicyWrittenOut

router = APIRouter(route_class=StrictRoute, tags=["policies"])

NamePath = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


@router.get("/policies", response_model=PoliciesOut)
async def list_policies(call: Operating) -> Response:
    """Every policy of the namespace; `default` always exists."""
    policies = await call.service.run(call.service.index.policies, call.namespace)
    return answered(PoliciesOut(policies=[PolicyOut.of(policy) for policy in policies]))


@router.get("/policies/{name}", response_model=PolicyOut)
async def show_policy(name: NamePath, call: Operating) -> Response:
    """One policy in full."""
    policy = await call.service.run(call.service.index.policy, call.namespace, name)
    return answered(PolicyOut.of(policy))


@router.put("/policies/{name}", response_model=PolicyWrittenOut)
async def put_policy(name: NamePath, body: PolicyIn, call: Operating, wait: Waiting) -> Response:
    """Create a policy or replace it; it applies to live traffic without a restart."""
    if body.name not in (None, name):
        raise BadBody("the name in the body is not the name in the path")
    try:
        policy = body.policy(name)
    except ValueError as error:
        raise EntryRefused(str(error)) from None
    written = await call.service.run(call.service.index.put_policy, call.namespace, policy)
    call.noted("policy_written", policy=name, revision=written.revision)
    answer = PolicyWrittenOut(name=name, revision=written.revision).model_dump_json()
    return await call.written(written, wait, lambda _: answer, 200)
