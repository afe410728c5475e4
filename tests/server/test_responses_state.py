"""Responses that the model server keeps: refused by default; bound to their principal and guarded where they are on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from index.embedder import Embedder
from index.keys import Role
from server.access import Access, Principal
from server.limits import Gate
from server.observation import RequestObserved, RequestOutcome
from server.offer import Offer
from server.responses_state import ResponsesState
from server.routes.application import Application
from tests.server.operators import operators
from tests.server.responses_world import ask, asked, message, named, response, says, streamed, texts, told
from tests.server.world import REFUSAL, Got, World, says_json, says_stream, world

STATE = ResponsesState(b"k" * 32)
SECRET = "The copper treaty was signed."


class TwoKeys:
    """Two applications of one namespace, and one of another."""

    empty = False
    known: Mapping[str, Principal] = {
        "anna": Principal("anna", Role.APP, "default"),
        "bert": Principal("bert", Role.APP, "default"),
        "other": Principal("anna", Role.APP, "other"),
    }

    def verify(self, presented: str) -> Any:
        return self.known.get(presented)


@contextlib.asynccontextmanager
async def keeping(**shown: Any) -> AsyncIterator[World]:
    """A world in which responses may be kept."""
    async with world(**shown) as w:
        proxy = w.app._proxy
        w.app = Application(proxy, Access(TwoKeys(), None), Gate(9), 1_000_000, Offer(responses=STATE))
        yield w


async def fetch(w: World, told_id: str, who: str = "anna", query: str = "", method: str = "GET") -> Got:
    return await w.call(f"/v1/responses/{told_id}", method=method, query=query, headers=key(who))


def key(who: str) -> dict[str, str]:
    return {"authorization": f"Bearer {who}"}


async def kept(w: World, who: str = "anna") -> str:
    """The id that a client was told of a kept response."""
    w.upstream.scripts = [says_json(response(message("Rain falls.")))]
    got = await w.call("/v1/responses", asked(store=True), headers=key(who))
    assert got.status == 200, got.body
    return str(got.json["id"])


@pytest.mark.parametrize("body", [{"store": True}, {"background": True}, {"previous_response_id": "resp_1"}])
async def test_nothing_is_kept_by_default(body: dict[str, Any]) -> None:
    async with world() as w:
        got = await ask(w, **body)
        assert got.status == 400 and got.json["error"]["code"] == "option_not_allowed"
        assert got.json["error"]["param"] == next(iter(body))
        for path, method in (("resp_1", "GET"), ("resp_1/cancel", "POST")):
            got = await w.call(f"/v1/responses/{path}", method=method)
            assert got.status == 404 and "keeps no responses" in got.json["error"]["message"]
        assert not w.upstream.requests


async def test_what_is_no_call_of_this_api_does_not_exist() -> None:
    async with keeping() as w:
        own = await kept(w)
        w.upstream.requests.clear()
        for path, method in ((own, "DELETE"), (f"{own}/input_items", "GET"), (f"{own}/cancel", "GET"), ("", "GET")):
            assert (await fetch(w, path, method=method)).status == 404
        assert not w.upstream.requests


async def test_only_its_principal_may_use_a_kept_response() -> None:
    async with keeping() as w:
        own = await kept(w)
        assert own.startswith("resp_1_") and len(own) > 30
        w.upstream.requests.clear()
        for who in ("bert", "other"):
            assert (await fetch(w, own, who)).status == 404
            assert (await fetch(w, f"{own}/cancel", who, method="POST")).status == 404
            got = await w.call("/v1/responses", asked(previous_response_id=own), headers=key(who))
            assert got.status == 404 and got.json["error"]["message"]
        assert (await fetch(w, "resp_1")).status == 404
        assert (await w.call(f"/v1/responses/{own}", method="GET")).status == 401
        assert not w.upstream.requests

        got = await fetch(w, own)
        assert got.status == 200 and got.json == response(message("Rain falls."), id=own)
        assert (w.upstream.requests[0].method, w.upstream.requests[0].path) == ("GET", "/v1/responses/resp_1")
        await w.call("/v1/responses", asked(previous_response_id=own), headers=key("anna"))
        assert w.upstream.requests[1].json["previous_response_id"] == "resp_1"


async def test_what_it_goes_on_from_is_told_as_the_client_knows_it() -> None:
    async with keeping() as w:
        own = await kept(w)
        w.upstream.scripts = [says_json(response(message("Hail."), previous_response_id="resp_1", id="resp_2"))]
        got = await w.call("/v1/responses", asked(previous_response_id=own), headers=key("anna"))
        assert got.json["previous_response_id"] == own and got.json["id"].startswith("resp_2_")


async def test_a_fetched_answer_is_guarded() -> None:
    async with keeping() as w:
        own = await kept(w)
        w.upstream.scripts = [says_json(response(message(SECRET)))]
        got = await fetch(w, own)
        assert "treaty" not in texts(got.json) and got.json["output"][0]["content"][0]["text"] == REFUSAL
        assert got.json["status"] == "incomplete" and got.json["id"] == own
        assert w.notebook.of(RequestObserved)[-1].outcome is RequestOutcome.BLOCKED
        got = await fetch(w, f"{own}/cancel", method="POST")
        assert "treaty" not in texts(got.json)
        assert (w.upstream.requests[-1].method, w.upstream.requests[-1].path) == (
            "POST",
            "/v1/responses/resp_1/cancel",
        )


@pytest.mark.parametrize("status", ["queued", "in_progress"])
async def test_a_background_answer_is_guarded_when_it_is_fetched(status: str) -> None:
    async with keeping() as w:
        w.upstream.scripts = [says_json(response(status=status, background=True))]
        got = await w.call("/v1/responses", asked(background=True), headers=key("anna"))
        assert (got.json["status"], got.json["output"], got.json["background"]) == (status, [], True)
        w.upstream.scripts = [says_json(response(message(SECRET), background=True))]
        assert "treaty" not in texts((await fetch(w, got.json["id"])).json)


async def test_a_fetched_stream_is_guarded_from_its_beginning() -> None:
    sent = streamed(says("Rain falls on the sea. ", "The copper ", "treaty was signed."))
    async with keeping() as w:
        own = await kept(w)
        w.upstream.scripts = [says_stream(named(sent))]
        events = told(await fetch(w, own, query="stream=true"))
        assert w.upstream.requests[-1].path == "/v1/responses/resp_1?stream=true"
        assert "treaty" not in texts(events) and events[-1]["type"] == "response.incomplete"
        assert {event["response"]["id"] for event in events if "response" in event} == {own}
        later = told(await fetch(w, own, query="stream=true&starting_after=5"))
        assert w.upstream.requests[-1].path == "/v1/responses/resp_1?stream=true"
        assert later == events[6:] and later[0]["sequence_number"] == 6


@pytest.mark.parametrize("query", ["stream=perhaps", "stream=true&starting_after=-1", "starting_after=x"])
async def test_a_query_that_cannot_be_read_is_refused(query: str) -> None:
    async with keeping() as w:
        own = await kept(w)
        assert (await fetch(w, own, query=query)).status == 400


async def test_upstreams_errors_about_kept_responses_are_told() -> None:
    async with keeping() as w:
        own = await kept(w)
        error = {"message": "Response not found.", "type": "invalid_request_error", "param": "response_id", "code": 404}
        w.upstream.scripts = [says_json({"error": error}, 404)]
        got = await fetch(w, own)
        assert got.status == 404 and got.json == {"error": error}


@pytest.mark.parametrize(("rule", "problem"), [("refuse", "keeps no responses"), ("guard", "does not exist")])
async def test_the_setting_says_whether_responses_may_be_kept(
    rule: str, problem: str, tmp_path: Path, embedder: Embedder
) -> None:
    async with operators(tmp_path, embedder, responses_state=rule) as lethe:
        got = await lethe.admin.get("/v1/responses/resp_1")
        assert got.status_code == 404 and problem in got.json()["error"]["message"]
        body = {"model": "tiny", "input": "Well?", "previous_response_id": "resp_1"}
        got = await lethe.admin.post("/v1/responses", json=body)
        assert got.status_code == (404 if rule == "guard" else 400)
