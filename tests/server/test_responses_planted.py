"""A forgotten text in any place of any event or answer of `/v1/responses` never reaches the client."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from guard.verdict import Action
from tests.server.responses_world import (
    ask,
    call,
    calls,
    custom_call,
    message,
    named,
    reasoning,
    response,
    says,
    streamed,
    texts,
    thinks,
    told,
    writes,
)
from tests.server.world import policy, says_json, says_stream, world

SECRET = "Well, the copper treaty was signed by the two envoys of the crown in the year of the great storm."
STREAM = streamed(
    thinks("The user wants ", "weather.", number=0),
    says("Rain falls ", "on the sea.", number=1),
    calls('{"place":', ' "the quay"}', number=2),
    writes("Gulls ", "cry.", number=3),
)
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "rain"}}
CODE = {"type": "code_interpreter_call", "id": "ci_1", "code": "1 + 1", "container_id": "auto", "outputs": []}
MCP = {"type": "mcp_call", "id": "mcp_1", "name": "n", "server_label": "s", "arguments": "{}", "output": "o"}
WHOLE = response(
    *(reasoning("Weather."), message("Rain falls.", 1), call('{"a": "b"}', 2), custom_call("Gulls.", 3)),
    *(SEARCH, CODE, MCP),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a string, of null, and of a field that is not there yet."""
    if isinstance(value, dict):
        yield (*path, "surprise")
        for key, item in value.items():
            if key != "model":  # the operator gave it its name
                yield from places(item, (*path, key))
    elif isinstance(value, list):
        yield (*path, len(value))
        for n, item in enumerate(value):
            yield from places(item, (*path, n))
    elif value is None or isinstance(value, (str, bool)):
        yield path


def planted(value: Any, path: tuple[Any, ...], secret: Any) -> Any:
    found = here = copy.deepcopy(value)
    for key in path[:-1]:
        here = here[key]
    if isinstance(here, list) and path[-1] == len(here):
        here.append(secret)
    else:
        here[path[-1]] = secret
    return found


FORMS: tuple[Any, ...] = (SECRET, {"text": SECRET, "type": "output_text"}, [SECRET])
CASES = [(Action.BLOCK, 0), (Action.REDACT, 0), (Action.BLOCK, 1), (Action.BLOCK, 2)]


@pytest.mark.parametrize(("action", "form"), CASES)
async def test_no_place_of_a_stream_lets_it_out(action: Action, form: int) -> None:
    async with world(policy=policy(action, redaction="[withheld]")) as w:
        for number, event in enumerate(STREAM):
            for path in places(event):
                sent = [*STREAM]
                sent[number] = planted(event, path, FORMS[form])
                w.upstream.scripts = [says_stream(named(sent))]
                got = await ask(w, stream=True)
                assert b"copper treaty" not in got.body, (event["type"], path)
                assert got.status != 200 or told(got)
                assert got.status in (200, 502)


@pytest.mark.parametrize(("action", "form"), CASES)
async def test_no_place_of_a_whole_answer_lets_it_out(action: Action, form: int) -> None:
    async with world(policy=policy(action, redaction="[withheld]")) as w:
        for path in places(WHOLE):
            w.upstream.scripts = [says_json(planted(WHOLE, path, FORMS[form]))]
            got = await ask(w)
            assert "copper treaty" not in texts(got.json), path
            assert got.status in (200, 502)
