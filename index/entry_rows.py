"""Entries, policies and repeated requests, in SQL."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from guard.verdict import Kind
from index import sql
from index.database import (
    Database,
    Row,
    Session,
    Value,
    data,
    data_or_none,
    real,
    real_or_none,
    text,
    whole,
)
from index.entry import Entry, Page, Retention
from index.errors import Conflict, EntryUnknown, IdempotencyMismatch
from index.records import Changes, EntryFilter, EntryRecord, Once, PolicyRecord, Written

ONCE_KEPT_S: Final = 24 * 3600.0
"""How long a repeated request is recognised."""

LONGEST_PAGE: Final = 1000

_SNAPSHOT_KEY: Final = "snapshot key"
_DESTROYED: Final = "content destroyed"


class EntryRows:
    """The part of the store that has revisions."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._db, self._clock = database, clock
        self._scrub_due = True

    # -- writes -----------------------------------------------------------------------------------------------------

    def add(self, records: Sequence[EntryRecord], once: Once | None = None) -> Written:
        """See `Store.add`."""

        def write(session: Session, revision: int) -> tuple[str, ...]:
            for record in records:
                session.run(sql.ADD_ENTRY, {**_values(record), "revision": revision})
            return tuple(record.id for record in records)

        return self._write(write, once)

    def replace(self, record: EntryRecord, expected: int, once: Once | None = None) -> Written:
        """See `Store.replace`."""

        def write(session: Session, revision: int) -> tuple[str, ...]:
            values = {**_values(record), "revision": revision, "expected": expected}
            before = session.rows(sql.ENTRY_KEY, {"id": record.id, "namespace": record.namespace})
            if before and data(before[0], "wrapped_key") != record.wrapped_key:
                _destroy_snapshot(session, revision)
            if not session.run(sql.REPLACE_ENTRY, values):
                if session.rows(sql.ENTRY_REVISION, {"id": record.id, "namespace": record.namespace}):
                    raise Conflict(f"entry {record.id} was changed by another request: read it again")
                raise EntryUnknown(record.id)
            return (record.id,)

        return self._write(write, once, scrub=True)

    def remove(self, namespace: str, entry_id: str, once: Once | None = None) -> Written:
        """See `Store.remove`."""

        def write(session: Session, revision: int) -> tuple[str, ...]:
            if not session.run(sql.REMOVE_ENTRY, {"id": entry_id, "namespace": namespace}):
                raise EntryUnknown(entry_id)
            session.run(sql.NOTE_REMOVAL, {"id": entry_id, "namespace": namespace, "revision": revision})
            _destroy_snapshot(session, revision)
            return (entry_id,)

        return self._write(write, once, scrub=True)

    def put_policy(self, record: PolicyRecord, once: Once | None = None) -> Written:
        """See `Store.put_policy`."""

        def write(session: Session, revision: int) -> tuple[str, ...]:
            values: Mapping[str, Value] = {
                "namespace": record.namespace,
                "name": record.name,
                "body": record.body,
                "revision": revision,
            }
            session.run(sql.PUT_POLICY, values)
            return (record.name,)

        return self._write(write, once)

    def _write(
        self, write: Callable[[Session, int], tuple[str, ...]], once: Once | None, scrub: bool = False
    ) -> Written:
        with self._db.writing() as session:
            if once is not None and (before := _replayed(session, once)):
                return before
            now = self._clock()
            revision = whole(session.rows(sql.TICK, {"now": now})[0], "revision")
            written = Written(revision, write(session, revision))
            if once is not None:
                written = Written(revision, written.ids, once.answer(written))
                self._remember(session, once, written, now)
        if scrub:
            self._scrub_due = True
            self.scrub()
        return written

    def scrub(self) -> bool:
        """See `Store.scrub`."""
        if self._scrub_due:
            self._scrub_due = not self._db.scrub()
        return not self._scrub_due

    # -- the stored snapshot ----------------------------------------------------------------------------------------

    def snapshot_key(self) -> bytes | None:
        """See `Store.snapshot_key`."""
        with self._db.reading() as session:
            rows = session.rows(sql.META, {"name": _SNAPSHOT_KEY})
        return data(rows[0], "value") if rows else None

    def keep_snapshot_key(self, key: bytes, revision: int) -> bool:
        """See `Store.keep_snapshot_key`."""
        with self._db.writing() as session:
            rows = session.rows(sql.META, {"name": _DESTROYED})
            if rows and int(data(rows[0], "value")) > revision:
                return False
            session.run(sql.SET_META, {"name": _SNAPSHOT_KEY, "value": key})
        self._scrub_due = True  # the key before must not stay in the journal either
        return True

    # -- reads ------------------------------------------------------------------------------------------------------

    def entry(self, namespace: str, entry_id: str) -> EntryRecord:
        """See `Store.entry`."""
        with self._db.reading() as session:
            found = session.rows(sql.ENTRY, {"id": entry_id, "namespace": namespace})
        if not found:
            raise EntryUnknown(entry_id)
        return _record(found[0])

    def entries(self, wanted: EntryFilter) -> Page:
        """See `Store.entries`."""
        limit = max(1, min(wanted.limit, LONGEST_PAGE))
        if wanted.cursor is not None and not (wanted.cursor.isascii() and wanted.cursor.isdigit()):
            raise ValueError("this cursor belongs to no page")
        values: Mapping[str, Value] = {
            "namespace": wanted.namespace,
            "kind": wanted.kind.value if wanted.kind else "",
            "label": wanted.label,
            "before": min(int(wanted.cursor), sys.maxsize) if wanted.cursor else sys.maxsize,
            "limit": limit + 1,
        }
        with self._db.reading() as session:
            rows = session.rows(sql.LIST_ENTRIES, values)
        more = len(rows) > limit
        shown = rows[:limit]
        return Page(tuple(_entry(row) for row in shown), str(whole(shown[-1], "seq")) if more else None)

    def policy(self, namespace: str, name: str) -> PolicyRecord | None:
        """See `Store.policy`."""
        with self._db.reading() as session:
            rows = session.rows(sql.POLICY, {"namespace": namespace, "name": name})
        return _policy(rows[0]) if rows else None

    def policies(self, namespace: str) -> Sequence[PolicyRecord]:
        """See `Store.policies`."""
        with self._db.reading() as session:
            return [_policy(row) for row in session.rows(sql.POLICIES, {"namespace": namespace})]

    def revision(self) -> int:
        """See `Store.revision`."""
        with self._db.reading() as session:
            return whole(session.rows(sql.REVISION)[0], "revision")

    def changes_since(self, revision: int) -> Changes:
        """See `Store.changes_since`."""
        after = {"revision": revision}
        with self._db.reading() as session:
            head = session.rows(sql.REVISION)[0]
            if whole(head, "revision") == revision:
                return Changes(revision, real(head, "written_at"))
            return Changes(
                whole(head, "revision"),
                real(head, "written_at"),
                tuple(_record(row) for row in session.rows(sql.CHANGED_ENTRIES, after)),
                tuple((text(row, "namespace"), text(row, "id")) for row in session.rows(sql.REMOVED_ENTRIES, after)),
                tuple(_policy(row) for row in session.rows(sql.CHANGED_POLICIES, after)),
            )

    def made_otherwise(self, basis: str, limit: int) -> Sequence[EntryRecord]:
        """See `Store.made_otherwise`."""
        values: Mapping[str, Value] = {"basis": basis, "limit": limit}
        with self._db.reading() as session:
            return [_record(row) for row in session.rows(sql.OTHER_BASIS, values)]

    def sealed_otherwise(self, basis: str) -> int:
        """See `Store.sealed_otherwise`."""
        values = {"basis": basis, "retention": Retention.SEALED.value}
        with self._db.reading() as session:
            return whole(session.rows(sql.COUNT_OTHER_BASIS, values)[0], "n")

    # -- repeating a request ----------------------------------------------------------------------------------------

    def replay(self, once: Once) -> Written | None:
        """See `Store.replay`."""
        with self._db.reading() as session:
            return _replayed(session, once)

    def remember(self, once: Once, answer: str) -> None:
        """See `Store.remember`."""
        with self._db.writing() as session:
            if _replayed(session, once):
                raise Conflict("another request with this idempotency key was answered first: repeat the request")
            self._remember(session, once, Written(0, (), answer), self._clock())

    @staticmethod
    def _remember(session: Session, once: Once, written: Written, now: float) -> None:
        session.run(sql.FORGET_ONCE, {"before": now - ONCE_KEPT_S})
        values: Mapping[str, Value] = {
            "principal": once.principal,
            "key": once.key,
            "route": once.route,
            "body_hash": once.body_hash,
            "revision": written.revision,
            "ids": json.dumps(written.ids),
            "answer": written.answer,
            "now": now,
        }
        session.run(sql.PUT_ONCE, values)


