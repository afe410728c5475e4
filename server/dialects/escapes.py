"""JSON inside a text: what a tool's arguments say once they are read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

from server.dialects.fields import is_name

_ESCAPE: Final = re.compile(
    r"\\(?:u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|u(?P<code>[0-9a-fA-F]{4})|(?P<char>.))",
    re.DOTALL,
)
_OPEN: Final = re.compile(
    r"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?)?)?\Z"
)
_SHORT: Final = {"n": "\n", "r": "\r", "t": "\t", "b": " ", "f": " "}
_FILLER: Final = "\u200b"  # read as nothing, also inside a word


def unescaped(text: str) -> str:
    """The text with its JSON escapes resolved, in as many characters: positions stay what they are."""
    return _ESCAPE.sub(_resolve, text) if "\\" in text else text


def _resolve(found: re.Match[str]) -> str:
    if found["high"]:
        char = chr(0x10000 + ((int(found["high"], 16) - 0xD800) << 10) + int(found["low"], 16) - 0xDC00)
    elif found["code"]:
        code = int(found["code"], 16)
        char = " " if 0xD800 <= code <= 0xDFFF else chr(code)
    else:
        char = _SHORT.get(found["char"], found["char"])
    return char.ljust(len(found[0]), _FILLER)


def cut_escape(text: str) -> tuple[str, str]:
    """The text before an escape at its end that more text may belong to, and that escape."""
    at = text.find("\\")
    while at >= 0:
        if _OPEN.match(text, at):
            return text[:at], text[at:]
        found = _ESCAPE.match(text, at)
        at = text.find("\\", found.end() if found else at + 1)
    return text, ""


Span = tuple[int, int]
"""Start and end of a stretch, in characters."""


def values_in(text: str) -> str:
    """What the strings of some JSON say, one after the other; all of a text that is no JSON, as it is read."""
    try:
        return " ".join(_strings(orjson.loads(text)))
    except orjson.JSONDecodeError:
        return unescaped(text)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def redacted_json(text: str, spans: Sequence[Span], placeholder: str) -> str | None:
    """JSON of the same shape that says nothing: a part of an argument is of no use, and half of it is no JSON."""
    try:
        return orjson.dumps(_emptied(orjson.loads(text), placeholder)).decode()
    except orjson.JSONDecodeError:
        return "{}"


def _emptied(value: Any, placeholder: str) -> Any:
    if isinstance(value, dict):
        return {key: _emptied(item, placeholder) for key, item in value.items() if is_name(key)}
    if isinstance(value, list):
        return [_emptied(item, placeholder) for item in value]
    return placeholder if isinstance(value, str) else None
