"""What the model server exposes is found out without doing anything there, and told."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from index.embedder import Embedder
from server.commands.status import _lines
from server.exposure import Examination, ExposureWatch, Finding
from server.schemas.standing import StandingOut
from server.upstream_endpoints import ENDPOINTS, KEYED
from tests.server.operators import operators, until
from tests.server.world import LoopbackUpstream, Request, Writer, says_json

KEY = "upstream-key"
PLAIN = ("/v1/models", "/v1/chat/completions", "/tokenize", "/invocations", "/metrics", "/health")


class ScriptedServer(LoopbackUpstream):
    """Has these paths, by method; with `keyed`, vLLM's key guards its prefixes."""

    def __init__(self, paths: Mapping[str, str], keyed: bool = False, schema: Any = None) -> None:
        super().__init__()
        self.paths, self.keyed, self.schema = paths, keyed, schema
        self.down = False
        self.scripts = [self._answers]

    async def _answers(self, request: Request, writer: Writer) -> None:
        await says_json({"told": 1} if self.schema is None else self.schema, self._status(request))(request, writer)

    def _status(self, request: Request) -> int:
        if self.down:
            return 503
        if self.keyed and request.path.startswith(KEYED) and request.headers.get("authorization") != f"Bearer {KEY}":
            return 401
        if request.path == "/openapi.json" and self.schema is not None:
            return 200
        method = self.paths.get(request.path)
        return 404 if method is None else 200 if method == request.method else 405


def vllm(*more: str, keyed: bool = False, schema: Any = None) -> ScriptedServer:
    gets = {endpoint.path for endpoint in ENDPOINTS if endpoint.method == "GET"} | {"/health"}
    return ScriptedServer({path: "GET" if path in gets else "POST" for path in (*PLAIN, *more)}, keyed, schema)


def listed(*more: str) -> dict[str, Any]:
    return {path: {} for path in (*PLAIN, *more)}


async def findings(server: ScriptedServer, key: str | None = KEY) -> dict[str, Finding]:
    async with server.serve() as url:
        examination = Examination(url, key)
        try:
            found = await examination.findings()
        finally:
            await examination.close()
    assert len({finding.path for finding in found}) == len(found)
    return {finding.path: finding for finding in found}


async def test_a_server_without_a_key_lets_anyone_do_everything_it_has() -> None:
    found = await findings(vllm("/v1/load_lora_adapter", "/collective_rpc"))
    assert set(found) == {*PLAIN, "/v1/load_lora_adapter", "/collective_rpc"} - {"/health"}
    assert not any(finding.needs_key for finding in found.values())
    assert found["/v1/chat/completions"].severity == "critical"
    assert "--api-key" in found["/v1/chat/completions"].fix
    assert "VLLM_SERVER_DEV_MODE" in found["/collective_rpc"].fix
    assert "--api-key" not in found["/collective_rpc"].fix, "vLLM's key does not guard this path"
    assert all("deploy/network.md" in finding.fix for finding in found.values())
    assert next(iter(found.values())).severity == "critical", "the worst comes first"


async def test_a_key_guards_some_paths_and_the_others_are_still_found() -> None:
    found = await findings(vllm("/v1/load_lora_adapter", "/collective_rpc", keyed=True))
    open_to_all = {path for path, finding in found.items() if not finding.needs_key}
    assert open_to_all == {"/invocations", "/tokenize", "/metrics", "/collective_rpc"}
    assert {path for path, finding in found.items() if finding.needs_key} == {"/v1/load_lora_adapter"}
    assert found["/v1/load_lora_adapter"].severity == "low"


async def test_without_the_key_what_it_guards_is_not_guessed() -> None:
    found = await findings(vllm("/v1/load_lora_adapter", keyed=True), key=None)
    assert set(found) == {"/invocations", "/tokenize", "/metrics"}


async def test_paths_that_only_say_that_they_are_switched_off_are_no_findings() -> None:
    schema = {"paths": listed("/openapi.json")}
    assert "/inference/v1/generate" not in await findings(vllm("/inference/v1/generate", schema=schema))
    schema["paths"]["/inference/v1/generate"] = {}
    assert "/inference/v1/generate" in await findings(vllm("/inference/v1/generate", schema=schema))
    assert "/inference/v1/generate" in await findings(vllm("/inference/v1/generate")), "no schema: assume the worst"


