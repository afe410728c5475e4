"""A canary in every field of every answer: it does not arrive, and everything else of the answer does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guard.verdict import Action
from guard.words import words_of
from tests.guard.streams import PASSAGE
from tests.planted.answers import FINE, executable, heard, plain
from tests.planted.asking import (
    ask,
    by_choice,
    carriers,
    cuttings,
    events_of,
    in_stream,
    in_whole,
    split,
    spoken_in_stream,
    without,
)
from tests.planted.canary import ANYTHING, FACT, LONG_LINES, LONG_NAMES, found
from tests.planted.catalog import ANSWERS
from tests.planted.paths import planted
from tests.planted.table import ROWS, Place, Row
from tests.planted.world import pieces_world
from tests.server.world import REFUSAL, Got

_STREAMED = [row for row in ROWS if row.stream]
_WHOLE = [row for row in ROWS if row.whole]
_TEXTS = {"passage": PASSAGE, "fact": f"It was the {FACT} of old"}
_LONG = 6_000  # bytes: a stream of which not every byte is tried alone for every row
_SAID = {form: ANYTHING[form] for form in ("a passage", "an object", "token ids")}
_FORMS = {Place.NOTHING: ANYTHING, Place.NAME: LONG_NAMES, Place.MODEL: LONG_LINES, Place.ECHO: _SAID}
_SILENT = tuple(_FORMS)
_RESTORED = (Place.MODEL, Place.ECHO)
_SPOKEN = (Place.SPOKEN, Place.ENTIRE, Place.JSON)


def of(rows: list[Row], *places: Place) -> Any:
    return pytest.mark.parametrize("row", [row for row in rows if row.place in places], ids=str)


def counts(row: Row) -> range:
    """How many choices are asked for."""
    return range(1, ANSWERS[row.dialect].most_choices + 1, 2)


def bytes_of(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def assert_clean(got: Got) -> None:
    assert not found(got.body)
    for name, value in got.headers.items():
        assert not found(f"{name}: {value}".encode())


# -- fields that say nothing --


@of(_STREAMED, *_SILENT)
async def test_in_a_stream_nothing_of_a_silent_field_arrives_and_all_else_does(row: Row) -> None:
    async with pieces_world() as w:
        for form, value in enumerate(_FORMS[row.place].values()):
            choices = 1 if form else ANSWERS[row.dialect].most_choices
            reference = ANSWERS[row.dialect].stream(choices)
            events = in_stream(row, value, choices - 1, choices)
            number = carriers(row, events, choices - 1)[0]
            expected = [*events[:number], without(events[number], row.at(True)), *events[number + 1 :]]
            data = ANSWERS[row.dialect].encode(events)
            for cuts in [()] if form != 1 or len(data) > _LONG else cuttings(data):
                got = await ask(w, row.dialect, data, cuts, True, choices)
                assert_clean(got)
                told = by_choice(plain(events_of(got)))
                if not (row.place in _RESTORED and told == by_choice(plain(reference))):
                    assert told == by_choice(plain(expected))


@of(_WHOLE, *_SILENT)
async def test_in_a_whole_answer_nothing_of_a_silent_field_arrives_and_all_else_does(row: Row) -> None:
    async with pieces_world() as w:
        for form, value in enumerate(_FORMS[row.place].values()):
            choices = 1 if form else ANSWERS[row.dialect].most_choices
            body = in_whole(row, value, choices - 1, choices)
            path = row.at(False).replace("choices[]", f"choices[{choices - 1}]", 1)
            got = await ask(w, row.dialect, bytes_of(body), (), False, choices)
            assert_clean(got)
            if not (row.place in _RESTORED and plain(got.json) == plain(ANSWERS[row.dialect].whole(choices))):
                assert plain(got.json) == plain(without(body, path))


@of(_WHOLE, Place.ESSENTIAL)
async def test_an_answer_that_cannot_be_read_is_a_fault_that_says_nothing(row: Row) -> None:
    async with pieces_world() as w:
        for value in LONG_NAMES.values():
            data = ANSWERS[row.dialect].encode(in_stream(row, value, 0, 1))
            for cuts in [(), range(1, len(data), 7)]:
                assert_clean(await ask(w, row.dialect, data, cuts, True))
            got = await ask(w, row.dialect, bytes_of(in_whole(row, value, 0, 1)), (), False)
            assert got.status == 502
            assert_clean(got)


# -- fields that speak --


def value_of(row: Row, text: str) -> Any:
    """What is put into the field to say this."""
    if row.place is not Place.JSON:
        return text
    given = {"place": text, "days": 3}
    return given if row.path.endswith("input") else json.dumps(given)


def assert_only_that_was_redacted(row: Row, got: list[Any], reference: list[Any], choice: int) -> None:
    """Every field of the reference arrived as it is, but for one, and what repeats it, which says that something was
    taken out."""
    answers = ANSWERS[row.dialect]
    said, expected = heard(plain(got)), heard(plain(reference))
    differ = [path for path in said.keys() | expected.keys() if said.get(path) != expected.get(path)]
    differ = [path for path in differ if not _counts(path)]
    assert differ
    if not answers.repeats and row.place is not Place.JSON:
        assert len(differ) == 1, differ
    for path in differ:
        assert f"[{choice}]" in path or answers.most_choices == 1 or "[" not in row.path
        if row.place is Place.SPOKEN:
            told = [word.norm for word in words_of(said[path])]
            known = [word.norm for word in words_of(expected.get(path, ""))]
            assert "redacted" in told
            assert told[-len(known) :] == known or not known
    if row.place is Place.JSON and not row.path.endswith("input"):
        assert [json.loads(said[path]) for path in differ if path.endswith(("arguments", "partial_json"))]


def _counts(path: str) -> bool:
    return ".usage" in path or ".metrics" in path or path.endswith(".sequence_number")


@of(_STREAMED, Place.SPOKEN)
@pytest.mark.parametrize("text", _TEXTS.values(), ids=_TEXTS)
async def test_in_a_stream_a_canary_that_is_spoken_is_redacted_and_all_else_arrives(row: Row, text: str) -> None:
    async with pieces_world() as w:
        for choices in counts(row):
            choice = choices - 1
            reference = ANSWERS[row.dialect].stream(choices)
            said = f"{text}. "
            for parts in ([said], split(said, [5, 9, 30]), list(said)):
                data = ANSWERS[row.dialect].encode(spoken_in_stream(row, parts, choice, choices))
                for cuts in [()] if choice or len(parts) != 4 else cuttings(data):
                    got = await ask(w, row.dialect, data, cuts, True, choices)
                    assert_clean(got)
                    assert_only_that_was_redacted(row, events_of(got), reference, choice)


@of(_STREAMED, Place.ENTIRE, Place.JSON)
@pytest.mark.parametrize("text", _TEXTS.values(), ids=_TEXTS)
async def test_in_a_stream_what_is_held_whole_is_redacted_and_all_else_arrives(row: Row, text: str) -> None:
    async with pieces_world() as w:
        for choices in counts(row):
            choice = choices - 1
            events = ANSWERS[row.dialect].stream(choices)
            for number in carriers(row, events, choice)[1:]:
                events[number] = planted(events[number], row.at(True), "")
            first = carriers(row, events, choice)[0]
            events[first] = planted(events[first], row.at(True), value_of(row, text))
            reference = [
                *events[:first],
                planted(events[first], row.at(True), value_of(row, "x")),
                *events[first + 1 :],
            ]
            data = ANSWERS[row.dialect].encode(events)
            for cuts in [()] if choice else cuttings(data):
                got = await ask(w, row.dialect, data, cuts, True, choices)
                assert_clean(got)
                assert_only_that_was_redacted(row, events_of(got), reference, choice)


@of(_WHOLE, *_SPOKEN)
@pytest.mark.parametrize("text", _TEXTS.values(), ids=_TEXTS)
async def test_in_a_whole_answer_a_canary_is_redacted_and_all_else_arrives(row: Row, text: str) -> None:
    async with pieces_world() as w:
        for choices in counts(row):
            choice = choices - 1
            said = f"{text}. {FINE}" if row.place is Place.SPOKEN else value_of(row, text)
            reference = in_whole(row, FINE if row.place is Place.SPOKEN else value_of(row, "x"), choice, choices)
            got = await ask(w, row.dialect, bytes_of(in_whole(row, said, choice, choices)), (), False, choices)
            assert_clean(got)
            assert_only_that_was_redacted(row, [got.json], [reference], choice)


# -- blocked --


def of_others(said: dict[str, Any], choice: int) -> dict[str, Any]:
    """What the choices beside this one say."""
    return {path: value for path, value in said.items() if "choices[" in path and f"choices[{choice}]" not in path}


@of(_STREAMED, *_SPOKEN)
@pytest.mark.parametrize("text", _TEXTS.values(), ids=_TEXTS)
async def test_a_blocked_choice_of_a_stream_ends_with_the_refusal_and_the_others_arrive(row: Row, text: str) -> None:
    async with pieces_world(Action.BLOCK) as w:
        for choices in counts(row):
            choice = choices - 1
            reference = heard(plain(ANSWERS[row.dialect].stream(choices)))
            parts = [value_of(row, text)] if row.place is not Place.SPOKEN else split(f"{text}. ", [4, 11, 12])
            data = ANSWERS[row.dialect].encode(spoken_in_stream(row, parts, choice, choices))
            for cuts in [()] if choice else cuttings(data):
                got = await ask(w, row.dialect, data, cuts, True, choices)
                assert_clean(got)
                assert REFUSAL.encode() in got.body
                said = heard(plain(events_of(got)))
                assert of_others(said, choice) == of_others(reference, choice)


@of(_WHOLE, *_SPOKEN)
@pytest.mark.parametrize("text", _TEXTS.values(), ids=_TEXTS)
async def test_a_blocked_choice_of_a_whole_answer_is_the_refusal_and_the_others_arrive(row: Row, text: str) -> None:
    async with pieces_world(Action.BLOCK) as w:
        for choices in counts(row):
            choice = choices - 1
            body = in_whole(row, value_of(row, text), choice, choices)
            got = await ask(w, row.dialect, bytes_of(body), (), False, choices)
            assert_clean(got)
            assert REFUSAL.encode() in got.body
            said = heard(plain([got.json]))
            assert of_others(said, choice) == of_others(heard(plain([body])), choice)
            assert not executable({path: value for path, value in said.items() if f"[{choice}]" in path})
