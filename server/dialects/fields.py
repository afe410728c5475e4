"""The closed list of fields that may pass: what a list does not name is dropped, not forwarded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

_LONGEST_NAME: Final = 200
_MOST_BLANKS: Final = 4
_TEXT_OR_NUMBER: Final = (str, int)


class Leaf(Enum):
    """What a known field holds."""

    PLAIN = auto()  # a number, a truth value, null, or a name: too short to say anything
    TEXT = auto()  # text that a channel guards, or null
    TEXT_OR_NUMBER = auto()  # the same, or a number
    WITHHELD = auto()  # could hold text that no channel guards: null passes, anything else becomes null


@dataclass(frozen=True, slots=True)
class Each:
    """A list of objects."""

    fields: Mapping[str, Leaf | Each | Mapping[str, Any]]


Fields = Mapping[str, Any]
"""Known fields: a `Leaf`, an `Each`, or the known fields of an object. mypy cannot say this recursively."""


def is_name(value: object) -> bool:
    """True for a string short enough to be a name or an id, with fewer words than any run that is looked for."""
    return isinstance(value, str) and len(value) <= _LONGEST_NAME and value.count(" ") <= _MOST_BLANKS


def keep_known(body: dict[str, Any], fields: Fields, dropped: list[str]) -> bool:
    """Take everything out of `body` that is not known; True when something was. Adds the names to `dropped`."""
    before = len(dropped)
    unknown: list[str] = []
    for name, value in body.items():
        known = fields.get(name)
        kind = type(value)
        if known is None:
            unknown.append(name)
        elif value is None or (known is Leaf.TEXT and kind is str):
            continue
        elif known is Leaf.PLAIN:
            if kind is not int and kind is not bool and kind is not float and not is_name(value):
                unknown.append(name)
        elif isinstance(known, Each) and kind is list:
            _keep_items(value, name, known, dropped)
        elif kind is dict and isinstance(known, Mapping):
            keep_known(value, known, dropped)
        elif known is not Leaf.TEXT_OR_NUMBER or kind not in _TEXT_OR_NUMBER:
            unknown.append(name)
    for name in unknown:
        dropped.append(name)
        if fields.get(name) is Leaf.WITHHELD:
            body[name] = None
        else:
            del body[name]
    return len(dropped) > before


def _keep_items(items: list[Any], name: str, known: Each, dropped: list[str]) -> None:
    objects = [item for item in items if isinstance(item, dict)]
    if len(objects) < len(items):
        dropped.append(name)
        items[:] = objects
    for item in objects:
        keep_known(item, known.fields, dropped)
