"""Access keys, decisions, jobs, replicas, calibrations and secrets, in SQL: what has no revision."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from guard.verdict import Action, Kind, Side
from index import sql
from index.database import (
    Database,
    Row,
    Value,
    data,
    real,
    real_or_none,
    text,
    text_or_none,
    whole,
    whole_or_none,
)
from index.decisions import Decision, DecisionFilter, Label
from index.errors import DecisionUnknown, JobUnknown, KeyUnknown
from index.jobs import MOST_ERRORS, Job, JobError, JobState
from index.keys import ApiKey, KeyRecord, Role
from index.records import Replica


class JournalRows:
    """The part of the store that no snapshot depends on."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._db, self._clock = database, clock

    # -- secrets of the whole store ---------------------------------------------------------------------------------

    def meta(self, name: str) -> bytes | None:
        """See `Store.meta`."""
        with self._db.reading() as session:
            rows = session.rows(sql.META, {"name": name})
        return data(rows[0], "value") if rows else None

    def put_meta(self, name: str, value: bytes) -> bytes:
        """See `Store.put_meta`."""
        with self._db.writing() as session:
            session.run(sql.PUT_META, {"name": name, "value": value})
            return data(session.rows(sql.META, {"name": name})[0], "value")

    # -- access keys ------------------------------------------------------------------------------------------------

    def add_key(self, record: KeyRecord) -> None:
        """See `Store.add_key`."""
        with self._db.writing() as session:
            session.run(sql.ADD_KEY, {**asdict(record.key), "secret_hash": record.secret_hash})

    def access_keys(self) -> Sequence[KeyRecord]:
        """See `Store.access_keys`."""
        with self._db.reading() as session:
            return [_key(row) for row in session.rows(sql.KEYS)]

    def revoke_key(self, key_id: str, at: float) -> None:
        """See `Store.revoke_key`."""
        with self._db.writing() as session:
            if not session.run(sql.REVOKE_KEY, {"id": key_id, "at": at}):
                raise KeyUnknown(key_id)

    # -- decisions --------------------------------------------------------------------------------------------------

    def add_decisions(self, batch: Sequence[Decision]) -> None:
        """See `Store.add_decisions`."""
        with self._db.writing() as session:
            for decision in batch:
                values = {**asdict(decision), "action": decision.action.label, "shadow": int(decision.shadow)}
                session.run(sql.ADD_DECISION, values)

    def decisions(self, wanted: DecisionFilter) -> Sequence[Decision]:
        """See `Store.decisions`."""
        values: Mapping[str, Value] = {
            "namespace": wanted.namespace or "",
            "since": wanted.since,
            "action": wanted.action.label if wanted.action is not None else "",
            "limit": max(1, wanted.limit),
        }
        with self._db.reading() as session:
            return [_decision(row) for row in session.rows(sql.DECISIONS, values)]

    def label_decision(self, decision_id: str, label: Label, namespace: str | None = None) -> None:
        """See `Store.label_decision`."""
        values = {"id": decision_id, "label": label.value, "namespace": namespace or ""}
        with self._db.writing() as session:
            if not session.run(sql.LABEL_DECISION, values):
                raise DecisionUnknown(decision_id)

    def forget_decisions(self, before: float) -> int:
        """See `Store.forget_decisions`."""
        with self._db.writing() as session:
            return session.run(sql.FORGET_DECISIONS, {"before": before})

    # -- jobs -------------------------------------------------------------------------------------------------------

    def put_job(self, job: Job) -> None:
        """See `Store.put_job`."""
        errors = json.dumps([[error.line, error.reason] for error in job.errors[:MOST_ERRORS]])
        with self._db.writing() as session:
            session.run(sql.PUT_JOB, {**asdict(job), "state": job.state.value, "errors": errors})

    def job(self, job_id: str) -> Job:
        """See `Store.job`."""
        with self._db.reading() as session:
            rows = session.rows(sql.JOB, {"id": job_id})
        if not rows:
            raise JobUnknown(job_id)
        return _job(rows[0])

    def interrupt_jobs(self, replica: str) -> int:
        """See `Store.interrupt_jobs`."""
        states = {state.value: state.value for state in (JobState.INTERRUPTED, JobState.QUEUED, JobState.RUNNING)}
        with self._db.writing() as session:
            return session.run(sql.INTERRUPT_JOBS, {**states, "replica": replica, "now": self._clock()})

    # -- replicas ---------------------------------------------------------------------------------------------------

    def seen(self, name: str, revision: int) -> None:
        """See `Store.seen`."""
        with self._db.writing() as session:
            session.run(sql.SEEN, {"name": name, "revision": revision, "now": self._clock()})

    def replicas(self) -> Sequence[Replica]:
        """See `Store.replicas`."""
        with self._db.reading() as session:
            rows = session.rows(sql.REPLICAS)
        return [Replica(text(row, "name"), whole(row, "revision"), real(row, "seen_at")) for row in rows]

    def gone(self, name: str) -> None:
        """See `Store.gone`."""
        with self._db.writing() as session:
            session.run(sql.GONE, {"name": name})

    # -- calibrations -----------------------------------------------------------------------------------------------

    def put_calibration(self, embedder_hash: str, backend: str, rule: str, body: str) -> None:
        """See `Store.put_calibration`."""
        values: Mapping[str, Value] = {"embedder_hash": embedder_hash, "backend": backend, "rule": rule, "body": body}
        with self._db.writing() as session:
            session.run(sql.PUT_CALIBRATION, {**values, "now": self._clock()})

    def calibration(self, embedder_hash: str, backend: str, rule: str) -> str | None:
        """See `Store.calibration`."""
        values: Mapping[str, Value] = {"embedder_hash": embedder_hash, "backend": backend, "rule": rule}
        with self._db.reading() as session:
            rows = session.rows(sql.CALIBRATION, values)
        return text(rows[0], "body") if rows else None

    def calibrations(self) -> Sequence[str]:
        """See `Store.calibrations`."""
        with self._db.reading() as session:
            return [text(row, "body") for row in session.rows(sql.CALIBRATIONS)]

    # -- upkeep -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """See `Store.close`."""
        self._db.close()


