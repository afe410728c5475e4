"""Imports: entries by the million, as a job."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse

from index.errors import Conflict, IdempotencyMismatch, JobUnknown
from index.jobs import Job, JobError, JobState, new_job_id
from index.records import Once, Written
from server.importing import Import, Key, LineTooLong, batches
from server.limits import ClientLeft, body_chunks
from server.routes.calls import Call, Operating, StrictRoute, answered
from server.schemas.entries import JobOut, JobStarted
from server.translation import job_out

router = APIRouter(route_class=StrictRoute, tags=["imports"])

JobId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,64}$")]
EVENT_EVERY_S: Final = 0.25
_BEAT_EVERY_S: Final = 15.0
_OVER: Final = frozenset({JobState.DONE, JobState.FAILED, JobState.INTERRUPTED})
_BODY: Final = {
    "requestBody": {
        "required": True,
        "description": "one entry per line, each as POST /entries takes it",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    }
}


class _Hashed:
    """Passes a body on and hashes it."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._hash = hashlib.sha256()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self._hash.update(chunk)
            yield chunk

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


@router.post("/imports", status_code=202, response_model=JobStarted, openapi_extra=_BODY)
async def import_entries(request: Request, call: Operating) -> Response:
    """Add the entries of a body of any size while it comes in. Lines that cannot be taken are listed by the job."""
    body = _Hashed(body_chunks(request.receive))
    probe = call.keyed("imports", "")
    if probe is None:
        return _started(await _read(call, body, None))
    if await _known(call, probe):
        async for _ in body:
            pass
        return await _told_before(call, body)
    job = await _read(call, body, Key(probe.principal, probe.key))
    once = call.keyed("imports", body.digest)
    assert once is not None
    try:
        await call.service.run(call.service.store.remember, once, JobStarted(job=job).model_dump_json())
    except Conflict:  # the same import was faster elsewhere
        return await _told_before(call, body)
    return _started(job)


def _started(job: str) -> Response:
    return answered(JobStarted(job=job), 202)


async def _known(call: Call, probe: Once) -> bool:
    """True when this key was used before, with whatever body."""
    try:
        before: Written | None = await call.service.run(call.service.store.replay, probe)
    except IdempotencyMismatch:
        return True
    return before is not None


async def _told_before(call: Call, body: _Hashed) -> Response:
    once = call.keyed("imports", body.digest)
    before = None if once is None else await call.service.run(call.service.store.replay, once)
    return Response(before.answer if before else "", 202, media_type="application/json")


async def _read(call: Call, body: _Hashed, key: Key | None) -> str:
    """Hand the body to a job; answers its id when all of the body was read."""
    service = call.service
    job = Job(new_job_id(), call.namespace, service.settings.replica_name, JobState.QUEUED, time.time())
    await service.run(service.store.put_job, job)
    work = Import(service.index, job, key, service.run)
    service.keep(asyncio.create_task(work.work()))
    call.noted("import_started", job=job.id)
    line = 0
    try:
        async for batch in batches(body.__aiter__(), service.settings.max_body_bytes):
            line = batch.first
            await work.put(batch)
    except LineTooLong as fault:
        await work.end(JobError(fault.line, str(fault)))
    except (ClientLeft, asyncio.CancelledError):
        await asyncio.shield(work.end(JobError(line, "the client left before the body was complete")))
        raise
    else:
        await work.end()
    return job.id


@router.get("/jobs/{job_id}", response_model=JobOut)
async def show_job(job_id: JobId, call: Operating) -> Response:
    """How far a job is."""
    return answered(job_out(await _job(call, job_id)))


@router.get("/jobs/{job_id}/events", response_class=StreamingResponse)
async def follow_job(job_id: JobId, call: Operating) -> Response:
    """The same as server-sent events, until the job is over."""
    return StreamingResponse(_events(call, await _job(call, job_id)), media_type="text/event-stream")


async def _job(call: Call, job_id: str) -> Job:
    job = await call.service.run(call.service.store.job, job_id)
    if job.namespace != call.namespace:
        raise JobUnknown(job_id)
    return job


async def _events(call: Call, job: Job) -> AsyncIterator[bytes]:
    told: Job | None = None
    told_at = time.monotonic()
    while True:
        if job != told:
            yield b"event: job\ndata: " + job_out(job).model_dump_json().encode() + b"\n\n"
            told, told_at = job, time.monotonic()
        elif time.monotonic() - told_at > _BEAT_EVERY_S:
            yield b": still here\n\n"
            told_at = time.monotonic()
        if job.state in _OVER:
            return
        await asyncio.sleep(EVENT_EVERY_S)
        job = await _job(call, job.id)
