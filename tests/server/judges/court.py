"""What the tests of the judge share: an OpenAI-compatible server on loopback that answers by rule."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.server.world import LoopbackUpstream, Request, Writer, says_json, whole

SECRET = "judge-key-that-nobody-shall-see"


def pieces(request: Request) -> dict[str, str]:
    """What stands between the marks of a question, by name, read as the rubric says."""
    content = request.json["messages"][-1]["content"]
    number = re.match(r"The secret number is ([0-9a-f]{16})\.\n", content)
    assert number, content
    marked = rf"<<(ENTRY|QUESTION|TEXT) {number[1]}>>\n(.*?)\n<<END OF \1 {number[1]}>>"
    return dict(re.findall(marked, content, re.DOTALL))


def verdict(word: str, confidence: Any = 1.0) -> str:
    return json.dumps({"verdict": word, "confidence": confidence})


def shares_words(asked: dict[str, str]) -> str:
    """The rule of this judge: the same when the text holds two long words of the entry."""
    entry, text = (set(re.findall(r"\w{4,}", asked[name].lower())) for name in ("ENTRY", "TEXT"))
    return verdict("same") if len(entry & text) >= 2 else verdict("different")


class Court(LoopbackUpstream):
    """Answers each question by `rule`; `rule` may raise by answering a (status, body) pair instead."""

    def __init__(self, rule: Callable[[dict[str, str]], str | tuple[int, Any]] = shares_words) -> None:
        super().__init__()
        self.rule = rule
        self.scripts = [self._answer]

    @property
    def asked(self) -> list[dict[str, str]]:
        return [pieces(request) for request in self.requests]

    async def _answer(self, request: Request, writer: Writer) -> None:
        said = self.rule(pieces(request))
        body, status = (whole(said), 200) if isinstance(said, str) else (said[1], said[0])
        await says_json(body, status)(request, writer)


@asynccontextmanager
async def court(
    rule: Callable[[dict[str, str]], str | tuple[int, Any]] = shares_words,
) -> AsyncIterator[tuple[Court, str]]:
    """A judge model and its base URL."""
    model = Court(rule)
    async with model.serve() as url:
        yield model, url + "/v1"