def _replayed(session: Session, once: Once) -> Written | None:
    rows = session.rows(sql.ONCE, {"principal": once.principal, "key": once.key, "route": once.route})
    if not rows:
        return None
    row = rows[0]
    if text(row, "body_hash") != once.body_hash:
        raise IdempotencyMismatch
    return Written(whole(row, "revision"), tuple(json.loads(text(row, "ids"))), text(row, "answer"), replayed=True)


def _destroy_snapshot(session: Session, revision: int) -> None:
    """What destroys content makes the stored snapshot, which holds it too, unreadable in the same transaction."""
    session.run(sql.FORGET_META, {"name": _SNAPSHOT_KEY})
    session.run(sql.SET_META, {"name": _DESTROYED, "value": str(revision).encode()})


def _values(record: EntryRecord) -> dict[str, Value]:
    return asdict(record)


def _record(row: Row) -> EntryRecord:
    return EntryRecord(
        id=text(row, "id"),
        namespace=text(row, "namespace"),
        kind=Kind(text(row, "kind")),
        label=text(row, "label"),
        policy=text(row, "policy"),
        retention=Retention(text(row, "retention")),
        reference=text(row, "reference"),
        created_at=real(row, "created_at"),
        expires_at=real_or_none(row, "expires_at"),
        windows=whole(row, "windows"),
        basis=text(row, "basis"),
        content=data_or_none(row, "content"),
        vectors=data(row, "vectors"),
        fingerprints=data(row, "fingerprints"),
        wrapped_key=data(row, "wrapped_key"),
        revision=whole(row, "revision"),
    )


def _entry(row: Row) -> Entry:
    return Entry(
        id=text(row, "id"),
        namespace=text(row, "namespace"),
        kind=Kind(text(row, "kind")),
        label=text(row, "label"),
        policy=text(row, "policy"),
        retention=Retention(text(row, "retention")),
        reference=text(row, "reference"),
        created_at=real(row, "created_at"),
        expires_at=real_or_none(row, "expires_at"),
        revision=whole(row, "revision"),
        windows=whole(row, "windows"),
    )


def _policy(row: Row) -> PolicyRecord:
    return PolicyRecord(text(row, "namespace"), text(row, "name"), text(row, "body"), whole(row, "revision"))
