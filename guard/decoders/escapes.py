"""Escapes: single characters written as codes that another program would take off (URL, JSON and C, HTML)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final

from guard.decoders.reading import Decoder, Reading, Stretch, replaced

_URL: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_PLUS: Final = re.compile(r"(?<=[\w%.,;:!?'\")-])\+(?=[\w%\"'(])")
_BACKSLASH: Final = re.compile(
    r"(?:\\u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2})|\\u[0-9A-Fa-f]{4}|\\u\{[0-9A-Fa-f]{1,6}\}"
    r"|\\U[0-9A-Fa-f]{8}|(?:\\x[0-9A-Fa-f]{2})+|\\[0-7]{3}|\\[nrt\"'/]"
)
_ENTITY: Final = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});?")


def _url(found: re.Match[str]) -> str:
    return bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "replace")


def _backslash(found: re.Match[str]) -> str:
    code = found[0]
    kind = code[1]
    if kind in "uU":
        units = [int(unit, 16) for unit in re.findall("[0-9A-Fa-f]+", code.replace("\\u", " ").replace("\\U", " "))]
        if len(units) == 2:
            return chr(0x10000 + ((units[0] & 0x3FF) << 10) + (units[1] & 0x3FF))
        return chr(units[0]) if units[0] < 0x110000 and not 0xD800 <= units[0] < 0xE000 else "\ufffd"
    if kind == "x":
        return bytes.fromhex(code.replace("\\x", "")).decode("utf-8", "replace")
    if kind in "01234567":
        return chr(int(code[1:], 8))
    return {"n": "\n", "r": "\n", "t": "\t"}.get(kind, kind)


def _entity(found: re.Match[str]) -> str:
    return html.unescape(found[0])


def _escapes(stretch: Stretch) -> Iterator[Reading]:
    text = stretch.text
    if "%" in text or text.count("+") > 2:
        pattern = re.compile(f"{_URL.pattern}|{_PLUS.pattern}") if len(_PLUS.findall(text)) > 2 else _URL
        yield from _some(replaced(stretch, pattern, lambda m: " " if m[0] == "+" else _url(m), "url escapes"))
    if "\\" in text:
        yield from _some(replaced(stretch, _BACKSLASH, _backslash, "backslash escapes"))
    if "&" in text:
        yield from _some(replaced(stretch, _ENTITY, _entity, "html entities"))


def _some(reading: Reading | None) -> Iterator[Reading]:
    if reading is not None:
        yield reading


ESCAPES: Final = Decoder("escapes", _escapes, again=True)
