"""What goes wrong at the border, and the one table that maps every known fault to a status and a public code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from index import errors as index_errors
from server.access import AccessDenied
from server.limits import BodyTooLarge, ClientLeft, TooBusy


class ServerFault(Exception):
    """Root of what `server` raises on purpose on the operator side. The message is one public sentence."""


class BadBody(ServerFault):
    """The caller's body or parameters cannot be read; `errors` says where and why, without repeating them."""

    def __init__(self, message: str, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message)
        self.errors = list(errors)


class NoSuchCall(ServerFault):
    """The caller asked for a path or method that does not exist."""


class NotReady(ServerFault):
    """The index or the embedder is not ready: the operator's concern, and asking again later helps."""


class NotApplied(ServerFault):
    """The write is committed, but not every live replica served it within the time the caller gave."""

    def __init__(self, revision: int, laggards: Sequence[str]) -> None:
        super().__init__("the write is committed, but not every live replica serves it yet")
        self.revision = revision
        self.laggards = list(laggards)


class TimedOut(ServerFault):
    """The answer was not ready in time."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a caller is told: status, code, one sentence, details that hold no forget text, and extra headers."""

    status: int
    code: str
    message: str
    details: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, object]:
        """The error object of the operator API."""
        return {"error": {"code": self.code, "message": self.message, "details": dict(self.details)}}


# Most specific first: the first class that fits decides.
_TABLE: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (BadBody, 400, "bad_request"),
    (NoSuchCall, 404, "not_found"),
    (NotReady, 503, "not_ready"),
    (NotApplied, 504, "not_applied"),
    (TimedOut, 504, "timeout"),
    (ClientLeft, 400, "client_left"),
    (BodyTooLarge, 413, "body_too_large"),
    (TooBusy, 429, "too_many_requests"),
    (index_errors.EntryRefused, 422, "entry_refused"),
    (index_errors.EntryUnknown, 404, "entry_unknown"),
    (index_errors.PolicyUnknown, 404, "policy_unknown"),
    (index_errors.JobUnknown, 404, "job_unknown"),
    (index_errors.KeyUnknown, 404, "key_unknown"),
    (index_errors.DecisionUnknown, 404, "decision_unknown"),
    (index_errors.EntrySealed, 409, "entry_sealed"),
    (index_errors.IdempotencyMismatch, 409, "idempotency_mismatch"),
    (index_errors.Conflict, 409, "conflict"),
    (index_errors.StoreUnavailable, 503, "store_unavailable"),
)
_FIELD: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


def refusal_of(fault: Exception) -> Refusal:
    """What the caller is told about a fault. What is not in the table is our defect: 500, and nothing is told."""
    if isinstance(fault, AccessDenied):
        headers = {"WWW-Authenticate": "Bearer"} if fault.status == 401 else {}
        return Refusal(fault.status, fault.code, str(fault), headers=headers)
    for known, status, code in _TABLE:
        if isinstance(fault, known):
            return Refusal(status, code, str(fault), _details(fault), _headers(fault, status))
    return Refusal(500, "internal_error", "something went wrong here; the server's log says where")


def _details(fault: Exception) -> dict[str, object]:
    match fault:
        case BadBody() if fault.errors:
            return {"errors": fault.errors}
        case NotApplied():
            return {"revision": fault.revision, "laggards": fault.laggards}
        case index_errors.EntryRefused() if fault.position is not None:
            return {"position": fault.position}
        case BodyTooLarge():
            return {"limit_bytes": fault.limit}
    return {}


def _headers(fault: Exception, status: int) -> dict[str, str]:
    if isinstance(fault, TooBusy):
        return {"Retry-After": str(fault.retry_after_s)}
    return {"Retry-After": "1"} if status == 503 else {}


def field_errors(errors: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
    """Where and why, from pydantic's errors: never the value, and no name that the caller made up."""
    told = []
    for error in errors[:20]:
        if error.get("type") == "json_invalid":
            told.append({"where": "body", "reason": "is not valid JSON in UTF-8"})
            continue
        place = error.get("loc", ())
        parts = [_shown(part) for part in place] if isinstance(place, Sequence) else []
        reason = str(error.get("msg", "")).removeprefix("Value error, ")
        told.append({"where": ".".join(parts), "reason": reason})
    return told


def _shown(part: object) -> str:
    if isinstance(part, int):
        return str(part)
    return part if isinstance(part, str) and _FIELD.fullmatch(part) else "(unknown)"
