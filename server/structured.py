"""Structured outputs: what shape a client asked for, whether a text has it, and how JSON is redacted without losing it.

```
    {"name": "Ada Quill", "tool": "a lamp"}       spans: what is condemned
              |-------|
    {"name": "[…]", "tool": "a lamp"}             inside strings only; then whole strings, then none; else None
```
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

Span = tuple[int, int]
"""Start and end of a stretch, in characters."""

_LONGEST: Final = 1_000_000  # characters of a text or a schema
_MOST_STEPS: Final = 20_000
_MOST_UNIQUE: Final = 1_000
_LONGEST_PATTERN: Final = 200
_LONGEST_MATCHED: Final = 2_000
_HARD: Final = re.compile(r"\)[*+?{]|\\[1-9]|\(\?(?!:)|[*+}][^|]*[*+}][^|]*[*+}]")
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*')
_UNIT: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.DOTALL
)
_KEY: Final = re.compile(r"\s*:")


@dataclass(frozen=True, slots=True)
class Structured:
    """The shape that an answer must have. `json`: it is JSON, by `schema` (as JSON) where there is one; otherwise it
    follows a grammar that only upstream can check."""

    json: bool = True
    schema: bytes | None = None


class _Exhausted(Exception):
    """A schema that takes too long to check, or that cannot be checked safely."""


def structured_of(body: Mapping[str, Any]) -> Structured | None:
    """The shape that a chat or a completion asks for; None for free text."""
    found = structured_of_format(_object(body.get("response_format")))
    outputs = _object(body.get("structured_outputs"))
    if found is not None:
        return found
    for name in ("json", "regex", "choice", "grammar", "json_object", "structural_tag"):
        for value in (outputs.get(name), body.get(f"guided_{name}")):
            if value:
                return _shape(name, value)
    return None


def structured_of_format(told: Mapping[str, Any]) -> Structured | None:
    """The same for one format object: of `response_format`, or of `text.format`."""
    kind = told.get("type")
    if kind == "json_object":
        return Structured()
    if kind == "json_schema":
        return _shape("json", told.get("schema") or _object(told.get("json_schema")).get("schema"))
    return None if kind in (None, "text") else Structured(json=False)


def _shape(name: str, value: object) -> Structured:
    if name == "json_object":
        return Structured()
    if name != "json":
        return Structured(json=False)
    if isinstance(value, str):
        return Structured(schema=value.encode("utf-8", "replace"))
    return Structured(schema=None if value is None else orjson.dumps(value))


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def valid(text: str, structured: Structured) -> bool:
    """True when the text has the shape; False also when that cannot be told."""
    if not structured.json or len(text) > _LONGEST or len(structured.schema or b"") > _LONGEST:
        return False
    try:
        value = orjson.loads(text)
        if structured.schema is None:
            return True
        schema = _undated(orjson.loads(structured.schema))
        Draft202012Validator.check_schema(schema)
        return next(_validator(schema).iter_errors(value), None) is None
    except (orjson.JSONDecodeError, SchemaError, Unresolvable, RecursionError, _Exhausted):
        return False


def redacted(text: str, spans: Sequence[Span], placeholder: str, structured: Structured) -> str | None:
    """JSON with what stands in the spans (characters of `text`) replaced inside its strings, and still of the shape;
    None when there is no such JSON. Condemned numbers become null, or 0."""
    if not structured.json or len(text) > _LONGEST or not _is_json(text):
        return None
    try:
        return _redacted(text, spans, placeholder, structured)
    except RecursionError:
        return None


def _redacted(text: str, spans: Sequence[Span], placeholder: str, structured: Structured) -> str | None:
    told = orjson.dumps(placeholder).decode()[1:-1]
    found = [token for token in _TOKEN.finditer(text) if any(_overlaps(token, span) for span in spans)]
    keys = [token for token in found if token[0][0] == '"' and _KEY.match(text, token.end())]
    if any(not _is_declared(key[0], structured) for key in keys):
        return None
    tokens = [token for token in found if token not in keys]
    for write in (_without(spans, told), lambda _: f'"{told}"', lambda _: '""'):
        for number in ("null", "0"):
            said = _rewritten(text, tokens, write, number)
            if valid(said, structured):
                return said
    return None


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _overlaps(token: re.Match[str], span: Span) -> bool:
    """True when the span holds a character of what the token says, its quotation marks aside."""
    quoted = token[0][0] == '"'
    return token.start() + quoted < span[1] and span[0] < token.end() - quoted


def _is_declared(key: str, structured: Structured) -> bool:
    """True for a name that the client gave to a field itself: saying it tells nothing."""
    return structured.schema is not None and orjson.loads(key) in _names(orjson.loads(structured.schema))


def _names(schema: object) -> set[str]:
    if isinstance(schema, list):
        return {name for item in schema for name in _names(item)}
    if not isinstance(schema, dict):
        return set()
    declared = schema.get("properties")
    named = set(declared) if isinstance(declared, dict) else set()
    return named | {name for item in schema.values() for name in _names(item)}


def _rewritten(text: str, tokens: Sequence[re.Match[str]], write: Callable[[re.Match[str]], str], number: str) -> str:
    parts, at = [], 0
    for token in tokens:
        parts += [text[at : token.start()], write(token) if token[0][0] == '"' else number]
        at = token.end()
    return "".join([*parts, text[at:]])


def _without(spans: Sequence[Span], told: str) -> Callable[[re.Match[str]], str]:
    """Writes a string without what stands in the spans."""

    def write(token: re.Match[str]) -> str:
        said: list[str] = []
        gone = False
        for unit in _UNIT.finditer(token[0], 1, len(token[0]) - 1):
            start, end = token.start() + unit.start(), token.start() + unit.end()
            cut = any(start < span[1] and span[0] < end for span in spans)
            if not cut:
                said.append(unit[0])
            elif not gone:
                said.append(told)
            gone = cut
        return f'"{"".join(said)}"'

    return write


def _undated(schema: Any) -> Any:  # Any: other people's JSON
    """The schema without the name of its draft, which would bring other checks than those that give up in time."""
    if isinstance(schema, list):
        return [_undated(item) for item in schema]
    if isinstance(schema, dict):
        return {key: _undated(item) for key, item in schema.items() if key != "$schema"}
    return schema


def _validator(schema: Any) -> Draft202012Validator:  # Any: other people's JSON
    """A validator that fetches nothing and gives up in time."""
    steps = iter(range(_MOST_STEPS))

    def counted(check: Any) -> Any:  # Any: the library's own untyped signature
        def step(validator: Any, value: Any, instance: Any, around: Any) -> Iterator[ValidationError]:
            if next(steps, None) is None:
                raise _Exhausted
            yield from check(validator, value, instance, around) or ()

        return step

    checks = {**Draft202012Validator.VALIDATORS, "pattern": _pattern, "uniqueItems": _unique}
    checks |= {"patternProperties": _unsupported, "$dynamicRef": _unsupported, "unevaluatedItems": _unsupported}
    kind = extend(  # type: ignore[no-untyped-call]  # the library does not say
        Draft202012Validator, {name: counted(check) for name, check in checks.items()}
    )
    found: Draft202012Validator = kind(schema, registry=Registry())
    return found


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, str):
        return
    hard = len(pattern) > _LONGEST_PATTERN or len(instance) > _LONGEST_MATCHED or _HARD.search(pattern)
    if hard:  # could take forever
        raise _Exhausted
    try:
        if not re.search(pattern, instance):
            yield ValidationError("does not match")
    except re.error:
        raise _Exhausted from None


def _unique(_: Any, wanted: bool, instance: Any, __: Any) -> Iterator[ValidationError]:
    if not wanted or not isinstance(instance, list):
        return
    if len(instance) > _MOST_UNIQUE:
        raise _Exhausted
    if len({orjson.dumps(item, option=orjson.OPT_SORT_KEYS) for item in instance}) < len(instance):
        yield ValidationError("is not unique")


def _unsupported(*_: Any) -> Iterator[ValidationError]:
    raise _Exhausted
