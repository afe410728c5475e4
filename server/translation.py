"""Between the bodies of the operator API and the types inside."""

from __future__ import annotations

import time

from guard.verdict import Kind
from index.entry import Content, Draft, Entry, Retention
from index.jobs import Job
from server.checking import Checked
from server.schemas.base import action_name, moment, seconds_of
from server.schemas.check import CheckOut, MatchOut, StageOut
from server.schemas.entries import ContentOut, EntryIn, EntryOut, JobError, JobOut


def draft_of(body: EntryIn) -> Draft:
    """What the index takes."""
    return Draft(
        kind=Kind(body.kind),
        text=body.text,
        prompt=body.prompt,
        examples=tuple(body.examples),
        counterexamples=tuple(body.counterexamples),
        label=body.label,
        policy=body.policy,
        retention=Retention(body.retention),
        reference=body.reference,
        expires_at=seconds_of(body.expires_at),
        force=body.force,
    )


def entry_out(entry: Entry, content: Content | None = None) -> EntryOut:
    """What may be shown of an entry."""
    return EntryOut(
        id=entry.id,
        namespace=entry.namespace,
        kind=entry.kind.value,
        label=entry.label,
        policy=entry.policy,
        retention=entry.retention.value,
        reference=entry.reference,
        created_at=moment(entry.created_at),
        expires_at=None if entry.expires_at is None else moment(entry.expires_at),
        revision=entry.revision,
        windows=entry.windows,
        content=None
        if content is None
        else ContentOut(
            text=content.text,
            prompt=content.prompt,
            examples=list(content.examples),
            counterexamples=list(content.counterexamples),
        ),
    )


def check_out(checked: Checked) -> CheckOut:
    """The public form of a checked text."""
    verdict = checked.verdict
    return CheckOut(
        action=action_name(verdict.action),
        shadowed=action_name(verdict.shadowed),
        matches=[
            MatchOut(
                entry_id=m.entry_id,
                detector=m.detector,
                score=m.score,
                threshold=m.threshold,
                start=m.start,
                end=m.end,
                view=m.view,
            )
            for m in sorted(verdict.matches, key=lambda m: (-m.score, m.start))
        ],
        revision=verdict.revision,
        stages=[StageOut(stage=s.stage, ms=s.seconds * 1000, outcome=s.outcome.value) for s in checked.stages],
    )


def job_out(job: Job) -> JobOut:
    """The public form of a job."""
    return JobOut(
        job=job.id,
        state=job.state.value,
        done=job.done,
        failed=job.failed,
        total=job.total,
        per_second=round(job.per_second(time.time()), 1),
        errors=[JobError(line=error.line, reason=error.reason) for error in job.errors],
    )
