"""What goes wrong on the application side, whose fault it is, and the one table that says what a client is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from server.access import AccessDenied
from server.batching import JudgeBusy, JudgeFault
from server.limits import BodyTooLarge, TooBusy
from server.observation import DegradedReason, RequestOutcome, UpstreamReason

RETRY_AFTER_S: Final = 1


class ApplicationFault(Exception):
    """Root of what the application side raises on purpose. The message is one public sentence."""


class RequestRefused(ApplicationFault):
    """The client's request cannot be read or asks for what is not allowed; `param` names the field."""

    def __init__(self, message: str, param: str | None = None, code: str = "invalid_request") -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class NoSuchRoute(ApplicationFault):
    """The client asked for a path or method that is not guarded, so it is not served."""


class NoSuchModel(ApplicationFault):
    """The client asked for a model that does not exist, or that clients may not use: it does not learn which."""

    def __init__(self) -> None:
        super().__init__("this model does not exist")


class ContentRefused(ApplicationFault):
    """A call that has no answer to suppress says what may not be said. The message is the policy's refusal."""


class GuardUnavailable(ApplicationFault):
    """The guard cannot tell, and its rule is to refuse then: nobody's content is to blame."""

    def __init__(self, reason: DegradedReason, stages: Sequence[str] = ()) -> None:
        super().__init__("the guard cannot tell")
        self.reason = reason
        self.stages = tuple(stages)


class RequestLate(ApplicationFault):
    """The whole answer took longer than a request may take."""

    def __init__(self) -> None:
        super().__init__("this request took too long")


class UpstreamFault(ApplicationFault):
    """The model server failed us."""

    def __init__(self, reason: UpstreamReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UpstreamRefused(UpstreamFault):
    """The model server answered with an error status. `body` is unguarded: it must not leave as it is."""

    def __init__(self, status: int, body: bytes, retry_after: str | None = None) -> None:
        super().__init__(UpstreamReason.STATUS, "the model server refused this request")
        self.status = status
        self.body = body
        self.retry_after = retry_after


class UpstreamSpoke(UpstreamFault):
    """The model server told an error inside a stream. `body` is unguarded: it must not leave as it is."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__(UpstreamReason.STATUS, "the model server failed while it answered")
        self.body = body


@dataclass(frozen=True, slots=True)
class Told:
    """What a client is told about a fault, before its dialect puts it into words of its own."""

    status: int
    type: str
    code: str | int | None
    message: str
    outcome: RequestOutcome
    param: str | None = None
    retry_after: str | None = None


_UPSTREAM_STATUS: Final = {
    UpstreamReason.CONNECT: (503, "upstream_unreachable"),
    UpstreamReason.TIMEOUT: (504, "upstream_timeout"),
    UpstreamReason.IDLE: (504, "upstream_timeout"),
    UpstreamReason.CLOSED: (502, "upstream_closed"),
    UpstreamReason.PROTOCOL: (502, "upstream_protocol"),
    UpstreamReason.STATUS: (502, "upstream_error"),
}
_INVALID: Final = "invalid_request_error"
_SERVER: Final = "server_error"
_LIMIT: Final = "rate_limit_error"
_RETRY: Final = str(RETRY_AFTER_S)
_CLIENT, _UNAVAILABLE = RequestOutcome.CLIENT_ERROR, RequestOutcome.UNAVAILABLE
_UNCHECKED: Final = "this answer could not be checked, so it is not given; try again later"
_OVERLOADED: Final = "the guard has too much to do; try again later"
_DEFECT: Final = "something went wrong here; the server's log says where"


def told_of(fault: Exception) -> Told:
    """What the client is told. A fault that is not known here is our defect: 500, and nothing is told."""
    told: Told | None = None
    match fault:
        case RequestRefused():
            told = Told(400, _INVALID, fault.code, str(fault), _CLIENT, fault.param)
        case NoSuchRoute():
            told = Told(404, _INVALID, "not_found", str(fault), _CLIENT)
        case NoSuchModel():
            told = Told(404, _INVALID, "model_not_found", str(fault), _CLIENT, "model")
        case ContentRefused():
            told = Told(400, _INVALID, "content_filter", str(fault), RequestOutcome.BLOCKED)
        case BodyTooLarge():
            told = Told(413, _INVALID, "body_too_large", str(fault), _CLIENT)
        case TooBusy():
            told = Told(429, _LIMIT, "too_busy", str(fault), _CLIENT, retry_after=str(fault.retry_after_s))
        case JudgeBusy():
            told = Told(429, _LIMIT, "too_busy", _OVERLOADED, _UNAVAILABLE, retry_after=str(fault.retry_after_s))
        case RequestLate():
            told = Told(504, _SERVER, "request_timeout", str(fault), _UNAVAILABLE)
        case GuardUnavailable() | JudgeFault():
            told = Told(503, _SERVER, "guard_unavailable", _UNCHECKED, _UNAVAILABLE, retry_after=_RETRY)
        case UpstreamFault():
            status, code = _UPSTREAM_STATUS[fault.reason]
            told = Told(status, _SERVER, code, str(fault), RequestOutcome.UPSTREAM_ERROR)
        case AccessDenied():
            told = _denied(fault)
    return told or Told(500, _SERVER, "internal_error", _DEFECT, RequestOutcome.ERROR)


def _denied(fault: AccessDenied) -> Told:
    if fault.status >= 500:  # the keys cannot be read
        return Told(fault.status, _SERVER, fault.code, str(fault), RequestOutcome.ERROR, retry_after=_RETRY)
    kind = "authentication_error" if fault.status == 401 else "permission_error"
    return Told(fault.status, kind, fault.code, str(fault), _CLIENT)
