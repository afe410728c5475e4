"""The text inside grammars is found, however it is written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guard.words import words_of
from server.dialects.grammars import forced_text, plain_reading

SAID = "The treaty of the old harbour was signed in copper"
WORDS = SAID.split()


def holds(value: Any) -> bool:
    found = [word.norm for word in words_of(forced_text(value))]
    wanted = [word.norm for word in words_of(SAID)]
    return any(found[at : at + len(wanted)] == wanted for at in range(len(found)))


@pytest.mark.parametrize(
    "value",
    [
        SAID,
        [SAID],
        {"choice": ["no", SAID]},
        {"json": {"properties": {"a": {"enum": [SAID]}}}},
        {"json": json.dumps({"properties": {"a": {"const": SAID}}})},
        {"json": {"properties": {SAID: {"type": "string"}}}},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": {"required": [SAID]}}},
        {"type": SAID},
        {"regex": r"\s+".join(WORDS)},
        {"regex": "[ ]".join(f"(?:{word})" for word in WORDS) + r"\."},
        {"regex": " ".join(f"{word[:-1]}[{word[-1]}]{{1}}" for word in WORDS)},
        {"regex": " ".join(f"\\x{ord(word[0]):02x}{word[1:]}" for word in WORDS)},
        {"regex": ".".join(WORDS)},
        {"pattern": f"^(?P<a>{SAID})+$"},
        {"grammar": "root ::= " + " ".join(f'"{word} "' for word in WORDS)},
        {"grammar": "start: " + " ".join(f"'{word} '" for word in WORDS) + '\nother: "x"'},
        {"structural_tag": json.dumps({"structures": [{"begin": SAID, "schema": {}, "end": ""}]})},
    ],
)
def test_forced_text_is_found(value: Any) -> None:
    assert holds(value)


def test_words_of_a_schema_itself_are_no_text() -> None:
    assert (
        forced_text({"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}) == "age\nage"
    )
    assert forced_text({"type": "json_object"}) == ""
    assert forced_text({"5": 1.0, "600": -100}) == ""


def test_a_deep_schema_ends_the_search_not_the_server() -> None:
    deep: Any = SAID
    for _ in range(900):
        deep = {"anyOf": [deep]}
    assert "treaty" in forced_text(deep)


def test_a_pattern_is_read_as_the_text_it_lets_through() -> None:
    assert plain_reading(r"The[ ]tre(?:at){1}y\s+was\x20signed\.") == "The treaty was signed."
