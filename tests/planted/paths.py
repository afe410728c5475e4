"""Places in JSON: `choices[].delta.content`; `[]` is one item of a list, `choices[2]` the one of that number."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from server.dialects.fields import Each, Leaf

_STEP = re.compile(r"([^.\[\]]+)|\[(\d*)\]")


def steps(path: str) -> list[str | int]:
    """Names and numbers of items."""
    return [name or int(number or 0) for name, number in _STEP.findall(path)]


def planted(body: Any, path: str, value: Any) -> Any:
    """A copy of the body with this value in that place; lists are not made longer."""
    body = copy.deepcopy(body)
    *before, last = steps(path)
    at = body
    for step in before:
        at = at[step]
    at[last] = value
    return body


def holds(body: Any, path: str) -> bool:
    """True when there is something in that place."""
    try:
        return read(body, path) is not None
    except (KeyError, IndexError, TypeError):
        return False


def read(body: Any, path: str) -> Any:
    """What stands in that place."""
    for step in steps(path):
        body = body[step]
    return body


def declared(fields: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Leaf]]:
    """Every field of a dialect's closed list with its place."""
    for name, known in fields.items():
        path = f"{before}.{name}" if before else name
        if isinstance(known, Each):
            yield from declared(known.fields, f"{path}[]")
        elif isinstance(known, Mapping):
            yield from declared(known, path)
        else:
            yield path, known
