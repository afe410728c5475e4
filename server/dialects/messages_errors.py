"""Errors in the words of `/v1/messages`."""

from __future__ import annotations

from typing import Final

from server.dialects.dialect import Json, Unreadable, UpstreamError
from server.dialects.fields import is_name
from server.faults import Told

_INVALID: Final = "invalid_request_error"
_API: Final = "api_error"
_BY_STATUS: Final = {
    400: _INVALID,
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_KINDS: Final = frozenset({*_BY_STATUS.values(), _API, "billing_error"})


def error_body(told: Told) -> Json:
    """The error object: a type of this API's, and the message."""
    kind = _BY_STATUS.get(told.status) or (told.type if told.type in _KINDS else None)
    if kind is None:
        kind = _INVALID if told.status < 500 else _API
    return {"type": "error", "error": {"type": kind, "message": told.message}}


def read_error(body: Json) -> UpstreamError:
    """The error object, in this API's form or in that of the dialects with choices. Raises `Unreadable`."""
    error = body.get("error", body)
    error = {"message": error} if isinstance(error, str) else error
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        raise Unreadable("an error without a message")
    kind = error.get("type")
    return UpstreamError(error["message"], kind if isinstance(kind, str) and is_name(kind) else "upstream_error")
