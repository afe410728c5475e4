"""How a call of the operator API is refused: one form for every status."""

from __future__ import annotations

from typing import Any, Final

from server.schemas.base import Schema


class RefusedOut(Schema):
    """Why: a code in snake case, one sentence, and details without text that must be forgotten."""

    code: str
    message: str
    details: dict[str, Any]  # Any: each code has details of its own


class RefusalOut(Schema):
    """The body of every answer that is no success."""

    error: RefusedOut


_WHY: Final = {
    400: "the body or a parameter cannot be read",
    401: "no access key, or none that is known",
    403: "the role or the namespace of the key does not allow this call",
    404: "it does not exist",
    409: "it conflicts with what is stored, or the idempotency key belongs to another call",
    413: "the body is too long",
    422: "the entry is refused",
    429: "too many calls at once",
    503: "the store or the index cannot answer now",
    504: "not done in time",
}
REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": RefusalOut, "description": why} for status, why in _WHY.items()
}
"""What every call of the operator API may answer beside its success, as FastAPI wants it."""
