"""Upstream's own errors: their message may quote anything, so it is judged like an answer before it is passed on."""

from __future__ import annotations

import re
from typing import Final

import orjson

from guard.verdict import Action
from server.dialects.dialect import Dialect, Json, Unreadable, UpstreamError
from server.faults import Told, UpstreamRefused
from server.judging import Judge
from server.observation import RequestOutcome

GENERIC: Final = "the model server refused this request"
_LONGEST_MESSAGE: Final = 8_000
_RETRY_AFTER: Final = re.compile(r"[0-9]{1,6}")
_KEPT_WITHOUT_JSON: Final = frozenset({429, 503, 504})


async def retell(fault: UpstreamRefused, dialect: Dialect, judge: Judge) -> Told:
    """What the client is told about an error status of upstream."""
    retry_after = fault.retry_after if _RETRY_AFTER.fullmatch(fault.retry_after or "") else None
    error = _parse(fault.body, dialect)
    status = fault.status
    if error is None:
        status = status if status in _KEPT_WITHOUT_JSON else 502
        error = UpstreamError(GENERIC, "server_error", None, "upstream_error")
    elif not 400 <= status <= 599:
        status = 502
    told = await retell_error(error, status, judge)
    return Told(status, told.type, told.code, told.message, told.outcome, told.param, retry_after)


async def retell_error(error: UpstreamError, status: int, judge: Judge) -> Told:
    """The same for an error that upstream sent inside a stream."""
    own_fault = status < 500 and status != 429
    outcome = RequestOutcome.CLIENT_ERROR if own_fault else RequestOutcome.UPSTREAM_ERROR
    message = error.message if await _may_leave(error.message, judge) else GENERIC
    return Told(status, error.type, error.code, message, outcome, error.param)


def _parse(body: bytes, dialect: Dialect) -> UpstreamError | None:
    try:
        read: Json = orjson.loads(body)
        return dialect.upstream_error(read) if isinstance(read, dict) else None
    except (orjson.JSONDecodeError, Unreadable):
        return None


async def _may_leave(message: str, judge: Judge) -> bool:
    view = judge.view
    if len(message) > _LONGEST_MESSAGE:
        return False
    return view.empty or (await judge.whole(message)).action < Action.REDACT
