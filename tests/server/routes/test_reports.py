"""Decisions, labels, calibrations, status, health and metrics over HTTP."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from guard.verdict import Action, Kind, Side
from index.decisions import Decision
from index.embedder import Embedder
from server.routes.health import metrics_app
from tests.server.operators import FACT, LEAK, Operators, operators, until
from tests.server.world import LoopbackUpstream, says_json

V1 = "/lethe/v1"
COMPLETION = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": LEAK["text"]}, "finish_reason": "stop"},
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
QUESTION = {"model": "m", "messages": [{"role": "user", "content": FACT["prompt"]}]}


def row(number: int, **changes: Any) -> Decision:
    base: dict[str, Any] = {
        "id": f"dec_{number}",
        "at": 1_700_000_000.0 + number,
        "namespace": "default",
        "dialect": "chat",
        "side": Side.ANSWER,
        "action": Action.BLOCK,
        "revision": 1,
        "request_id": "r",
        "kind": Kind.FACT,
        "stage": "embedding",
        "entry_id": "ent_1",
        "score": 0.9,
        "threshold": 0.8,
    }
    return Decision(**{**base, **changes})


async def test_decisions_are_listed_by_time_action_and_namespace(lethe: Operators) -> None:
    lethe.service.store.add_decisions(
        [row(1), row(2, action=Action.REDACT), row(3, namespace="shop"), row(4, shadow=True)]
    )

    async def ids(query: str = "") -> list[str]:
        answer = await lethe.admin.get(f"{V1}/decisions{query}")
        assert answer.status_code == 200, answer.text
        return [d["id"] for d in answer.json()["decisions"]]

    assert await ids() == ["dec_4", "dec_2", "dec_1"]
    assert await ids("?action=redact") == ["dec_2"]
    assert await ids("?since=1700000002") == ["dec_4", "dec_2"]
    assert await ids("?since=2023-11-14T22:13:24Z") == ["dec_4"]
    assert await ids("?since=&action=") == ["dec_4", "dec_2", "dec_1"]
    assert await ids("?limit=1") == ["dec_4"]
    assert await ids("?namespace=shop") == ["dec_3"]
    for query in ("?action=explode", "?since=yesterday", "?limit=0"):
        assert (await lethe.admin.get(f"{V1}/decisions{query}")).status_code == 400


async def test_a_decision_is_labelled_and_counted(lethe: Operators) -> None:
    lethe.service.store.add_decisions([row(1), row(2, namespace="shop")])
    answer = await lethe.admin.post(f"{V1}/decisions/dec_1/label", json={"label": "false_positive"})
    assert answer.json() == {"id": "dec_1", "label": "false_positive"}
    assert (await lethe.admin.get(f"{V1}/decisions")).json()["decisions"][0]["label"] == "false_positive"
    for path in ("dec_2", "dec_9"):
        assert (await lethe.admin.post(f"{V1}/decisions/{path}/label", json={"label": "hit"})).status_code == 404
    assert (await lethe.admin.post(f"{V1}/decisions/dec_1/label", json={"label": "nice"})).status_code == 400
    assert (await lethe.metrics())['lethe_labels_total{label="false_positive"}'] == 1


async def test_suppressed_traffic_leaves_decisions_metrics_and_no_text(tmp_path: Path, embedder: Embedder) -> None:
    upstream = LoopbackUpstream()
    async with upstream.serve() as url, operators(tmp_path, embedder, upstream=url) as lethe:
        upstream.scripts = [says_json(COMPLETION)]
        entry_id = await lethe.add()
        app = await lethe.as_("app")
        answer = await app.post("/v1/chat/completions", json=QUESTION)
        assert answer.json()["choices"][0]["finish_reason"] == "content_filter"
        assert "Vellmar" not in answer.text

        async def answers() -> Any:
            rows = (await lethe.admin.get(f"{V1}/decisions?action=block")).json()["decisions"]
            return [r for r in rows if r["side"] == "answer"]

        found = (await until(answers))[0]
        assert (found["entry_id"], found["stage"], found["kind"], found["shadow"]) == (
            entry_id,
            "claims",
            "fact",
            False,
        )
        metrics = await lethe.metrics()
        labels = 'action="block",kind="fact",namespace="default",side="answer",stage="claims"'
        assert metrics[f"lethe_suppressions_total{{{labels}}}"] == 1
        assert metrics['lethe_requests_total{dialect="chat",outcome="blocked",stream="false"}'] == 1
        assert metrics['lethe_index_entries{kind="fact",namespace="default"}'] == 1
        assert metrics["lethe_index_revision"] == 1
        assert metrics["lethe_replica_lag_revisions"] == 0
        assert metrics["lethe_index_apply_seconds_count"] == 1


async def test_shadow_mode_lets_traffic_through_and_counts_it_apart(tmp_path: Path, embedder: Embedder) -> None:
    upstream = LoopbackUpstream()
    async with upstream.serve() as url, operators(tmp_path, embedder, upstream=url) as lethe:
        upstream.scripts = [says_json(COMPLETION)]
        await lethe.admin.put(f"{V1}/policies/default?wait=applied", json={"mode": "shadow"})
        await lethe.add()
        answer = await (await lethe.as_("app")).post("/v1/chat/completions", json=QUESTION)
        assert answer.json()["choices"][0]["message"]["content"] == LEAK["text"]

        async def rows() -> Any:
            return (await lethe.admin.get(f"{V1}/decisions?action=block")).json()["decisions"]

        assert all(row["shadow"] for row in await until(rows))
        metrics = await lethe.metrics()
        assert any(name.startswith("lethe_shadow_suppressions_total{") and value for name, value in metrics.items())
        assert not any(name.startswith("lethe_suppressions_total{") and value for name, value in metrics.items())


async def test_applications_of_a_namespace_are_guarded_by_its_entries_only(tmp_path: Path, embedder: Embedder) -> None:
    upstream = LoopbackUpstream()
    async with upstream.serve() as url, operators(tmp_path, embedder, upstream=url) as lethe:
        upstream.scripts = [says_json(COMPLETION)]
        await lethe.admin.post(f"{V1}/entries?wait=applied&namespace=shop", json=FACT)
        for namespace, reason in (("shop", "content_filter"), ("bank", "stop")):
            app = await lethe.as_("app", namespace)
            answer = await app.post("/v1/chat/completions", json=QUESTION)
            assert answer.json()["choices"][0]["finish_reason"] == reason


async def test_keys_of_one_side_do_not_open_the_other(lethe: Operators) -> None:
    for role, status in (("operator", 403), ("auditor", 403), ("app", 503), ("admin", 503)):
        client = await lethe.as_(role)
        answer = await client.post("/v1/chat/completions", json=QUESTION)
        assert answer.status_code == status, (role, answer.text)
        assert {"message", "type", "code"} <= set(answer.json()["error"])
    assert (await (await lethe.client(None)).post("/v1/chat/completions", json=QUESTION)).status_code == 401


async def test_status_tells_where_the_server_stands(lethe: Operators) -> None:
    await lethe.add()
    lethe.service.store.seen("other", 0)
    status = (await lethe.admin.get(f"{V1}/status")).json()
    assert status["revision"] == 1
    assert status["entries"] == {"passage": 0, "fact": 1, "concept": 0}
    assert {r["name"]: r["lag"] for r in status["replicas"]} == {"lethe-1": 0, "other": 1}
    assert len(status["embedder_hash"]) == 64
    assert status["embedder_hash"] == status["calibration"]["embedder_hash"]
    upstream = {"url": "http://127.0.0.1:9", "reachable": False, "examined_at": None, "findings": None}
    assert status["upstream"] == upstream
    assert status["access"] == "keys"


async def test_health_needs_no_key_and_no_model_server(lethe: Operators) -> None:
    nobody = await lethe.client(None)
    assert (await nobody.get("/healthz")).json() == {"status": "ok"}
    ready = await nobody.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"ready": True, "store": True, "embedder": True, "snapshot": True, "upstream": False}
    metrics_port = await lethe.client(None, metrics_app(lethe.service))
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await metrics_port.get(path)).status_code == 200
    assert (await metrics_port.get("/lethe/v1/entries")).status_code == 404
    assert (await nobody.get("/metrics")).status_code == 404


async def test_an_index_that_does_not_follow_is_not_ready(lethe: Operators) -> None:
    lethe.service.index.close()
    ready = await lethe.admin.get("/readyz")
    assert (ready.status_code, ready.json()["snapshot"]) == (503, False)
    assert (await lethe.admin.post(f"{V1}/check", json=LEAK)).status_code == 503
    answer = await lethe.admin.post("/v1/chat/completions", json=QUESTION)
    assert answer.status_code == 503


async def test_a_server_without_keys_serves_applications_and_only_its_own_operator(
    tmp_path: Path, embedder: Embedder
) -> None:
    async with operators(tmp_path, embedder, admin_key=None) as lethe:
        nobody = await lethe.client(None)
        assert (await nobody.get("/v1/models")).status_code == 503  # let in; no model server is there
        assert (await nobody.get(f"{V1}/entries")).status_code == 401
        generated = await lethe.client(lethe.service.access.generated_key)
        assert (await generated.get(f"{V1}/status")).json()["access"] == "open_on_loopback"
        await lethe.as_("app")
        began = time.monotonic()

        async def closed() -> bool:
            return (await nobody.get("/v1/models")).status_code == 401

        await until(closed)
        assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_a_server_without_keys_does_not_start_for_other_machines(
    tmp_path: Path, embedder: Embedder, host: str
) -> None:
    from index.errors import StartRefused

    with pytest.raises(StartRefused, match="loopback"):
        async with operators(tmp_path, embedder, admin_key=None, host=host):
            pass
