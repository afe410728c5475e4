"""Structured outputs through the guard: JSON stays JSON, or the answer is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guard.policy import Streaming
from guard.verdict import Action
from server.structured import Structured, valid
from tests.guard.streams import PASSAGE
from tests.server.world import REFUSAL, chunk, policy, says_json, says_stream, sse, whole, world

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer"}}, "required": ["name"]}
ASKED = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}}
SHAPE = Structured(schema=json.dumps(SCHEMA).encode())
FINE = json.dumps({"name": 'rain \u00e9 on the "harbour"', "n": 1})
HELD = json.dumps({"name": f"They say: {PASSAGE}.", "n": 1})


def stream(text: str, step: int) -> bytes:
    events = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"content": text[at : at + step]}) for at in range(0, len(text), step)]
    return sse([*events, chunk({}, "stop")])


@pytest.mark.parametrize("streaming", list(Streaming))
@pytest.mark.parametrize("step", [1, 3, 1000])
async def test_json_without_matches_leaves_byte_for_byte(streaming: Streaming, step: int) -> None:
    async with world(policy=policy(streaming=streaming)) as w:
        w.upstream.scripts = [says_stream(stream(FINE, step))]
        assert (await w.chat({**ASKED, "stream": True})).body == stream(FINE, step)
        w.upstream.scripts = [says_json(whole(FINE))]
        assert (await w.chat(ASKED)).json == whole(FINE)


async def test_a_redaction_of_json_stays_valid() -> None:
    async with world(policy=policy(Action.REDACT)) as w:
        w.upstream.scripts = [says_json(whole(HELD))]
        got = (await w.chat(ASKED)).json["choices"][0]
        assert got["finish_reason"] == "stop"
        assert valid(got["message"]["content"], SHAPE)
        assert "keeper" not in got["message"]["content"]


ESCAPED = PASSAGE.replace("e", "\\u0065")


@pytest.mark.parametrize("action", [Action.BLOCK, Action.REDACT])
@pytest.mark.parametrize("said", [PASSAGE, ESCAPED], ids=["plain", "escaped"])
@pytest.mark.parametrize("step", [1, 7])
async def test_what_stands_in_json_is_found_in_a_stream_however_it_is_escaped(
    action: Action, said: str, step: int
) -> None:
    async with world(policy=policy(action)) as w:
        w.upstream.scripts = [says_stream(stream('{"name": "' + said + '", "n": 1}', step))]
        got = await w.chat({**ASKED, "stream": True})
        assert got.finish() == ["content_filter"]
        assert got.text().endswith(REFUSAL)
        assert "keeper of orsk" not in got.text().replace("\\u0065", "e")


@pytest.mark.parametrize(
    "asked", [{"guided_regex": ".*"}, {"structured_outputs": {"grammar": "root ::= any"}}], ids=str
)
async def test_what_follows_another_grammar_is_refused_instead_of_redacted(asked: dict[str, Any]) -> None:
    async with world(policy=policy(Action.REDACT)) as w:
        w.upstream.scripts = [says_json(whole(PASSAGE))]
        assert (await w.chat(asked)).json["choices"][0]["message"]["content"] in (REFUSAL, "{}")


OTHER = json.dumps({"name": "a quiet harbour", "n": 2})


async def test_a_rewrite_of_json_is_valid_or_the_answer_is_refused() -> None:
    for stream in (False, True):
        async with world(policy=policy(Action.REWRITE, rewrite_tries=2)) as w:
            first = says_stream(stream_of(HELD)) if stream else says_json(whole(HELD))
            w.upstream.scripts = [first, says_json(whole("Rain falls.")), says_json(whole(OTHER))]
            got = await w.chat({**ASKED, "stream": stream})
            said = got.text() if stream else got.json["choices"][0]["message"]["content"]
            assert valid(said, SHAPE) or said.endswith(REFUSAL)
            assert stream or said == OTHER
            assert "keeper of orsk" not in said


def stream_of(text: str) -> bytes:
    return stream(text, 5)
