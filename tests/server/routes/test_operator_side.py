"""The operator side as a whole: roles, bad input, limits, errors, documentation."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from index.embedder import Embedder
from tests.server.operators import FACT, LEAK, Operators, operators

V1 = "/lethe/v1"
SECRET = "xyzzy-forget-me"

# method, path, body, and the roles that may
CALLS: list[tuple[str, str, Any, set[str]]] = [
    ("POST", "/entries", FACT, {"operator", "admin"}),
    ("POST", "/entries/batch", {"entries": [FACT]}, {"operator", "admin"}),
    ("POST", "/entries/lint", FACT, {"operator", "admin"}),
    ("GET", "/entries", None, {"operator", "admin"}),
    ("GET", "/entries/ent_1", None, {"operator", "admin"}),
    ("PATCH", "/entries/ent_1", {"label": "x"}, {"operator", "admin"}),
    ("DELETE", "/entries/ent_1", None, {"operator", "admin"}),
    ("POST", "/imports", b"", {"operator", "admin"}),
    ("GET", "/jobs/job_1", None, {"operator", "admin"}),
    ("GET", "/jobs/job_1/events", None, {"operator", "admin"}),
    ("POST", "/check", LEAK, {"operator", "admin"}),
    ("GET", "/policies", None, {"operator", "admin"}),
    ("GET", "/policies/default", None, {"operator", "admin"}),
    ("PUT", "/policies/p", {}, {"operator", "admin"}),
    ("GET", "/calibrations", None, {"operator", "admin"}),
    ("POST", "/calibrations", {"samples": ["a b c d"] * 20}, {"operator", "admin"}),
    ("GET", "/decisions", None, {"operator", "auditor", "admin"}),
    ("POST", "/decisions/dec_1/label", {"label": "hit"}, {"operator", "admin"}),
    ("GET", "/status", None, {"operator", "auditor", "admin"}),
]


async def send(client: httpx.AsyncClient, method: str, path: str, body: Any) -> httpx.Response:
    content = {"content": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
    return await client.request(method, V1 + path, **content)


def is_error(answer: httpx.Response, status: int, code: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(error) == {"code", "message", "details"}
    assert error["message"]
    assert code is None or error["code"] == code


async def test_every_call_is_for_its_roles_only(lethe: Operators) -> None:
    clients = {role: await lethe.as_(role) for role in ("app", "operator", "auditor", "admin")}
    nobody, stranger = await lethe.client(None), await lethe.client("lethe_abc_def")
    for method, path, body, allowed in CALLS:
        for role, client in clients.items():
            answer = await send(client, method, path, body)
            if role in allowed:
                assert answer.status_code not in (401, 403), (method, path, role, answer.text)
            else:
                is_error(answer, 403, "wrong_role")
        for client in (nobody, stranger):
            answer = await send(client, method, path, body)
            is_error(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_table_above_names_every_documented_call(lethe: Operators) -> None:
    document = (await lethe.admin.get("/lethe/openapi.json")).json()
    documented = {
        (method.upper(), path.removeprefix(V1))
        for path, calls in document["paths"].items()
        if path.startswith(V1)
        for method in calls
    }
    named = {
        (m, p.replace("ent_1", "{entry_id}").replace("job_1", "{job_id}").replace("dec_1", "{decision_id}"))
        for m, p, _, _ in CALLS
    }
    named = {(m, "/policies/{name}" if p in ("/policies/default", "/policies/p") else p) for m, p in named}
    assert documented == named
    assert (await lethe.admin.get("/lethe/docs")).status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"' + SECRET.encode() + b'"',
        b"\xff\xfe\x00",
        b'{"kind":"fact","text":"' + SECRET.encode() + b'\xff"}',
        b'{"kind":"fact","text":"' + SECRET.encode() + b' \\ud800"}',
        b'{"kind":"fact","text":"' + SECRET.encode() + b'","kind":NaN}',
        b'{"kind":"fact","text":["' + SECRET.encode() + b'"]}',
        b'{"kind":"fact","text":{"' + SECRET.encode() + b'":1}}',
        b'{"kind":"fact","text":7}',
        b'{"kind":"fact","text":""}',
        b'{"kind":"fact","text":null}',
        b'{"kind":"fact"}',
        b'{"text":"a b c d"}',
        b'{"kind":"' + SECRET.encode() + b'","text":"a b c d"}',
        b'{"kind":"fact","text":"a b c d","' + SECRET.encode() + b'":1}',
        b'{"kind":"fact","text":"a b c d","examples":"' + SECRET.encode() + b'"}',
        b'{"kind":"fact","text":"a b c d","label":"' + SECRET.encode() + b'\\u0000"}',
        b'{"kind":"fact","text":"a b c d","policy":"../' + SECRET.encode() + b'"}',
        b'{"kind":"fact","text":"a b c d","retention":"' + SECRET.encode() + b'"}',
        b'{"kind":"fact","text":"a b c d","expires_at":"' + SECRET.encode() + b'"}',
        b'{"kind":"fact","text":"a b c d","expires_at":1e300}',
        b'{"kind":"fact","text":"a b c d","force":"' + SECRET.encode() + b'"}',
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
    ],
)
async def test_a_bad_body_is_refused_in_our_form_and_never_repeated(lethe: Operators, raw: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    for path in ("/entries", "/entries/batch", "/check"):
        if path == "/check" and raw == b'{"text":"a b c d"}':
            continue  # which check takes
        answer = await lethe.admin.post(V1 + path, content=raw, headers=headers)
        is_error(answer, 400, "bad_request")
        assert SECRET not in answer.text
        assert "xyzzy" not in answer.text


async def test_a_body_that_is_not_called_json_is_refused(lethe: Operators) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = await lethe.admin.post(f"{V1}/entries", content=b'{"kind":"fact"}', headers={"Content-Type": kind})
        is_error(answer, 400)


async def test_a_body_that_is_too_large_is_refused(tmp_path: Path, embedder: Embedder) -> None:
    async with operators(tmp_path, embedder, max_body_bytes=2_000) as lethe:
        body = {**FACT, "text": "word " * 1_000}

        async def chunks() -> Any:
            for _ in range(100):
                yield b" " * 100

        is_error(await lethe.admin.post(f"{V1}/entries", json=body), 413, "body_too_large")
        streamed = await lethe.admin.post(
            f"{V1}/entries", content=chunks(), headers={"Content-Type": "application/json"}
        )
        is_error(streamed, 413, "body_too_large")
        nobody = await lethe.client(None)
        is_error(await nobody.post(f"{V1}/entries", json=body), 401)  # before the body is looked at
        long_import = b'{"kind":"fact","text":"Resident number one keeps grey geese."}\n' * 100
        assert (await lethe.admin.post(f"{V1}/imports", content=long_import)).status_code == 202


async def test_too_many_calls_at_once_are_told_when_to_come_back(tmp_path: Path, embedder: Embedder) -> None:
    async with operators(tmp_path, embedder, max_concurrency=1) as lethe:
        lethe.service.store.seen("slow-replica", 0)
        waiting = asyncio.create_task(lethe.admin.post(f"{V1}/entries?wait=applied&timeout_s=1", json=FACT))
        await asyncio.sleep(0.2)
        answer = await lethe.admin.get(f"{V1}/entries")
        is_error(answer, 429, "too_many_requests")
        assert int(answer.headers["retry-after"]) >= 1
        assert (await lethe.admin.get("/healthz")).status_code == 200
        assert (await waiting).status_code == 504


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/lethe/v1"),
        ("GET", "/lethe/v1/"),
        ("GET", "/lethe/v1/nothing"),
        ("DELETE", "/lethe/v1/entries"),
        ("PUT", "/lethe/v1/entries"),
        ("POST", "/lethe/v1/status"),
        ("GET", "/lethe/v1/entries/"),
        ("GET", "/lethe"),
        ("GET", "/lethe/redoc"),
        ("GET", "/metrics"),
        ("GET", "/"),
        ("POST", "/healthz"),
        ("GET", "/version"),
        ("POST", "/v1/load_lora_adapter"),
        ("GET", "/v1/entries"),
    ],
)
async def test_what_does_not_exist_is_not_found(lethe: Operators, method: str, path: str) -> None:
    answer = await lethe.admin.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/entries?wait=never", "/entries?wait=applied&timeout_s=0", "/entries?timeout_s=1e9"])
async def test_a_wait_that_makes_no_sense_is_refused(lethe: Operators, path: str) -> None:
    is_error(await lethe.admin.post(V1 + path, json=FACT), 400)
    assert (await lethe.admin.get(f"{V1}/entries")).json()["entries"] == []


async def test_a_store_that_fails_is_told_as_503_and_nothing_is_half_done(lethe: Operators) -> None:
    lethe.service.store.close()
    for method, path, body in (("GET", "/entries", None), ("POST", "/entries", FACT), ("GET", "/decisions", None)):
        answer = await send(lethe.admin, method, path, body)
        is_error(answer, 503, "store_unavailable")
        assert answer.headers["retry-after"]
    ready = await lethe.admin.get("/readyz")
    assert (ready.status_code, ready.json()["store"]) == (503, False)


async def test_a_defect_of_ours_tells_nothing(lethe: Operators, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def entries(self, *_: object) -> None:
            raise KeyError(SECRET)

    object.__setattr__(lethe.service, "index", Broken())
    answer = await lethe.admin.get(f"{V1}/entries")
    is_error(answer, 500, "internal_error")
    assert SECRET not in answer.text


async def test_every_call_has_an_id_that_the_log_knows(lethe: Operators, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="lethe"):
        answer = await lethe.admin.post(f"{V1}/entries", json=FACT)
    (line,) = [r.lethe for r in caplog.records if r.message == "entries_added"]  # type: ignore[attr-defined]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["principal"], line["namespace"], line["count"]) == ("bootstrap", "default", 1)
