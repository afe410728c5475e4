"""What is special about the SQLite store: what stays in its files, and what it says when it cannot be used."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from index.errors import StoreUnavailable
from index.migrations import MIGRATIONS, VERSION_TABLE, WRITE_VERSION
from index.sqlite import SQLiteStore
from tests.index.test_store import record


def files(path: Path) -> bytes:
    """All bytes of the database, its log and its shared memory."""
    return b"".join(part.read_bytes() for part in sorted(path.parent.glob(path.name + "*")))


@pytest.mark.parametrize("removals", [0.3, 0.6])
def test_what_was_removed_or_replaced_is_in_no_file(path: Path, removals: float) -> None:
    """Pages are split, merged and reused many times over: no copy of an old row may stay behind in any of them."""
    rng = random.Random(7)
    store = SQLiteStore(path)
    live: dict[str, int] = {}
    gone: list[bytes] = []
    blobs: dict[str, list[bytes]] = {}

    def fresh(entry_id: str):
        parts = [rng.randbytes(n) for n in (rng.choice([30, 300, 900]), rng.choice([60, 1600, 9000]), 60)]
        blobs[entry_id] = parts
        return record(entry_id, content=parts[0], vectors=parts[1], wrapped_key=parts[2])

    for step in range(250):
        if rng.random() > removals or not live:
            batch = [fresh(f"{rng.getrandbits(64):x}") for _ in range(rng.choice([1, 1, 6, 25]))]
            revision = store.add(batch).revision
            live |= {r.id: revision for r in batch}
            continue
        entry_id = rng.choice(sorted(live))
        gone += blobs[entry_id]
        if step % 3:
            store.remove("ns", entry_id)
            del live[entry_id]
        else:
            live[entry_id] = store.replace(fresh(entry_id), live[entry_id]).revision
    kept = files(path)
    assert len(gone) > 100
    assert not [blob for blob in gone if blob[:24] in kept or blob[-24:] in kept]
    assert all(parts[2] in kept for entry_id, parts in blobs.items() if entry_id in live)
    store.close()


def test_a_scrub_that_a_reader_prevents_is_told_and_works_later(path: Path) -> None:
    store = SQLiteStore(path)
    store.add([record("a", wrapped_key=b"the wrapped key of a")])
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM entries").fetchall()
    store.remove("ns", "a")
    assert not store.scrub()
    reader.close()
    assert store.scrub()
    assert b"the wrapped key of a" not in files(path)
    store.close()


def test_only_the_owner_may_read_the_file(path: Path) -> None:
    store = SQLiteStore(path)
    store.add([record("a")])
    for part in path.parent.glob(path.name + "*"):
        assert stat.S_IMODE(part.stat().st_mode) & 0o077 == 0, part.name
    store.close()


def test_a_commit_is_on_disk_when_it_returns(path: Path) -> None:
    store = SQLiteStore(path)
    with store._db.writing() as session:
        pragmas = {name: session.rows(f"PRAGMA {name}")[0][name] for name in ("journal_mode", "synchronous")}
        pragmas["secure_delete"] = session.rows("PRAGMA secure_delete")[0]["secure_delete"]
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}
    store.close()


def test_two_stores_on_one_file_see_each_other(path: Path) -> None:
    one, two = SQLiteStore(path), SQLiteStore(path)
    one.add([record("a")])
    two.add([record("b")])
    assert one.revision() == two.revision() == 2
    assert [e.id for e in one.changes_since(1).entries] == ["b"]
    one.close()
    two.close()


def test_many_readers_do_not_wait_for_a_writer(path: Path) -> None:
    store = SQLiteStore(path)
    store.add([record("a")])
    with store._db.writing() as session:
        session.run("UPDATE entries SET label = 'unseen'")
        seen = []
        threads = [threading.Thread(target=lambda: seen.append(store.entry("ns", "a").label)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=3)
        assert seen == [""] * 8
    store.close()


def test_another_writer_that_holds_on_makes_the_store_unavailable(path: Path, monkeypatch) -> None:
    store = SQLiteStore(path)
    store._db._writer.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="another process holds it"):
        store.add([record("a")])
    other.execute("ROLLBACK")
    other.close()
    assert store.add([record("a")]).revision == 1
    store.close()


def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        SQLiteStore(blocked / "lethe.db")
    with pytest.raises(StoreUnavailable, match="unable to open"):
        (tmp_path / "lethe.db").mkdir()
        SQLiteStore(tmp_path / "lethe.db")


def test_a_file_that_is_no_database_is_explained(path: Path) -> None:
    path.write_bytes(os.urandom(8192))
    with pytest.raises(StoreUnavailable, match="no database"):
        SQLiteStore(path)


def test_a_database_of_a_newer_version_is_refused(path: Path) -> None:
    SQLiteStore(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("INSERT INTO schema_version (version) VALUES (?)", (len(MIGRATIONS) + 1,))
    raw.close()
    with pytest.raises(StoreUnavailable, match="newer"):
        SQLiteStore(path)


def test_calibrations_of_an_older_version_are_kept(path: Path) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute(VERSION_TABLE)
        for statement in MIGRATIONS[0]:
            raw.execute(statement.format(blob="BLOB", real="REAL", serial="INTEGER PRIMARY KEY AUTOINCREMENT"))
        raw.execute(WRITE_VERSION, {"version": 1})
        raw.execute("INSERT INTO calibrations VALUES ('hash', 'rule', 'body', 1.0)")
    raw.close()
    store = SQLiteStore(path)
    assert store.calibration("hash", "torch-float32", "rule") == "body"
    assert store.calibrations() == ["body"]


def test_a_closed_store_is_unavailable(path: Path) -> None:
    store = SQLiteStore(path)
    store.close()
    store.close()
    for act in (store.revision, lambda: store.add([record("a")])):
        with pytest.raises(StoreUnavailable, match="closed"):
            act()


def test_a_failed_write_leaves_nothing_behind(path: Path) -> None:
    store = SQLiteStore(path)
    store.add([record("a")])

    def broken(written):
        raise RuntimeError("no answer")

    from tests.index.test_store import once

    with pytest.raises(RuntimeError):
        store.add([record("b")], replace(once(), answer=broken))
    assert store.revision() == 1 and len(store.changes_since(0).entries) == 1
    assert store.replay(once()) is None
    store.close()
