"""Files of answers to calibrate on, and files of entries to score them against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson
from pydantic import ValidationError

from index.entry import Draft
from server.commands.console import CommandFailed
from server.schemas.entries import EntryIn
from server.translation import draft_of

_ANSWER_FIELDS: Final = ("text", "output", "answer", "response", "generation")
_PROMPT_FIELDS: Final = ("prompt", "question", "instruction", "input")


def read_samples(path: Path) -> list[tuple[str, str]]:
    """(prompt, answer) per line: plain text, or a JSON object with `text`, `output` or `answer` and maybe `prompt`."""
    samples = [_sample(line, f"{path}:{number}") for number, line in _lines(path)]
    if not samples:
        raise CommandFailed(f"{path} holds no answers")
    return samples


def read_drafts(path: Path) -> list[Draft]:
    """The entries of a file, one JSON object per line, as `lethe entries import` takes them."""
    drafts = []
    for number, line in _lines(path):
        try:
            drafts.append(draft_of(EntryIn.model_validate(orjson.loads(line))))
        except (orjson.JSONDecodeError, ValidationError):
            raise CommandFailed(f"{path}:{number} is no entry") from None
    return drafts


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None


def _sample(line: str, place: str) -> tuple[str, str]:
    if not line.startswith("{"):
        return "", line
    try:
        body = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise CommandFailed(f"{place} is not valid JSON") from None
    answer = _first(body, _ANSWER_FIELDS)
    if answer is None:
        raise CommandFailed(f"{place} has none of the fields " + ", ".join(_ANSWER_FIELDS))
    return _first(body, _PROMPT_FIELDS) or "", answer


def _first(body: dict[str, object], names: tuple[str, ...]) -> str | None:
    return next((value for name in names if isinstance(value := body.get(name), str)), None)
