"""The table has a row for every field that the dialects know, and says the same about it as they do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from server.dialects import DIALECTS, messages_fields, responses_fields
from server.dialects.choices import ChoicesDialect
from server.dialects.fields import Leaf
from tests.planted.canary import ANYTHING, FACT, LONG_NAMES, found
from tests.planted.catalog import ANSWERS
from tests.planted.paths import declared
from tests.planted.table import LEAVES, ROWS, Place, Row

_LISTS = {
    (dialect.name, stream): dict(declared(dialect._event_fields if stream else dialect._body_fields))
    for dialect in DIALECTS
    if isinstance(dialect, ChoicesDialect)
    for stream in (True, False)
}


@pytest.mark.parametrize(("dialect", "stream"), _LISTS)
def test_every_known_field_has_a_row(dialect: str, stream: bool) -> None:
    rows = {row.at(stream) for row in ROWS if row.dialect == dialect and (row.stream if stream else row.whole)}
    assert set(_LISTS[dialect, stream]) <= rows


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_says_what_the_dialect_declares(row: Row) -> None:
    for stream in (True, False):
        if (row.dialect, stream) in _LISTS and (row.stream if stream else row.whole):
            known = _LISTS[row.dialect, stream].get(row.at(stream))
            assert known in LEAVES[row.place]


def test_every_dialect_has_an_answer() -> None:
    assert set(ANSWERS) == {dialect.name for dialect in DIALECTS}


@pytest.mark.parametrize("answers", ANSWERS.values(), ids=lambda answers: answers.dialect)
def test_what_the_answers_say_holds_no_canary(answers: object) -> None:
    assert not found(answers.encode(answers.stream(answers.most_choices)))  # type: ignore[attr-defined]


@pytest.mark.parametrize("form", [*ANYTHING.values(), *LONG_NAMES.values(), FACT], ids=str)
def test_a_canary_is_found_in_every_form(form: object) -> None:
    import json

    assert found(json.dumps({"choices": [{"index": 0, "x": form}]}).encode())


# -- dialects whose events have types --


def _plain_path(path: str) -> str:
    return re.sub(r"\[\d+\]", "[]", path)


def _rows_of(dialect: str, event: str = "") -> set[str]:
    """The places of all rows of an event, or of a whole answer."""
    rows = (row for row in ROWS if row.dialect == dialect)
    return {_plain_path(row.path) for row in rows if (row.event == event if event else row.whole)}


def _speaking(fields: Mapping[str, Any], before: str = "") -> set[str]:
    """The fields that could say something: all but numbers and names that tell events and places apart."""
    apart = ("type", "index")
    return {path for path, _ in declared(fields, before) if path.rpartition(".")[2] not in apart}


@pytest.mark.parametrize("event", messages_fields.EVENT_FIELDS)
def test_every_known_field_of_an_event_of_a_message_has_a_row(event: str) -> None:
    lists = {path for path, leaf in declared(messages_fields.EVENT_FIELDS[event]) if leaf is Leaf.EMPTY}
    known = _speaking(messages_fields.EVENT_FIELDS[event]) - lists
    # where a stream begins a block, its texts are empty: they come in pieces
    known -= {"content_block.text", "content_block.thinking", "content_block.signature"}
    known -= {"message.stop_sequence"} if event == "message_start" else set()
    assert known <= _rows_of("messages", event)


def test_every_known_field_of_a_message_has_a_row() -> None:
    known = {path.replace("content[].input", "") for path in _speaking(messages_fields.MESSAGE_FIELDS)}
    assert known - {""} <= _rows_of("messages")


def test_every_known_field_of_a_response_has_a_row() -> None:
    lists = {path for path, leaf in declared(responses_fields.RESPONSE_FIELDS) if leaf in (Leaf.EMPTY, Leaf.NUMBERS)}
    known = _speaking(responses_fields.RESPONSE_FIELDS) - lists
    known -= {"error.code", "error.message", "incomplete_details.reason"}  # of a response that failed: an error
    assert known <= _rows_of("responses")


@pytest.mark.parametrize("type_", responses_fields.ITEM_FIELDS)
def test_every_known_field_of_an_item_of_a_response_has_a_row(type_: str) -> None:
    output = ANSWERS["responses"].whole(1)["output"]
    numbers = [number for number, item in enumerate(output) if item["type"] == type_]
    assert numbers
    rows = {row.path for row in ROWS if row.dialect == "responses" and row.whole}
    for path, leaf in declared(responses_fields.ITEM_FIELDS[type_]):
        if leaf is not Leaf.EMPTY and path != "type" and not path.startswith("caller."):
            assert any(f"output[{number}].{path}" in rows for number in numbers), path


@pytest.mark.parametrize("type_", responses_fields.PART_FIELDS)
def test_the_text_of_every_part_of_a_response_has_a_row(type_: str) -> None:
    texts = [path for path, leaf in declared(responses_fields.PART_FIELDS[type_]) if leaf is Leaf.TEXT]
    said = [row.path for row in ROWS if row.dialect == "responses" and row.place is Place.SPOKEN]
    assert all(any(path.endswith(f".{text}") for path in said) for text in texts)
