"""The same question once more: what of a request is asked again when an answer was suppressed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from server.dialects.dialect import Asked, Json, Rewrite

_WARMEST: Final = 1.5
_LIMITS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def asked_again(asked: Asked, rewrite: Rewrite, left_out: Collection[str]) -> Json:
    """The request without `left_out`, at the temperature that is wanted, for as many tokens as are left."""
    body = {key: value for key, value in asked.body.items() if key not in left_out}
    if rewrite.warmer > 0:
        given = body.get("temperature")
        base = given if isinstance(given, (int, float)) else 1.0
        body["temperature"] = max(base, min(base + rewrite.warmer, _WARMEST))
        body.pop("seed", None)
    for name in _LIMITS:
        most = body.get(name)
        if isinstance(most, int) and rewrite.spent:
            body[name] = max(1, most - rewrite.spent)
    return body
