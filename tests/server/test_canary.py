"""The canary: forget text goes in by every door, is matched, refused and revealed, and stays out of everything else."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.embedder import Embedder
from server.logs import configure_logs
from tests.server.operators import Operators, operators, until
from tests.server.world import LoopbackUpstream, says_json

V1 = "/lethe/v1"
CANARY = "zebrafinch"
TEXT = f"The {CANARY} of Orsk sings the seventh hymn under a blue glass lantern every winter."
NAME = f"{CANARY}-name"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Everything that this process logs, as a server would write it."""
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logs("debug", stream)
    yield stream
    root.handlers[:], root.level = before


def completion(text: str) -> dict[str, object]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        CANARY: TEXT,
    }


async def use_every_door(lethe: Operators, upstream: LoopbackUpstream) -> None:
    entry = {"kind": "passage", "text": TEXT, "prompt": TEXT, "examples": [TEXT], "counterexamples": [f"no {CANARY} x"]}
    admin = lethe.admin
    headers = {"Idempotency-Key": "k"}
    for _ in range(2):
        added = await admin.post(f"{V1}/entries?wait=applied", json=entry, headers=headers)
        assert added.status_code == 201
    await admin.post(f"{V1}/entries/batch", json={"entries": [entry, {**entry, "retention": "sealed"}]})
    lines = b'{"kind":"fact","text":"%s"}\n{"%s":1}\n%s' % (TEXT.encode(), CANARY.encode(), CANARY.encode())
    await admin.post(f"{V1}/imports", content=lines, headers=headers)
    await admin.patch(f"{V1}/entries/{added.json()['id']}", json={"text": TEXT + " Again."})
    await admin.get(f"{V1}/entries/{added.json()['id']}?reveal=true")
    await admin.get(f"{V1}/entries/{CANARY}")
    await admin.get(f"{V1}/{CANARY}?{CANARY}={CANARY}")
    for side in ("answer", "prompt"):
        assert await lethe.action({"text": TEXT, "prompt": TEXT, "side": side}) in ("block", "flag")
    for bad in (f'{{"{CANARY}":"{TEXT}"}}', f'"{TEXT}"', f"{TEXT}", f'{{"kind":"fact","text":["{TEXT}"]}}'):
        await admin.post(f"{V1}/entries", content=bad, headers={"Content-Type": "application/json"})
    question = {"model": "m", "messages": [{"role": "user", "content": TEXT}]}
    upstream.scripts = [says_json(completion(TEXT))]
    assert CANARY not in (await admin.post("/v1/chat/completions", json=question)).text
    for script in (says_json({"error": {"message": TEXT}}, 400), says_json(TEXT.encode(), 200, "text/html")):
        upstream.scripts = [script]
        await admin.post("/v1/chat/completions", json=question)
    await admin.post("/v1/chat/completions", content=TEXT.encode())
    await admin.post(f"/v1/{CANARY}", json=question)
    await admin.delete(f"{V1}/entries/{added.json()['id']}?wait=applied")


async def test_no_log_line_metric_decision_or_file_holds_forget_text(
    tmp_path: Path, embedder: Embedder, written: io.StringIO
) -> None:
    upstream = LoopbackUpstream()
    async with upstream.serve() as url, operators(tmp_path, embedder, upstream=url, log_level="debug") as lethe:
        await use_every_door(lethe, upstream)

        async def decided() -> bool:
            return bool((await lethe.admin.get(f"{V1}/decisions")).json()["decisions"])

        await until(decided)
        assert CANARY not in (await lethe.admin.get(f"{V1}/decisions")).text
        assert CANARY not in (await lethe.admin.get(f"{V1}/status")).text
        assert CANARY not in (await lethe.admin.get(f"{V1}/entries")).text
        assert CANARY not in str(await lethe.metrics())
        while_open = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert written.getvalue().count('"event"') > 5
    assert CANARY not in written.getvalue().lower()
    for data in (*while_open, *(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())):
        assert CANARY.encode() not in data.lower()


def test_an_exception_is_logged_by_its_type_and_places_only(written: io.StringIO) -> None:
    try:
        try:
            raise ValueError(TEXT)
        except ValueError as error:
            raise KeyError(NAME) from error
    except KeyError:
        logging.getLogger("server.proxy").exception("a request failed")
        logging.getLogger("asyncio").error("Task exception was never retrieved %s", TEXT)
    lines = written.getvalue()
    assert "builtins.KeyError" in lines
    assert "builtins.ValueError" in lines
    assert "test_canary.py" in lines
    assert CANARY not in lines
