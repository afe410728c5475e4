"""Structured outputs: shapes are found in requests, checked within bounds, and kept by redaction."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.structured import Structured, redacted, structured_of, structured_of_format, valid

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "born": {"type": "integer"}, "tags": {"type": "array"}},
    "required": ["name"],
    "additionalProperties": False,
}


def shape(schema: Any) -> Structured:
    return Structured(schema=orjson.dumps(schema))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, None),
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, Structured()),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}}, shape(SCHEMA)),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, Structured()),
        ({"response_format": {"type": "structural_tag", "format": {}}}, Structured(json=False)),
        ({"structured_outputs": {"json": SCHEMA}}, shape(SCHEMA)),
        ({"structured_outputs": {"json": json.dumps(SCHEMA)}}, Structured(schema=json.dumps(SCHEMA).encode())),
        ({"structured_outputs": {"json_object": True}}, Structured()),
        ({"structured_outputs": {"regex": "a+"}}, Structured(json=False)),
        ({"guided_json": SCHEMA}, shape(SCHEMA)),
        ({"guided_choice": ["a", "b"]}, Structured(json=False)),
        ({"response_format": {"type": "json_object"}, "structured_outputs": {"json": SCHEMA}}, Structured()),
    ],
)
def test_the_shape_that_a_request_asks_for(body: dict[str, Any], found: Structured | None) -> None:
    assert structured_of(body) == found


def test_the_shape_of_a_format_by_itself() -> None:
    assert structured_of_format({"type": "json_schema", "name": "x", "schema": SCHEMA}) == shape(SCHEMA)
    assert structured_of_format({}) is None


@pytest.mark.parametrize(
    ("text", "structured", "told"),
    [
        ('{"name": "x"}', shape(SCHEMA), True),
        ('{"born": 1}', shape(SCHEMA), False),
        ('{"name": "x", "more": 1}', shape(SCHEMA), False),
        ('{"name": "x"', shape(SCHEMA), False),
        ("I can't help with that.", Structured(), False),
        ("[1]", Structured(), True),
        ("a", Structured(json=False), False),
        ("{}", Structured(schema=b"{"), False),
        ("{}", shape({"type": "no type"}), False),
        ("{}", shape({"$ref": "http://127.0.0.1:1/elsewhere"}), False),
        ("{}", shape({"$ref": "#"}), False),
        ('"ab"', shape({"pattern": "^a"}), True),
        ('"ba"', shape({"pattern": "^a"}), False),
        ("[1, 1]", shape({"uniqueItems": True}), False),
        ("[1, true]", shape({"uniqueItems": True}), True),
    ],
)
def test_a_text_has_the_shape_or_not(text: str, structured: Structured, told: bool) -> None:
    assert valid(text, structured) is told


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        (f'"{"a" * 40}!"', {"pattern": "^(a+)+$"}),
        (f'"{"a" * 40}!"', {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "^(a|a)*$"}),
        (f'["{"a" * 40}!"]', {"items": {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "^(a+)+$"}}),
        (f'{{"{"a" * 40}!": 1}}', {"patternProperties": {"^(a+)+$": {}}}),
        (
            "{}",
            {
                "$defs": {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)} | {"a40": {}},
                "$ref": "#/$defs/a0",
            },
        ),
    ],
)
def test_a_schema_that_would_take_forever_is_not_checked_to_its_end(text: str, schema: Any) -> None:
    began = time.process_time()
    assert not valid(text, shape(schema))
    assert time.process_time() - began < 10  # unbounded, it would be hours


def spans_of(text: str, *parts: str) -> list[tuple[int, int]]:
    return [(text.index(part), text.index(part) + len(part)) for part in parts]


def test_redaction_keeps_what_is_not_condemned() -> None:
    text = '{"name": "The copper \\u0041nd treaty, rain", "born": 1971, "tags": ["harbour"]}'
    said = redacted(text, spans_of(text, "copper \\u0041nd treaty"), "[…]", shape(SCHEMA))
    assert said is not None
    assert json.loads(said) == {"name": "The […], rain", "born": 1971, "tags": ["harbour"]}


def test_a_condemned_number_says_nothing() -> None:
    text = '{"name": "Ada", "born": 1971}'
    said = redacted(text, [(text.index("Ada"), len(text))], "gone", shape(SCHEMA))
    assert said is not None
    assert json.loads(said) == {"name": "gone", "born": 0}
    assert json.loads(redacted(text, spans_of(text, "1971"), "gone", Structured()) or "") == {
        "name": "Ada",
        "born": None,
    }


def test_an_escape_is_not_cut() -> None:
    text = '{"name": "a\\ud83d\\ude00b \\"copper\\" c"}'
    at = text.index("\\ude00")
    said = redacted(text, [(at, at + 2)], "-", Structured())
    assert said is not None
    assert json.loads(said) == {"name": 'a-b "copper" c'}


def test_where_a_part_is_not_valid_the_whole_string_goes_and_else_nothing_leaves() -> None:
    text = '{"name": "The copper treaty"}'
    spans = spans_of(text, "copper")
    short = {"properties": {"name": {"maxLength": 3}}}
    assert redacted(text, spans, "[…]", shape(short)) == '{"name": "[…]"}'
    assert redacted(text, spans, "[gone]", shape(short)) == '{"name": ""}'
    assert redacted(text, spans, "[gone]", shape({"properties": {"name": {"enum": ["The copper treaty"]}}})) is None
    assert redacted(text, spans, "[gone]", Structured(json=False)) is None
    assert redacted(text[:-1], spans, "[gone]", Structured()) is None


def test_a_name_that_the_model_chose_is_not_kept_and_cannot_be_redacted() -> None:
    text = '{"copper": 1}'
    assert redacted(text, spans_of(text, "copper"), "gone", Structured()) is None
    declared = shape({"properties": {"copper": {"type": "integer"}}})
    assert redacted(text, spans_of(text, "copper"), "gone", declared) == text


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(JSONS, st.booleans(), st.data())
def test_a_redaction_is_json_and_says_nothing_of_the_spans(value: Any, ascii_only: bool, data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).replace("\ud800", "")
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    said = redacted(text, [(start, end)], "\u2402", Structured())
    if said is not None:
        told = json.dumps(json.loads(said), ensure_ascii=False)
        assert type(json.loads(said)) in (type(value), type(None))
        assert start == end or "\u2402" in told or said == text or "null" in told
