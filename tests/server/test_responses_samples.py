"""Bytes that the classes of vLLM 0.32.0 write for `/v1/responses` (`samples/responses/`) leave as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.policy import Streaming
from server.observation import FieldsDropped
from tests.server.responses_world import PATH
from tests.server.world import policy, says_json, says_stream, world

SAMPLES = Path(__file__).parent / "samples" / "responses"
ASKED = json.loads((SAMPLES / "asked.json").read_bytes())
STREAM, WHOLE = (SAMPLES / "stream.sse").read_bytes(), (SAMPLES / "whole.json").read_bytes()


@pytest.mark.parametrize("streaming", list(Streaming))
@pytest.mark.parametrize("empty", [True, False])
async def test_a_stream_leaves_byte_for_byte(streaming: Streaming, empty: bool) -> None:
    async with world(policy=policy(streaming=streaming), empty=empty) as w:
        for cuts in ([], range(1, len(STREAM), 11)):
            w.upstream.scripts = [says_stream(STREAM, list(cuts))]
            assert (await w.call(PATH, ASKED)).body == STREAM
        assert not w.notebook.of(FieldsDropped)


@pytest.mark.parametrize("empty", [True, False])
async def test_a_whole_answer_leaves_byte_for_byte(empty: bool) -> None:
    async with world(empty=empty) as w:
        w.upstream.scripts = [says_json(WHOLE)]
        assert (await w.call(PATH, {**ASKED, "stream": False})).body == WHOLE
        assert not w.notebook.of(FieldsDropped)


async def test_events_in_other_framing_say_the_same() -> None:
    async with world() as w:
        w.upstream.scripts = [says_stream(b": hello\r\n\r\n" + STREAM.replace(b"\n", b"\r\n"), range(1, 9_000, 13))]
        got = await w.call(PATH, ASKED)
        assert got.body.replace(b"\r\n", b"\n").replace(b": keep-alive\n\n", b"") == STREAM