async def test_paths_that_nobody_knows_are_told_and_not_asked() -> None:
    odd = ("/launch_rockets", "/v1/new_thing", "/" + "x" * 200)
    schema = {"paths": listed(*odd)}
    server = vllm(schema=schema)
    found = await findings(server)
    assert {"/launch_rockets", "/v1/new_thing", "(odd)"} <= set(found)
    assert not {request.path for request in server.requests} & set(odd)
    guarded = await findings(vllm(keyed=True, schema=schema))
    assert "/launch_rockets" in guarded
    assert "/v1/new_thing" not in guarded


async def test_nothing_is_ever_asked_that_could_do_anything() -> None:
    server = vllm(*(endpoint.path for endpoint in ENDPOINTS), keyed=True)
    found = await findings(server)
    assert len(found) > 40
    assert {request.method for request in server.requests} == {"GET"}
    assert not any(request.body for request in server.requests)


async def test_a_server_that_answers_everything_cannot_be_told() -> None:
    class Page(ScriptedServer):
        def _status(self, request: Request) -> int:
            return 200

    assert set(await findings(Page({}))) == {"/*"}


async def test_a_schema_that_is_none_is_left_alone() -> None:
    for schema in ({}, {"paths": 3}, [], "text", {"paths": {}}):
        assert "/tokenize" in await findings(vllm(schema=schema))


# -- again and again --


@asynccontextmanager
async def watching(server: ScriptedServer, every_s: float = 0.01) -> AsyncIterator[ExposureWatch]:
    async with server.serve() as url:
        watch = ExposureWatch(Examination(url, KEY), every_s, retry_s=0.01)
        task = asyncio.ensure_future(watch.run())
        try:
            yield watch
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await watch.close()


async def test_each_finding_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = vllm()
    async with watching(server) as watch:
        await until(lambda: len([r for r in server.requests if r.path == "/tokenize"]) >= 3)
        server.paths = {**server.paths, "/collective_rpc": "POST"}
        await until(lambda: any(finding.path == "/collective_rpc" for finding in watch.findings or ()))
    told = [r.__dict__["lethe"]["path"] for r in caplog.records if r.message == "upstream_exposed"]
    assert sorted(told) == sorted({*PLAIN, "/collective_rpc"} - {"/health"})
    assert all(r.levelno == logging.WARNING for r in caplog.records if r.message == "upstream_exposed")


async def test_a_server_that_is_down_is_asked_again_until_it_answers() -> None:
    server = vllm()
    server.down = True
    async with watching(server, every_s=3600) as watch:
        await until(lambda: len(server.requests) >= 3)
        assert watch.findings is None
        server.down = False
        await until(lambda: watch.findings)


async def test_a_server_that_is_not_there_stops_nobody() -> None:
    watch = ExposureWatch(Examination("http://127.0.0.1:9", None), 3600, retry_s=0.01)
    task = asyncio.ensure_future(watch.run())
    await asyncio.sleep(0.05)
    assert not task.done()
    assert watch.findings is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await watch.close()


async def test_a_watch_that_is_switched_off_asks_nothing() -> None:
    server = vllm()
    async with server.serve() as url:
        watch = ExposureWatch(Examination(url, KEY), 0)
        await watch.run()
        await watch.close()
    assert server.requests == []


async def test_a_server_that_never_answers_does_not_hold_up_the_start(tmp_path: Path, embedder: Embedder) -> None:
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with operators(tmp_path, embedder, upstream=url, exposure_minutes=60) as lethe:
        await asked.wait()
        assert await lethe.action({"text": "A pot of soup."}) == "allow"
        assert lethe.service.exposure.findings is None
    server.close()


async def test_status_tells_the_findings(tmp_path: Path, embedder: Embedder) -> None:
    server = vllm("/collective_rpc", keyed=True)
    async with (
        server.serve() as url,
        operators(tmp_path, embedder, upstream=url, upstream_api_key=KEY, exposure_minutes=60) as lethe,
    ):
        auditor = await lethe.as_("auditor")

        async def examined() -> Any:
            status = (await auditor.get("/lethe/v1/status")).json()
            return status if status["upstream"]["findings"] is not None else None

        status = await until(examined)
        told = status["upstream"]
        assert told["examined_at"]
        assert told["findings"][0] == {
            "method": "POST",
            "path": "/invocations",
            "severity": "critical",
            "needs_key": False,
            "lets": "lets the model speak past Lethe",
            "fix": "let only Lethe reach it (deploy/network.md)",
        }
        assert KEY not in json.dumps(status)
        lines = "\n".join(_lines(StandingOut.model_validate({name: status[name] for name in StandingOut.model_fields})))
        assert "critical  anyone  POST /collective_rpc" in lines
        assert "it exposes 4 paths" in lines
