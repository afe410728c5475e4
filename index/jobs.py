"""Jobs: long work that an operator started, as the store remembers it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MOST_ERRORS: Final = 1000
"""Errors that a job remembers; `failed` counts all of them."""


class JobState(StrEnum):
    """How far a job is. `interrupted`: its process ended before it did."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class JobError:
    """A line that was refused. The reason names no forget text."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `total` is None while it is not known; times in epoch seconds; `replica` runs it."""

    id: str
    namespace: str
    replica: str
    state: JobState
    created_at: float
    done: int = 0
    failed: int = 0
    total: int | None = None
    errors: tuple[JobError, ...] = ()
    started_at: float | None = None
    ended_at: float | None = None

    def per_second(self, now: float) -> float:
        """Lines dealt with per second so far."""
        if self.started_at is None:
            return 0.0
        seconds = (self.ended_at or now) - self.started_at
        return (self.done + self.failed) / seconds if seconds > 0 else 0.0


def new_job_id() -> str:
    """An id for a job."""
    return f"job_{uuid.uuid4().hex}"
