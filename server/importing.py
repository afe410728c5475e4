"""Imports: a body of newline-delimited JSON of any size becomes entries, while it is still coming in.

```
    body bytes --lines--> batches of at most BATCH_LINES --queue (bounded: the client waits)--> index.add --> job
```

Where a batch ends is a function of the body alone, so an import that is repeated under the same idempotency key finds
the batches that were committed before and does not add them twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

import orjson
from pydantic import ValidationError

from index.entry import Draft
from index.errors import EntryRefused, IndexFault, PolicyUnknown
from index.forget_index import ForgetIndex
from index.jobs import MOST_ERRORS, Job, JobError, JobState
from index.lint import EntriesTooBroad, admit
from index.records import Once
from server.errors import field_errors
from server.logs import Value, record
from server.schemas.entries import EntryIn
from server.translation import draft_of

BATCH_LINES: Final = 256
BATCH_BYTES: Final = 1 << 20
_QUEUED: Final = 2

Run = Callable[..., Awaitable[object]]


class LineTooLong(Exception):
    """The client sent a line that is longer than any entry may be; where the next one begins is not looked for."""

    def __init__(self, line: int, limit: int) -> None:
        super().__init__(f"the line is longer than {limit} bytes; nothing after it was read")
        self.line = line


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive lines, `first` counted from 1, with the hash of their bytes."""

    number: int
    first: int
    lines: tuple[bytes, ...]

    @property
    def digest(self) -> str:
        """Identifies the content of the batch."""
        return hashlib.sha256(b"\n".join(self.lines)).hexdigest()


async def batches(chunks: AsyncIterator[bytes], longest_line: int) -> AsyncIterator[Batch]:
    """Cut a body into batches. Raises `LineTooLong` after everything before that line was given."""
    number, first, waiting, size = 0, 1, list[bytes](), 0
    tail = bytearray()
    async for chunk in chunks:
        tail += chunk
        if b"\n" in chunk:
            *lines, rest = bytes(tail).split(b"\n")
            tail = bytearray(rest)
            for line in lines:
                waiting.append(line)
                size += len(line)
                if len(waiting) >= BATCH_LINES or size >= BATCH_BYTES:
                    yield Batch(number, first, tuple(waiting))
                    number, first, waiting, size = number + 1, first + len(waiting), [], 0
        if len(tail) > longest_line:
            break
    if len(tail) <= longest_line and tail:
        waiting.append(bytes(tail))
    if waiting:
        yield Batch(number, first, tuple(waiting))
    if len(tail) > longest_line:
        raise LineTooLong(first + len(waiting), longest_line)


def read_line(line: bytes, now: float) -> Draft | str:
    """The draft in one line, or why it cannot be kept; the reason repeats nothing of it."""
    try:
        draft = draft_of(EntryIn.model_validate(orjson.loads(line)))
        admit([draft], now)
        return draft
    except EntryRefused as fault:
        return fault.reason
    except orjson.JSONDecodeError:
        return "is not valid JSON"
    except ValidationError as error:
        first = field_errors(error.errors(include_url=False, include_context=False, include_input=False))[0]
        return f"{first['where']}: {first['reason']}" if first["where"] else first["reason"]


@dataclass(frozen=True, slots=True)
class Key:
    """The idempotency key that an import came with, and whose it is."""

    principal: str
    key: str


class Import:
    """One import at work. `run` does blocking work off the event loop."""

    def __init__(self, index: ForgetIndex, job: Job, key: Key | None, run: Run) -> None:
        self._index, self._key, self._run = index, key, run
        self.job = job
        self._queue: asyncio.Queue[Batch | None] = asyncio.Queue(_QUEUED)
        self._seen = 0
        self._ended = False

    async def put(self, batch: Batch) -> None:
        """Take a batch; waits while enough of them are queued, so that the client slows down too."""
        await self._queue.put(batch)

    async def end(self, fault: JobError | None = None) -> None:
        """No more batches come; `fault` says why when the body was not complete."""
        if fault is not None:
            self._refuse([fault])
            self.job = replace(self.job, state=JobState.FAILED)
        self._ended = True
        await self._queue.put(None)

    async def work(self) -> None:
        """Add batch after batch until the end. Keeps the job up to date in the store."""
        try:
            self.job = replace(self.job, state=JobState.RUNNING, started_at=time.time())
            while (batch := await self._queue.get()) is not None:
                await self._take(batch)
            failed = self.job.state is JobState.FAILED
            await self._over(JobState.FAILED if failed else JobState.DONE)
        except asyncio.CancelledError:
            await asyncio.shield(self._over(JobState.INTERRUPTED))
            raise
        except IndexFault as fault:
            self._refuse([JobError(0, str(fault))])
            await self._give_up(fault)
        except Exception as fault:  # noqa: BLE001  # the border of a background task: the job says that it failed
            self._refuse([JobError(0, "something went wrong here; the server's log says where")])
            await self._give_up(fault)

    async def _give_up(self, fault: Exception) -> None:
        record("import_failed", logging.ERROR, fault, {"job": self.job.id})
        try:
            await self._over(JobState.FAILED)
        except IndexFault as also:
            record("import_state_lost", logging.ERROR, also, {"job": self.job.id})
        while not (self._ended and self._queue.empty()):  # the request may still be handing in batches
            await self._queue.get()

    async def _over(self, state: JobState) -> None:
        self.job = replace(self.job, state=state, total=self._seen, ended_at=time.time())
        await self._run(self._index.store.put_job, self.job)
        counts: dict[str, Value] = {"done": self.job.done, "failed": self.job.failed}
        record("import_over", fields={"job": self.job.id, "state": state.value, **counts})

    async def _take(self, batch: Batch) -> None:
        drafts: list[tuple[int, Draft]] = []
        refused: list[JobError] = []
        now = time.time()
        for line, data in enumerate(batch.lines, batch.first):
            if not data.strip():
                continue
            self._seen += 1
            draft = read_line(data, now)
            if isinstance(draft, str):
                refused.append(JobError(line, draft))
            else:
                drafts.append((line, draft))
        added = 0
        while drafts and not added:
            added, more = await self._add(drafts, batch)
            refused += more
            drafts = [pair for pair in drafts if pair[0] not in {error.line for error in more}]
        self._refuse(sorted(refused, key=lambda error: error.line))
        self.job = replace(self.job, done=self.job.done + added)
        await self._run(self._index.store.put_job, self.job)

    async def _add(self, drafts: list[tuple[int, Draft]], batch: Batch) -> tuple[int, list[JobError]]:
        """How many were added, all or none; if none, the lines that stand in the way."""
        once = None
        if self._key is not None:
            route = f"{self.job.namespace} imports {batch.number}"
            once = Once(self._key.principal, self._key.key, route, batch.digest)
        try:
            await self._run(self._index.add, self.job.namespace, [draft for _, draft in drafts], once)
        except PolicyUnknown as fault:
            return 0, [JobError(line, str(fault)) for line, draft in drafts if draft.policy == fault.name]
        except EntriesTooBroad as fault:
            return 0, [JobError(drafts[at][0], reason) for at, reason in fault.reasons.items()]
        except EntryRefused as fault:
            return 0, [JobError(drafts[fault.position or 0][0], fault.reason)]
        return len(drafts), []

    def _refuse(self, errors: list[JobError]) -> None:
        kept = (*self.job.errors, *errors)[:MOST_ERRORS]
        self.job = replace(self.job, errors=kept, failed=self.job.failed + len(errors))
