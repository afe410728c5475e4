"""The closed list of fields that may pass: what a list does not name is dropped, not forwarded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

_LONGEST_NAME: Final = 200
_SHORT_NAME: Final = 24
_MOST_BLANKS: Final = 4
_MOST_WORDS: Final = 7
_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_LONG_WORD: Final = re.compile(r"[A-Za-z]{33}|[A-Za-z0-9]{73}")
_TEXT_OR_NUMBER: Final = (str, int)


class Leaf(Enum):
    """What a known field holds."""

    PLAIN = auto()  # a number, a truth value, null, or a name: too short to say anything
    TEXT = auto()  # text that a channel guards, or null
    TEXT_OR_NUMBER = auto()  # the same, or a number
    WITHHELD = auto()  # could hold text that no channel guards: null passes, anything else becomes null
    MODEL = auto()  # the name of a model, which the operator gave it: a path has many words
    EMPTY = auto()  # a list that could hold such text: it leaves empty, or null
    NUMBERS = auto()  # a list of a few numbers: more could spell something


@dataclass(frozen=True, slots=True)
class Each:
    """A list of objects."""

    fields: Mapping[str, Leaf | Each | Mapping[str, Any]]


Fields = Mapping[str, Any]
"""Known fields: a `Leaf`, an `Each`, or the known fields of an object. mypy cannot say this recursively."""


def is_name(value: object) -> bool:
    """True for a string short enough to be a name or an id: whatever stands between its words, they are fewer than the
    run of words that a passage is found by."""
    if not isinstance(value, str):
        return False
    if len(value) <= _SHORT_NAME and value.isidentifier():
        return value.isascii()
    few = value.count(" ") <= _MOST_BLANKS and len(_WORD.findall(value)) <= _MOST_WORDS
    return few and _is_line(value) and _LONG_WORD.search(value) is None


def _is_line(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_NAME and value.isascii() and value.isprintable()


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
        elif known is Leaf.MODEL:
            if not _is_line(value):
                unknown.append(name)
        elif isinstance(known, Each) and kind is list:
            _keep_items(value, name, known, dropped)
        elif kind is dict and isinstance(known, Mapping):
            keep_known(value, known, dropped)
        elif not _is_plain_list(value, known) and (known is not Leaf.TEXT_OR_NUMBER or kind not in _TEXT_OR_NUMBER):
            unknown.append(name)
    for name in unknown:
        dropped.append(name)
        _withhold(body, name, fields.get(name))
    return len(dropped) > before


def _withhold(body: dict[str, Any], name: str, known: object) -> None:
    if known is Leaf.WITHHELD:
        body[name] = None
    elif known is Leaf.EMPTY:
        body[name] = []
    else:
        del body[name]


def _is_plain_list(value: object, known: object) -> bool:
    if not isinstance(value, list):
        return False
    return (known is Leaf.EMPTY and not value) or (known is Leaf.NUMBERS and _are_counts(value))


def _are_counts(items: list[Any]) -> bool:
    return len(items) <= _MOST_WORDS and all(type(item) is int for item in items)


def _keep_items(items: list[Any], name: str, known: Each, dropped: list[str]) -> None:
    objects = [item for item in items if isinstance(item, dict)]
    if len(objects) < len(items):
        dropped.append(name)
        items[:] = objects
    for item in objects:
        keep_known(item, known.fields, dropped)
