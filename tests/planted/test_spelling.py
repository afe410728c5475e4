"""A canary that only the spelling of the JSON holds: no reader sees it, and the client's bytes do not hold it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.guard.streams import PASSAGE
from tests.planted.answers import plain
from tests.planted.asking import ask, by_choice, cuttings, events_of
from tests.planted.canary import NUMBERS, TOKEN, found
from tests.planted.catalog import ANSWERS
from tests.planted.world import pieces_world

_KEY = re.compile(rb'([{,])"([a-z_]+)":')
_DIGITS = "".join(str(number) for number in NUMBERS)
_CODED = "".join(str(byte) for byte in TOKEN.encode())


def twice(value: str) -> Callable[[bytes], bytes]:
    """Every key stands twice: the first says this."""
    told = json.dumps(value).encode()
    return lambda data: _KEY.sub(lambda m: b'%s"%s":%s,"%s":' % (m[1], m[2], told, m[2]), data)


def spelled_twice(data: bytes) -> bytes:
    """The same, where the two are spelled differently."""
    told = json.dumps(PASSAGE).encode()
    return _KEY.sub(lambda m: b'%s"\\u%04x%s":%s,"%s":' % (m[1], m[2][0], m[2][1:], told, m[2]), data)


SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "a key twice, with a passage": twice(PASSAGE),
    "a key twice, with a word": twice(TOKEN),
    "a key twice, with an object": lambda data: twice(PASSAGE)(data).replace(
        json.dumps(PASSAGE).encode(), json.dumps({"a": [TOKEN]}).encode()
    ),
    "a key twice, escaped": spelled_twice,
    "a number that is too exact": lambda data: data.replace(b'"index":0', b'"index":0,"created":1.' + _DIGITS.encode()),
    "a number with many digits": lambda data: re.sub(
        rb'"(created|created_at|input_tokens|prompt_tokens)":\d+', rb'"\1":1' + f"{_CODED * 3}{_DIGITS}".encode(), data
    ),
}
"""What is done to the bytes of an answer."""


def without_numbers(value: Any) -> Any:
    """JSON without the numbers that were planted."""
    named = ("created", "created_at", "input_tokens", "prompt_tokens")
    if isinstance(value, dict):
        return {key: without_numbers(item) for key, item in value.items() if key not in named}
    return [without_numbers(item) for item in value] if isinstance(value, list) else value


def assert_clean(body: bytes) -> None:
    assert not found(body)
    assert _DIGITS.encode() not in body
    assert _CODED.encode() not in body


@pytest.mark.parametrize("dialect", ANSWERS)
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("empty", [False, True])
async def test_the_events_of_a_stream_are_told_without_it(
    dialect: str, spelling: Callable[[bytes], bytes], empty: bool
) -> None:
    answers = ANSWERS[dialect]
    reference = answers.stream(1)
    data = spelling(answers.encode(reference))
    async with pieces_world(empty=empty) as w:
        for cuts in cuttings(data):
            got = await ask(w, dialect, data, cuts, True)
            assert_clean(got.body)
            assert without_numbers(by_choice(plain(events_of(got)))) == without_numbers(by_choice(plain(reference)))


@pytest.mark.parametrize("dialect", ANSWERS)
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("empty", [False, True])
async def test_a_whole_answer_is_told_without_it(dialect: str, spelling: Callable[[bytes], bytes], empty: bool) -> None:
    answers = ANSWERS[dialect]
    data = spelling(json.dumps(answers.whole(1), separators=(",", ":")).encode())
    async with pieces_world(empty=empty) as w:
        got = await ask(w, dialect, data, (), False)
        assert_clean(got.body)
        assert without_numbers(plain(got.json)) == without_numbers(plain(answers.whole(1)))
