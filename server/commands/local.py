"""Operations directly on a store, without a server. A server on the same store follows within a moment."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

from guard.verdict import Kind, Side
from index.entry import Content, Entry, Retention
from index.follower import LIVE_S
from index.forget_index import ForgetIndex
from index.jobs import Job, JobError, JobState, new_job_id
from index.records import EntryFilter
from server.access import DEFAULT_NAMESPACE
from server.checking import check
from server.commands.operations import Listing, Seen
from server.importing import Import, LineTooLong, batches
from server.schemas.check import CheckIn, CheckOut
from server.schemas.entries import EntriesOut, EntryIn, EntryOut, JobOut, RemovedOut, WrittenOut
from server.service import open_index, open_store
from server.settings import Settings
from server.translation import check_out, draft_of, entry_out, job_out

_CHUNK: Final = 1 << 16
_WAIT_S: Final = 5.0


class Local:
    """Implements `Operations` on a store. The index with its embedder is opened when something must be embedded."""

    def __init__(self, settings: Settings, namespace: str) -> None:
        self._settings, self._namespace = settings, namespace
        self._open = ExitStack()
        self._store = open_store(settings.store)
        self._open.callback(self._store.close)

    def close(self) -> None:
        """Close the store."""
        self._open.close()

    @cached_property
    def _index(self) -> ForgetIndex:
        index = open_index(self._settings, self._store, f"command-{os.getpid()}")
        self._open.callback(index.close)
        return index

    def add(self, entry: EntryIn, wait: bool) -> WrittenOut:
        """Add one entry."""
        written = self._index.add(self._namespace, [draft_of(entry)])
        self._applied(written.revision, wait)
        return WrittenOut(id=written.ids[0], revision=written.revision)

    def entries(self, listing: Listing) -> EntriesOut:
        """A page of entries."""
        kind = None if listing.kind is None else Kind(listing.kind)
        page = self._store.entries(EntryFilter(self._namespace, kind, listing.label, listing.cursor, listing.limit))
        shown = [
            entry_out(entry, self._content(entry.id) if listing.reveal and not _is_sealed(entry) else None)
            for entry in page.entries
        ]
        return EntriesOut(entries=shown, next_cursor=page.next_cursor)

    def show(self, entry_id: str, reveal: bool) -> EntryOut:
        """One entry."""
        entry = self._store.entry(self._namespace, entry_id).entry
        return entry_out(entry, self._content(entry_id) if reveal else None)

    def remove(self, entry_id: str, wait: bool) -> RemovedOut:
        """Destroy one entry."""
        written = self._store.remove(self._namespace, entry_id)
        self._applied(written.revision, wait)
        return RemovedOut(id=entry_id, revision=written.revision)

    def import_file(self, path: Path, sent: Seen, added: Seen) -> JobOut:
        """Add the entries of a file."""
        job = Job(new_job_id(), self._namespace, f"command-{os.getpid()}", JobState.QUEUED, time.time())
        return job_out(asyncio.run(self._import(job, path, sent, added)))

    async def _import(self, job: Job, path: Path, sent: Seen, added: Seen) -> Job:
        work = Import(self._index, job, None, asyncio.to_thread)
        working = asyncio.create_task(work.work())
        try:
            async for batch in batches(_chunks(path, sent), self._settings.max_body_bytes):
                await work.put(batch)
                added(work.job.done + work.job.failed, None)
        except LineTooLong as fault:
            await work.end(JobError(fault.line, str(fault)))
        else:
            await work.end()
        await working
        added(work.job.done + work.job.failed, work.job.total)
        return work.job

    def check(self, asked: CheckIn) -> CheckOut:
        """The verdict on a text."""
        if not self._index.ready:
            self._index.start()
        view = self._index.snapshot.view(self._namespace)
        timing = (time.perf_counter, self._settings.judge_timeout_s)
        return check_out(check(view, asked.text, asked.prompt, Side(asked.side), timing))

    def _content(self, entry_id: str) -> Content:
        return self._index.reveal(self._namespace, entry_id)

    def _applied(self, revision: int, wait: bool) -> None:
        """Wait for the servers on this store; this process serves nothing."""
        deadline = time.monotonic() + _WAIT_S
        while wait and time.monotonic() < deadline:
            horizon = time.time() - LIVE_S
            if not any(r.revision < revision and r.seen_at >= horizon for r in self._store.replicas()):
                return
            time.sleep(0.05)


def _is_sealed(entry: Entry) -> bool:
    return entry.retention is Retention.SEALED


@contextmanager
def opened(settings: Settings, namespace: str | None) -> Iterator[Local]:
    """Operations on the settings' store. Raises `StoreUnavailable`."""
    local = Local(settings, namespace or DEFAULT_NAMESPACE)
    try:
        yield local
    finally:
        local.close()


async def _chunks(path: Path, sent: Seen) -> AsyncIterator[bytes]:
    total, done = await asyncio.to_thread(lambda: path.stat().st_size), 0
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
            done += len(chunk)
            sent(done, total)
