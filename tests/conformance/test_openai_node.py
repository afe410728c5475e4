"""OpenAI's own client for Node: the same calls, directly and through Lethe, with equal results."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.calls import BAD, BAD_RESPONSES, CHAT, COMPLETIONS, RESPONSES, Call
from tests.conformance.comparing import Json, essence, folded
from tests.model_servers import Guarded

ANSWERED = CHAT + COMPLETIONS + RESPONSES
REFUSED = BAD + BAD_RESPONSES


def counted(call: Call) -> Json:
    """What asks for the count of tokens at the end of a stream; the newer API always tells it."""
    return {} if call.api == "responses" else {"stream_options": {"include_usage": True}}


CALLS: dict[str, tuple[str, Json]] = {
    **{f"{call}, whole": (call.api, call.whole) for call in ANSWERED + REFUSED},
    **{f"{call}, stream": (call.api, {**call.whole, "stream": True, **counted(call)}) for call in ANSWERED + REFUSED},
}
ERRORS = [name for name in CALLS if name.startswith(tuple(map(str, REFUSED)))]


def made(folder: Path, base_url: str, key: str, calls: Sequence[tuple[str, Json]]) -> list[Any]:
    """What the client makes of the answers to these calls."""
    listed = [{"api": api, "body": body} for api, body in calls]
    asked = json.dumps({"baseURL": base_url, "apiKey": key, "calls": listed})
    ran = subprocess.run(
        ["node", "calls.mjs"], cwd=folder, input=asked, capture_output=True, text=True, timeout=300, encoding="utf-8"
    )
    assert ran.returncode == 0, ran.stderr
    told: list[Any] = json.loads(ran.stdout)
    return told


def compared(told: Json) -> Json:
    """What must be equal of it."""
    if "events" in told:
        return folded(told["events"])
    return {"whole": essence(told["whole"])} if "whole" in told else told


@pytest.fixture(scope="module")
def results(node_client: Path, guarded: Guarded) -> dict[str, tuple[Json, Json]]:
    """Of every call, directly and through Lethe."""
    calls = list(CALLS.values())
    direct = made(node_client, f"{guarded.vllm.base_url}/v1", "none", calls)
    through = made(node_client, f"{guarded.lethe.base_url}/v1", guarded.lethe.admin_key, calls)
    pairs = ((compared(first), compared(second)) for first, second in zip(direct, through, strict=True))
    return dict(zip(CALLS, pairs, strict=True))


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ERRORS])
def test_an_answer_is_equal(results: dict[str, tuple[Json, Json]], name: str) -> None:
    direct, through = results[name]
    assert "error" not in direct
    assert through == direct


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_equal(results: dict[str, tuple[Json, Json]], name: str) -> None:
    direct, through = results[name]
    assert 400 <= direct["error"] < 500
    assert through == direct
