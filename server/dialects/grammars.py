"""The text inside what forces or describes text: schemas, grammars, regular expressions, tools, stop strings.

```
    {"enum": ["The treaty"]}     The treaty          values, and the names that a schema gives to fields
    The[ ]tre(at){1}y\\.         The treaty.         a pattern is also read as the text that it would let through
    root ::= "The " "treaty"     The treaty          and a grammar as its quoted parts in a row
```
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import orjson

_KEYWORDS: Final = frozenset(
    {"type", "properties", "required", "items", "description", "title", "default", "enum", "const", "anyOf", "oneOf"}
    | {"allOf", "not", "if", "then", "else", "$ref", "$defs", "$schema", "$id", "definitions", "format", "pattern"}
    | {"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "examples"}
    | {"additionalProperties", "patternProperties", "propertyNames", "strict", "name", "parameters", "function"}
    | {"json", "regex", "choice", "grammar", "json_object", "json_schema", "schema", "structural_tag", "structures"}
    | {"begin", "end", "triggers", "input_schema", "cache_control", "nullable", "prefixItems", "content", "id"}
)
_UNSAID: Final = frozenset({"type", "format", "$ref", "$schema", "$id"})
_LONGEST: Final = 200_000
_LONGEST_NAME: Final = 64
_MARKS: Final = re.compile(r"[\\\[\](){}*+?|^$]")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"' + r"|'((?:[^'\\]|\\.)*)'")
_CODE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))")
_BLANK: Final = re.compile(r"\\[sSWnrtbB]|\[\\?\s\]|\.[*+]?|\|")
_GROUP: Final = re.compile(r"\(\?(?:[:=!>]|<[=!]|P?<\w+>|[aiLmsux]+:?)|\{\d*,?\d*\}")
_LEFT: Final = re.compile(r"[\[\](){}*+?^$]")


def strings_of(value: object) -> Iterator[str]:
    """Every text in a schema, a grammar or a tool, with the names of fields that are no keywords of a schema."""
    waiting = [value]  # last first; no recursion: a client may nest as deep as it likes
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            inner = _inner(found)
            if inner is None:
                yield from _readings(found)
            else:
                waiting.append(inner)
        elif isinstance(found, list):
            waiting.extend(reversed(found))
        elif isinstance(found, dict):
            told = [each for key, item in found.items() for each in _told(key, item)]
            waiting.extend(reversed(told))


def _told(key: str, item: object) -> Iterator[object]:
    if key not in _KEYWORDS and not key.isdigit():
        yield key
    if not (key in _UNSAID and isinstance(item, str) and len(item) <= _LONGEST_NAME and " " not in item):
        yield item


def forced_text(value: object) -> str:
    """All of that as one text."""
    return "\n".join(strings_of(value))


def _inner(text: str) -> object:
    """The JSON object or list that a text holds; None when it holds none."""
    if text[:1] not in ("{", "[") or len(text) > _LONGEST:
        return None
    try:
        found: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found


def _readings(text: str) -> Iterator[str]:
    yield text
    if _MARKS.search(text):
        yield plain_reading(text)
    if "::=" in text or '"' in text or "'" in text:
        quoted = "".join(one or other for one, other in _QUOTED.findall(text))
        if quoted and quoted != text:
            yield quoted


def plain_reading(pattern: str) -> str:
    """What a regular expression most simply lets through: without its marks, its classes as what they name."""
    read = _CODE.sub(lambda found: chr(int(found[1] or found[2], 16)), pattern)
    read = _BLANK.sub(" ", read.replace("\\.", "\0"))
    return _LEFT.sub("", _GROUP.sub("", read)).replace("\\", "").replace("\0", ".")
