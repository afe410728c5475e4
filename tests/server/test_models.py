"""Which models a client may use."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from server.faults import NoSuchModel
from server.models import EVERY, Models
from server.upstream import Upstream
from tests.server.world import (
    PATIENT,
    Got,
    LoopbackUpstream,
    Request,
    World,
    Writer,
    chat_body,
    says_json,
    whole,
    world,
)

BASE = {"id": "tiny", "object": "model", "created": 1, "owned_by": "vllm", "root": "/m/a/b/c/d/e/f/g/h", "parent": None}
ADAPTER = {**BASE, "id": "unlearned", "root": "/adapters/unlearned", "parent": "tiny"}
OTHER = {**ADAPTER, "id": "private"}
LIST = {"object": "list", "data": [BASE, ADAPTER, OTHER]}


async def serves(request: Request, writer: Writer) -> None:
    """A model server that lists its models and answers with any."""
    await says_json(LIST if request.path == "/v1/models" else whole("Fine."))(request, writer)


async def names(w: World) -> list[str]:
    return [model["id"] for model in (await w.call("/v1/models", method="GET")).json["data"]]


async def ask(w: World, model: Any, path: str = "/v1/chat/completions") -> Got:
    body = chat_body(model=model) if "chat" in path else {"model": model, "prompt": "Hi"}
    return await w.call(path, body)


async def test_adapters_are_hidden_unless_the_operator_lists_them() -> None:
    async with world() as w:
        w.upstream.scripts = [serves]
        got = await w.call("/v1/models", method="GET")
        assert got.json == {"object": "list", "data": [BASE]}
        assert (await w.call("/v1/models/tiny", method="GET")).json == BASE
        hidden = await w.call("/v1/models/unlearned", method="GET")
        missing = await w.call("/v1/models/nothing", method="GET")
        assert (hidden.status, hidden.body) == (missing.status, missing.body) == (404, missing.body)
    async with world(adapters=["unlearned"]) as w:
        w.upstream.scripts = [serves]
        assert await names(w) == ["tiny", "unlearned"]
        assert (await w.call("/v1/models/unlearned", method="GET")).json == ADAPTER
    async with world(adapters=[EVERY]) as w:
        w.upstream.scripts = [says_json(json.dumps(LIST, indent=1).encode())]
        assert (await w.call("/v1/models", method="GET")).body == json.dumps(LIST, indent=1).encode()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_a_client_uses_base_models_and_listed_adapters_only(path: str) -> None:
    async with world(adapters=["unlearned"]) as w:
        w.upstream.scripts = [serves]
        for allowed in ("tiny", "unlearned", ""):
            assert (await ask(w, allowed, path)).status == 200
        asked = len(w.upstream.requests)
        hidden, missing = await ask(w, "private", path), await ask(w, "nothing", path)
        assert hidden.status == missing.status == 404
        assert hidden.json["error"] == missing.json["error"]
        assert (hidden.json["error"]["code"], hidden.json["error"]["param"]) == ("model_not_found", "model")
        assert all(request.path == "/v1/models" for request in w.upstream.requests[asked:])


async def test_any_model_may_be_asked_for_where_the_operator_says_so() -> None:
    async with world(adapters=[EVERY]) as w:
        w.upstream.scripts = [serves]
        assert (await ask(w, "an alias that is not listed")).status == 200
        assert [request.path for request in w.upstream.requests] == ["/v1/chat/completions"]


async def test_nothing_is_asked_while_it_is_not_known_which_models_there_are() -> None:
    async with world(adapters=[]) as w:
        w.upstream.scripts = [says_json({"error": {"message": "down"}}, 500)]
        assert (await ask(w, "tiny")).status >= 500
        w.upstream.scripts = [says_json(b"<html>")]
        assert (await ask(w, "tiny")).status == 502
        assert {request.path for request in w.upstream.requests} == {"/v1/models"}


async def test_the_list_is_asked_for_once_for_many_and_again_when_it_is_old() -> None:
    loopback, now = LoopbackUpstream(), [0.0]
    loopback.scripts = [serves]
    async with loopback.serve() as base:
        upstream = Upstream(base, None, PATIENT)
        models = Models(upstream, lambda: now[0])
        await asyncio.gather(*(models.admit("tiny", str(n)) for n in range(20)))
        assert len(loopback.requests) == 1
        now[0] = 5.0
        await models.admit("tiny", "a")
        assert len(loopback.requests) == 1
        for _ in range(5):  # an unknown name is looked for again, but not without end
            with pytest.raises(NoSuchModel):
                await models.admit("nothing", "b")
        assert len(loopback.requests) == 2
        now[0] = 20.0
        await models.admit("tiny", "c")
        assert len(loopback.requests) == 3
        await upstream.close()


async def test_an_adapter_that_was_loaded_just_now_is_not_taken_for_a_model() -> None:
    loopback, now = LoopbackUpstream(), [0.0]
    loopback.scripts = [says_json({"object": "list", "data": [BASE]}), serves]
    async with loopback.serve() as base:
        upstream = Upstream(base, None, PATIENT)
        models = Models(upstream, lambda: now[0])
        await models.admit("tiny", "a")
        now[0] = 3.0
        with pytest.raises(NoSuchModel):
            await models.admit("private", "b")
        await upstream.close()
