"""What is planted, and how it is found again in whatever a client received."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from guard.words import words_of
from tests.guard.streams import PASSAGE, RUNS

TOKEN: Final = "zq7canary4x"
"""A word that nothing else says: for places of which nothing may arrive."""

FACT: Final = "copper treaty"
"""What the small world's fact is convicted by."""

NUMBERS: Final = [914_801, 914_803, 914_807, 914_813]
"""Token ids that nothing else says."""

WORDS: Final = PASSAGE.split()
_INNER: Final = re.compile(r"\s*[\[{\"]")


def spelled(text: str) -> list[dict[str, Any]]:
    """A text as lists of tokens show it."""
    return [{"token": word, "logprob": -0.5, "bytes": list(word.encode())} for word in text.split()]


FORGOTTEN: Final[tuple[Any, ...]] = (
    *(PASSAGE, {"text": PASSAGE}, WORDS, [{"text": PASSAGE}], {PASSAGE: 1}, {"content": spelled(PASSAGE)}),
    *(list(PASSAGE.encode()), [list(word.encode()) for word in WORDS]),
)
"""For places of which a passage must not arrive, though other text may."""

ANYTHING: Final[dict[str, Any]] = {
    "a word": TOKEN,
    "a passage": PASSAGE,
    "an object": {"text": PASSAGE, TOKEN: 1},
    "a list of words": [TOKEN, *WORDS],
    "a list of objects": [{"text": PASSAGE}, {TOKEN: TOKEN}],
    "tokens": {"content": [{**token, "top_logprobs": spelled(TOKEN)} for token in spelled(PASSAGE)]},
    "token ids": NUMBERS,
    "bytes": list(TOKEN.encode()),
    "base64": base64.b64encode(TOKEN.encode()).decode() + " " * 6,
}
"""For a field of which nothing may arrive."""

LONG_NAMES: Final[dict[str, Any]] = {
    "a passage": PASSAGE,
    "dashes": "-".join(WORDS),
    "dots": ".".join(WORDS),
    "underscores": "_".join(WORDS),
    "lines": "\n".join(WORDS),
    "no-break spaces": "\u00a0".join(WORDS),
    "one word": "".join(WORDS),
    "an object": {"text": PASSAGE, TOKEN: 1},
    "a list": [TOKEN, *WORDS],
    "token ids": NUMBERS,
}
"""For a field in which only a number or a name may stand."""


LONG_LINES: Final[dict[str, Any]] = {
    "lines": "\n".join(WORDS),
    "no-break spaces": "\u00a0".join(WORDS),
    "long": "-".join(WORDS * 3),
    **{form: LONG_NAMES[form] for form in ("an object", "a list", "token ids")},
}
"""For a field in which only one line may stand that is not long."""


def found(body: bytes, run: int = 0, glued: bool = True) -> str:
    """Which canary these bytes hold in any form, empty when none: JSON, events or plain text.

    `run`: of so many words of a passage one after the other, and no fact, which is as short as a name; 0 for what the
    small world looks for. `glued`: also without anything between its words.
    """
    fact = () if run else tuple(FACT.split())
    run = run or _K
    for text in _texts(body):
        compact = "".join(text.lower().split())
        for canary in (*_WHOLE, *(["".join(WORDS[4 : 4 + run])] if glued else ())):
            if canary in compact or canary in text.lower():
                return canary
        words = [word.norm for word in words_of(text)]
        if fact in pairwise(words):
            return FACT
        for start in range(len(words) - run + 1):
            said = words[start : start + run]
            if all(tuple(said[at : at + _K]) in RUNS for at in range(run - _K + 1)):
                return " ".join(said)
    return ""


_K: Final = min(len(run) for run in RUNS if len(run) > 2)
_WHOLE: Final = (
    TOKEN,
    TOKEN.encode().hex(),
    base64.b64encode(TOKEN.encode()).decode().lower(),
    ",".join(str(number) for number in TOKEN.encode()),
    str(NUMBERS[1]),
)


def _texts(body: bytes) -> Iterator[str]:
    """The bytes as they are, and what is said by each field of the JSON in them, across events."""
    shown = body.decode("utf-8", "replace")
    yield shown
    said: dict[str, str] = {}
    for value in _values(shown):
        for path, text in _strings(value, ""):
            said[path] = said.get(path, "") + text
    yield from said.values()


def _values(text: str) -> Iterator[Any]:
    for part in (text, *(line.removeprefix("data:") for line in text.splitlines())):
        try:
            yield json.loads(part)
        except ValueError:
            continue


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every string with the place where it stands; the items of a list also as one text."""
    if isinstance(value, str):
        yield path, value
        if _INNER.match(value):
            for inner in _values(value):
                yield from _strings(inner, f"{path}!")
    elif isinstance(value, dict):
        number = value.get("index", "")
        for key, item in value.items():
            yield f"{path}?", f"{key} "
            yield from _strings(item, f"{path}[{number}].{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, path)
            if isinstance(item, str):
                yield f"{path}*", f"{item} "
        if value and all(isinstance(item, int) and 0 <= item < 256 for item in value):
            yield f"{path}#", bytes(value).decode("utf-8", "replace")