def _key(row: Row) -> KeyRecord:
    key = ApiKey(
        text(row, "id"),
        Role(text(row, "role")),
        text(row, "namespace"),
        real(row, "created_at"),
        real_or_none(row, "revoked_at"),
    )
    return KeyRecord(key, data(row, "secret_hash"))


def _decision(row: Row) -> Decision:
    kind, label = text_or_none(row, "kind"), text_or_none(row, "label")
    return Decision(
        id=text(row, "id"),
        at=real(row, "at"),
        namespace=text(row, "namespace"),
        dialect=text(row, "dialect"),
        side=Side(text(row, "side")),
        action=Action.from_label(text(row, "action")),
        revision=whole(row, "revision"),
        request_id=text(row, "request_id"),
        kind=Kind(kind) if kind else None,
        stage=text_or_none(row, "stage"),
        entry_id=text_or_none(row, "entry_id"),
        score=real_or_none(row, "score"),
        threshold=real_or_none(row, "threshold"),
        shadow=bool(whole(row, "shadow")),
        label=Label(label) if label else None,
    )


def _job(row: Row) -> Job:
    return Job(
        id=text(row, "id"),
        namespace=text(row, "namespace"),
        replica=text(row, "replica"),
        state=JobState(text(row, "state")),
        created_at=real(row, "created_at"),
        done=whole(row, "done"),
        failed=whole(row, "failed"),
        total=whole_or_none(row, "total"),
        errors=tuple(JobError(line, reason) for line, reason in json.loads(text(row, "errors"))),
        started_at=real_or_none(row, "started_at"),
        ended_at=real_or_none(row, "ended_at"),
    )
