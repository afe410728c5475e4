"""The application side as a whole: models, access, limits."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from server.access import Access
from server.limits import Gate
from server.observation import FieldsDropped
from server.routes.application import Application
from tests.server.world import World, says_json, whole, world

MODEL = {
    "id": "org/tiny",
    "object": "model",
    "created": 1,
    "owned_by": "vllm",
    "root": "/models/tiny",
    "parent": None,
    "max_model_len": 512,
    "permission": [{"id": "p", "object": "model_permission", "allow_view": True, "group": None}],
}
MODELS = {"object": "list", "data": [MODEL, {**MODEL, "id": "other"}]}


async def get(w: World, path: str, **options: Any) -> Any:
    return await w.call(path, method="GET", **options)


async def test_models_are_listed_as_upstream_lists_them() -> None:
    raw = json.dumps(MODELS, indent=1).encode()
    async with world() as w:
        w.upstream.scripts = [says_json(raw)]
        assert (await get(w, "/v1/models")).body == raw
        assert (await get(w, "/v1/models/org/tiny")).json == MODEL
        assert (await get(w, "/v1/models/org%2Ftiny")).json == MODEL
        missing = await get(w, "/v1/models/nothing")
        assert (missing.status, missing.json["error"]["code"]) == (404, "not_found")


async def test_unknown_fields_of_a_model_are_dropped() -> None:
    async with world() as w:
        w.upstream.scripts = [says_json({**MODELS, "data": [{**MODEL, "secret": "copper"}], "more": 1})]
        got = await get(w, "/v1/models")
        assert got.json == {"object": "list", "data": [MODEL]}
        assert w.notebook.of(FieldsDropped)[0].dialect == "models"


async def test_errors_of_upstream_about_models_are_passed_on() -> None:
    async with world() as w:
        w.upstream.scripts = [says_json({"error": {"message": "no", "type": "E", "param": None, "code": 401}}, 401)]
        got = await get(w, "/v1/models")
        assert (got.status, got.json["error"]["message"]) == (401, "no")
        w.upstream.scripts = [says_json(b"<html>", 200, "text/html")]
        assert (await get(w, "/v1/models")).status == 502


class OneKey:
    """A book that holds keys and knows none of those presented."""

    empty = False

    def verify(self, presented: str) -> None:
        return None


def closed(w: World, gate: Gate | None = None) -> None:
    inside = w.app
    w.app = Application(inside._proxy, Access(OneKey(), "bootstrap-key-0123456789"), gate or Gate(9), 1_000_000)


async def test_a_key_is_needed_and_never_forwarded() -> None:
    async with world() as w:
        closed(w)
        w.upstream.scripts = [says_json(whole("Fine."))]
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic x"}):
            got = await w.chat(headers=headers)
            assert got.status == 401
            assert got.json["error"]["type"] == "authentication_error"
            assert got.headers["www-authenticate"] == "Bearer"
        assert (await get(w, "/v1/models")).status == 401
        assert w.upstream.requests == []
        for headers in ({"authorization": "Bearer bootstrap-key-0123456789"}, {"api-key": "bootstrap-key-0123456789"}):
            assert (await w.chat(headers=headers)).status == 200
        assert all(r.headers["authorization"] == "Bearer upstream-key" for r in w.upstream.requests)
        assert all("api-key" not in r.headers for r in w.upstream.requests)


async def test_more_requests_than_allowed_are_told_when_to_come_back() -> None:
    async def slow(request: Any, writer: Any) -> None:
        await asyncio.sleep(0.1)
        await says_json(whole("Fine."))(request, writer)

    async with world() as w:
        w.app = Application(w.app._proxy, w.app._access, Gate(2), 1_000_000)
        w.upstream.scripts = [slow]
        answers = await asyncio.gather(*(w.chat() for _ in range(5)))
        assert sorted(got.status for got in answers) == [200, 200, 429, 429, 429]
        late = next(got for got in answers if got.status == 429)
        assert late.headers["retry-after"] == "1"
        assert (await w.chat()).status == 200
