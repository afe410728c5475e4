"""What the bytes of a JSON object hold that the object does not: bytes that leave as they came must not say more."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

_LONGEST_NUMBER: Final = 26  # of a double, written out in full


class _Hidden(Exception):
    """The bytes say more than the object."""


def hides(data: bytes, body: object) -> bool:
    """True when more stands in `data` than in `body`, which was just read from it: a key that a later one of the same
    name replaced, or digits of a number that no reader keeps. So does what is nested too deep to be written again."""
    try:
        if orjson.dumps(body) == data:
            return False
        json.loads(data, object_pairs_hook=_once, parse_float=_number, parse_int=_number)
    except (_Hidden, TypeError, ValueError, RecursionError):
        return True
    return False


def _once(pairs: list[tuple[str, Any]]) -> None:  # Any: other people's JSON
    if len({key for key, _ in pairs}) < len(pairs):
        raise _Hidden


def _number(digits: str) -> None:
    if len(digits) > _LONGEST_NUMBER:
        raise _Hidden
