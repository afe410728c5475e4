"""Bytes that vLLM 0.32.0 really sent (`samples/`): they pass through Lethe as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from guard.policy import Streaming
from server.observation import FieldsDropped
from tests.server.world import policy, says_json, says_stream, world

SAMPLES = Path(__file__).parent / "samples"


@dataclass(frozen=True)
class Sample:
    """One exchange with vLLM."""

    path: str
    body: bytes
    status: int
    stream: bool
    answer: bytes

    def script(self, cuts: Any = ()) -> Any:
        return says_stream(self.answer, list(cuts)) if self.stream else says_json(self.answer, self.status)


def sample(name: str) -> Sample:
    asked, _, told = (SAMPLES / f"{name}.txt").read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n### RESPONSE\n")
    line, _, body = asked.partition(b"\n")
    head, _, answer = told.partition(b"\n\n")
    stream = b"text/event-stream" in head
    answer = answer.rstrip(b"\n") + (b"\n\n" if stream else b"")
    return Sample(line.split()[2].decode(), body, int(head.split()[1]), stream, answer)


def by_choice(answer: bytes) -> dict[bytes, list[bytes]]:
    """The events of each choice in their order: while one is held back, another may overtake it."""
    found: dict[bytes, list[bytes]] = {}
    for event in answer.split(b"\n\n"):
        index = re.search(rb'"choices":\[\{"index":(\d+)', event)
        found.setdefault(index[1] if index else b"", []).append(event)
    return found


ADDS_TO_IT = {"chat-return-token-ids-stream", "chat-logprobs", "completions-logprobs-stream"}
EVERY = sorted(path.stem for path in SAMPLES.glob("*.txt"))


@pytest.mark.parametrize("streaming", list(Streaming))
@pytest.mark.parametrize("name", sorted(set(EVERY) - ADDS_TO_IT))
async def test_what_vllm_sends_leaves_byte_for_byte(name: str, streaming: Streaming) -> None:
    given = sample(name)
    async with world(policy=policy(streaming=streaming)) as w:
        for cuts in ([], range(1, len(given.answer), 1 if len(given.answer) < 3000 else 7)):
            w.upstream.scripts = [given.script(cuts)]
            got = await w.call(given.path, given.body)
            assert got.status == given.status
            assert by_choice(got.body) == by_choice(given.answer)
            assert cuts or "n2" in name or got.body == given.answer
            if b"include_usage" not in given.body or b"continuous" in given.body:
                assert w.upstream.requests[-1].body == given.body
        assert w.notebook.of(FieldsDropped) == []


@pytest.mark.parametrize("name", sorted(ADDS_TO_IT))
async def test_tokens_that_vllm_shows_are_taken_out(name: str) -> None:
    given = sample(name)
    async with world() as w:
        w.upstream.scripts = [given.script()]
        got = await w.call(given.path, given.body)
        assert got.status == 200
        assert b'"logprobs":{' not in got.body and b'token_ids":[' not in got.body
        assert got.body.count(b"data: ") == given.answer.count(b"data: ")
        assert w.notebook.of(FieldsDropped)[0].count >= 1


async def test_the_running_count_taken_out_leaves_what_vllm_sends_without_it() -> None:
    """Lethe asks for the running count to know what a stopped stream delivered; the client must not see that."""
    asked, counted = sample("chat-stream-usage"), sample("chat-stream-continuous-usage")

    def without_names(data: bytes) -> bytes:
        return re.sub(rb'"(id|system_fingerprint)":"[^"]*"|"created":[0-9]+', b"", data)

    async with world() as w:
        w.upstream.scripts = [counted.script()]
        got = await w.call(asked.path, asked.body)
        assert w.upstream.requests[0].json["stream_options"]["continuous_usage_stats"] is True
        assert without_names(got.body) == without_names(asked.answer)
