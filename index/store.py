"""The store: the record of what must be forgotten. Synchronous and thread-safe, on any database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from guard.ledger import Row
from index.decisions import Decision, DecisionFilter, Label
from index.entry import Page
from index.jobs import Job
from index.keys import KeyRecord
from index.ledger_rows import Post
from index.records import Changes, EntryFilter, EntryRecord, Once, PolicyRecord, Replica, Written
from index.score_histogram import ScoreCount, ScoreFilter, ScoreSample


class Store(Protocol):
    """Every write of entries or policies is one transaction and takes the next revision.

    With a `Once`, a write that was made before is answered and not repeated (`Written.replayed`); the same key with
    another body raises `IdempotencyMismatch`. Everything raises `StoreUnavailable` when the database is down.
    """

    # -- entries and policies

    def add(self, records: Sequence[EntryRecord], once: Once | None = None) -> Written:
        """All of them or none."""

    def replace(self, record: EntryRecord, expected: int, once: Once | None = None) -> Written:
        """Puts `record` in the place of what had revision `expected`. Raises `EntryUnknown`, `Conflict`."""

    def remove(self, namespace: str, entry_id: str, once: Once | None = None) -> Written:
        """Destroys the entry with its data key. Raises `EntryUnknown`."""

    def entry(self, namespace: str, entry_id: str) -> EntryRecord:
        """Raises `EntryUnknown`."""

    def entries(self, wanted: EntryFilter) -> Page:
        """Newest first. Raises `ValueError` for a cursor that no page gave."""

    def put_policy(self, record: PolicyRecord, once: Once | None = None) -> Written: ...

    def policy(self, namespace: str, name: str) -> PolicyRecord | None: ...

    def policies(self, namespace: str) -> Sequence[PolicyRecord]: ...

    def revision(self) -> int: ...

    def changes_since(self, revision: int) -> Changes:
        """What became different after that revision, as one state of the database."""

    def made_otherwise(self, basis: str, limit: int) -> Sequence[EntryRecord]:
        """Entries whose vectors were made by another embedder or window rule, oldest first."""

    def sealed_otherwise(self, basis: str) -> int:
        """How many of those keep no text to make them again from."""

    # -- repeating a request

    def replay(self, once: Once) -> Written | None:
        """What was answered to this key before, if anything. Raises `IdempotencyMismatch`."""

    def remember(self, once: Once, answer: str) -> None:
        """Keeps an answer that belongs to no write of entries or policies. Raises `Conflict` when there is one."""

    # -- secrets of the whole store

    def meta(self, name: str) -> bytes | None: ...

    def put_meta(self, name: str, value: bytes) -> bytes:
        """Keeps the value unless one was kept before; answers the one that is kept."""

    # -- the stored snapshot

    @property
    def snapshot_path(self) -> Path | None:
        """Where files of stored snapshots may lie: their names begin with this one. None when nothing is on a disk."""

    def snapshot_key(self) -> bytes | None:
        """The key of the stored snapshot, wrapped. Whatever destroys content destroys this key with it."""

    def keep_snapshot_key(self, key: bytes, revision: int) -> bool:
        """Keeps the key of a snapshot of that revision in the place of the one before. False, and nothing is kept, when
        content was destroyed since."""

    # -- access keys

    def add_key(self, record: KeyRecord) -> None: ...

    def access_keys(self) -> Sequence[KeyRecord]: ...

    def revoke_key(self, key_id: str, at: float) -> None:
        """Raises `KeyUnknown`."""

    # -- decisions

    def add_decisions(self, batch: Sequence[Decision]) -> None: ...

    def decisions(self, wanted: DecisionFilter) -> Sequence[Decision]: ...

    def label_decision(self, decision_id: str, label: Label, namespace: str | None = None) -> None:
        """Raises `DecisionUnknown`."""

    def forget_decisions(self, before: float) -> int:
        """Deletes older decisions; answers how many."""

    # -- jobs

    def put_job(self, job: Job) -> None: ...

    def job(self, job_id: str) -> Job:
        """Raises `JobUnknown`."""

    def interrupt_jobs(self, replica: str) -> int:
        """At the start of a replica: what it was still doing when it ended will not be finished."""

    # -- replicas

    def seen(self, name: str, revision: int) -> None: ...

    def replicas(self) -> Sequence[Replica]: ...

    def gone(self, name: str) -> None: ...

    # -- calibrations

    def put_calibration(self, embedder_hash: str, backend: str, rule: str, body: str) -> None: ...

    def calibration(self, embedder_hash: str, backend: str, rule: str) -> str | None: ...

    def calibrations(self) -> Sequence[str]:
        """All of them, newest first."""

    # -- scores of passing traffic

    def add_scores(self, counts: Sequence[ScoreCount]) -> None:
        """Adds to what was counted before."""

    def score_sample(self, wanted: ScoreFilter) -> ScoreSample:
        """How high passing texts scored, corrected by the operators' labels."""

    def forget_scores(self, before: float) -> int:
        """Deletes the counts of hours that ended before that time, in epoch seconds; answers how many."""

    # -- ledger

    def add_ledger(self, posts: Sequence[Post]) -> None:
        """Joins these rows with what is kept, by `or`. Rows of entries that are gone are left out."""

    def ledger_of(self, account: str, now: float) -> Sequence[Row]:
        """What has left to one account and has not lapsed by `now` (epoch seconds)."""

    def ledger_since(self, written: int) -> tuple[int, Sequence[Post]]:
        """Rows that were written after that number, and the number of now. -1 asks for the number only."""

    def forget_ledger(self, now: float) -> int:
        """Deletes rows that have lapsed; answers how many."""

    # -- upkeep

    def scrub(self) -> bool:
        """Overwrites what removed rows have left behind, where a removal could not. False: try again later."""

    def close(self) -> None: ...
