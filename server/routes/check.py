"""Check: the verdict on a text, no model involved."""

from __future__ import annotations

import time

from fastapi import APIRouter, Response

from guard.verdict import Side
from server.checking import check
from server.errors import NotReady
from server.routes.calls import Operating, StrictRoute
from server.schemas.check import CheckIn, CheckOut
from server.translation import check_out

router = APIRouter(route_class=StrictRoute, tags=["check"])


@router.post("/check", response_model=CheckOut)
async def check_text(body: CheckIn, call: Operating) -> Response:
    """What would be done about this text, with every match and what each stage took."""
    service = call.service
    if not service.index.ready:
        raise NotReady("the forget index is not ready")

    def judged() -> str:
        view = service.index.snapshot.view(call.namespace)
        timing = (time.perf_counter, service.settings.judge_timeout_s)
        return check_out(check(view, body.text, body.prompt, Side(body.side), timing)).model_dump_json()

    return await call.answered_once("check", judged)
