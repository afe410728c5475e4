"""Imports, jobs and their events over the operator API."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from index.embedder import Embedder
from index.errors import StoreUnavailable
from index.jobs import Job, JobState, new_job_id
from server.importing import BATCH_LINES, Import, Key, LineTooLong, batches
from tests.server.operators import Operators, operators, until

IMPORTS, JOBS = "/lethe/v1/imports", "/lethe/v1/jobs"


def line(number: int, **changes: Any) -> bytes:
    return orjson.dumps({"kind": "fact", "text": f"Resident number {number} keeps {number} grey geese.", **changes})


async def over(lethe: Operators, job: str) -> Any:
    async def ended() -> Any:
        state = (await lethe.admin.get(f"{JOBS}/{job}")).json()
        return state if state["state"] in ("done", "failed", "interrupted") else None

    return await until(ended, 30.0)


async def test_an_import_adds_what_it_can_and_lists_what_it_cannot(lethe: Operators) -> None:
    lines = [
        line(1),
        b"{not json",
        b"",
        line(2, kind="poem"),
        line(3, policy="unheard-of"),
        b'{"kind":"fact","text":"!!!"}',
        b'{"kind":"fact","text":"\\ud800 and more words here"}',
        b"\xff\xfe",
        line(4, extra="SECRET"),
        line(5),
    ]
    answer = await lethe.admin.post(IMPORTS, content=b"\r\n".join(lines))
    assert answer.status_code == 202
    job = await over(lethe, answer.json()["job"])
    assert (job["state"], job["done"], job["failed"], job["total"]) == ("done", 2, 7, 9)
    assert [e["line"] for e in job["errors"]] == [2, 4, 5, 6, 7, 8, 9]
    assert "SECRET" not in str(job)
    assert all(error["reason"] for error in job["errors"])
    assert len((await lethe.admin.get("/lethe/v1/entries")).json()["entries"]) == 2


async def test_a_long_import_is_streamed_and_its_events_end_with_the_job(lethe: Operators) -> None:
    count = BATCH_LINES + 30

    async def body() -> AsyncIterator[bytes]:
        for number in range(count):
            data = line(number) + b"\n"
            yield data[:9]
            yield data[9:]

    job = (await lethe.admin.post(IMPORTS, content=body())).json()["job"]
    events = (await lethe.admin.get(f"{JOBS}/{job}/events")).text
    states = [json.loads(data) for data in re.findall(r"^data: (.*)$", events, re.M)]
    assert states[-1]["state"] == "done"
    assert (states[-1]["done"], states[-1]["total"]) == (count, count)
    assert states[-1]["per_second"] > 0
    assert [s["done"] for s in states] == sorted(s["done"] for s in states)


async def test_an_import_repeated_under_its_key_is_answered_and_not_repeated(lethe: Operators) -> None:
    headers = {"Idempotency-Key": "import-1"}
    body = b"\n".join(line(number) for number in range(5))
    first = await lethe.admin.post(IMPORTS, content=body, headers=headers)
    await over(lethe, first.json()["job"])
    again = await lethe.admin.post(IMPORTS, content=body, headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    other = await lethe.admin.post(IMPORTS, content=body + b"\n", headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_mismatch")
    assert len((await lethe.admin.get("/lethe/v1/entries")).json()["entries"]) == 5


async def test_a_job_is_seen_by_its_namespace_only(lethe: Operators) -> None:
    job = (await lethe.admin.post(IMPORTS, content=line(1))).json()["job"]
    await over(lethe, job)
    shop = await lethe.as_("operator", "shop")
    for path in (f"{JOBS}/{job}", f"{JOBS}/{job}/events", f"{JOBS}/job_none"):
        assert (await shop.get(path)).status_code == 404


@pytest.mark.parametrize("body", [b"", b"\n\n \n"])
async def test_an_empty_import_is_done_at_once(lethe: Operators, body: bytes) -> None:
    job = await over(lethe, (await lethe.admin.post(IMPORTS, content=body)).json()["job"])
    assert (job["state"], job["done"], job["total"]) == ("done", 0, 0)


async def chunked(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
async def test_where_a_batch_ends_does_not_depend_on_how_the_body_arrives(size: int) -> None:
    data = b"\n".join(b"%d" % n for n in range(2 * BATCH_LINES + 5))
    found = [batch async for batch in batches(chunked(data, size), 100)]
    assert [batch.first for batch in found] == [1, 1 + BATCH_LINES, 1 + 2 * BATCH_LINES]
    assert b"\n".join(line for batch in found for line in batch.lines) == data


async def test_a_line_that_is_too_long_ends_the_import_after_what_came_before() -> None:
    found = []
    with pytest.raises(LineTooLong) as refused:
        async for batch in batches(chunked(b"one\ntwo\n" + b"x" * 500, 10), 100):
            found.append(batch)
    assert (refused.value.line, [batch.lines for batch in found]) == (3, [(b"one", b"two")])


def a_job(namespace: str = "default") -> Job:
    return Job(new_job_id(), namespace, "lethe-1", JobState.QUEUED, 0.0)


async def run_import(lethe: Operators, key: Key | None, lines: int, index: Any = None) -> Job:
    work = Import(index or lethe.service.index, a_job(), key, lethe.service.run)
    working = asyncio.create_task(work.work())
    data = b"\n".join(line(number) for number in range(lines))
    async for batch in batches(chunked(data, 4096), 10_000):
        await work.put(batch)
    await work.end()
    await working
    return work.job


async def test_an_import_that_was_cut_off_is_taken_up_where_it_was(lethe: Operators) -> None:
    """As after a crash: some batches are committed, and the request was never answered."""
    key = Key("me", "k")
    await run_import(lethe, key, BATCH_LINES)
    job = await run_import(lethe, key, BATCH_LINES + 9)
    assert (job.state, job.done) == (JobState.DONE, BATCH_LINES + 9)
    page = await lethe.admin.get("/lethe/v1/entries?limit=1000")
    assert len(page.json()["entries"]) == BATCH_LINES + 9


class FullDisk:
    """An index whose store fails while entries are added, and keeps jobs."""

    def __init__(self, store: Any, keeps_jobs: bool) -> None:
        self.store = store if keeps_jobs else self

    def add(self, *_: object) -> None:
        raise StoreUnavailable("no room")

    def put_job(self, job: Job) -> None:
        raise StoreUnavailable("no room")


@pytest.mark.parametrize("keeps_jobs", [True, False])
async def test_a_store_that_fails_fails_the_job_and_hangs_nobody(lethe: Operators, keeps_jobs: bool) -> None:
    index = FullDisk(lethe.service.store, keeps_jobs)
    async with asyncio.timeout(10):
        job = await run_import(lethe, None, 5 * BATCH_LINES, index)
    assert (job.state, job.done) == (JobState.FAILED, 0)
    assert job.errors[0].reason == "no room"


async def test_a_client_that_leaves_fails_its_job(lethe: Operators, caplog: pytest.LogCaptureFixture) -> None:
    messages = iter([{"type": "http.request", "body": line(1) + b"\n" + line(2)[:10], "more_body": True}])

    async def receive() -> Any:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        pass

    headers = [(b"authorization", lethe.admin.headers["authorization"].encode())]
    scope = {"type": "http", "method": "POST", "path": IMPORTS, "query_string": b"", "headers": headers}
    with caplog.at_level("INFO", logger="lethe"):
        await lethe.app({**scope, "http_version": "1.1", "scheme": "http", "server": ("lethe", 80)}, receive, send)
    started = next(r.lethe["job"] for r in caplog.records if r.message == "import_started")  # type: ignore[attr-defined]
    job = await over(lethe, started)
    assert job["state"] == "failed"
    assert "left" in job["errors"][-1]["reason"]


async def test_a_server_that_ends_leaves_its_imports_interrupted(tmp_path: Path, embedder: Embedder) -> None:
    async with operators(tmp_path, embedder) as lethe:
        work = Import(lethe.service.index, a_job(), None, lethe.service.run)
        lethe.service.keep(asyncio.create_task(work.work()))
        await asyncio.sleep(0.05)
    async with operators(tmp_path, embedder) as lethe:
        assert (await lethe.admin.get(f"{JOBS}/{work.job.id}")).json()["state"] == "interrupted"
        lost = Job("job_lost", "default", "lethe-1", JobState.RUNNING, 0.0)
        lethe.service.store.put_job(lost)
    async with operators(tmp_path, embedder) as lethe:
        assert (await lethe.admin.get(f"{JOBS}/job_lost")).json()["state"] == "interrupted"
