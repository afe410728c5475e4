"""The store in one SQLite file: durable on commit, and thorough when it deletes.

```
    writer   one connection under a lock, BEGIN IMMEDIATE ... COMMIT (WAL, synchronous FULL: on disk when it returns)
    readers  a pool; each reads one state of the file while writes go on
    delete   secure_delete overwrites the row, a truncating checkpoint empties the WAL that still held it
```
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from index.database import Row, Session, Value
from index.entry_rows import EntryRows
from index.errors import StoreUnavailable
from index.journal_rows import JournalRows
from index.ledger_rows import LedgerRows
from index.migrations import MIGRATIONS, READ_VERSION, VERSION_TABLE, WRITE_VERSION
from index.score_rows import ScoreRows

MEMORY: Final = ":memory:"
BUSY_S: Final = 5.0
_SCRUB_MS: Final = 200
_TYPES: Final = {"blob": "BLOB", "real": "REAL", "serial": "INTEGER PRIMARY KEY AUTOINCREMENT"}
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",  # what is sorted or set aside must not reach a temporary file
)


class _Transaction:
    """Implements `Session` on one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Mapping[str, Value] | None = None) -> Sequence[Row]:
        return self._connection.execute(sql, values or {}).fetchall()

    def run(self, sql: str, values: Mapping[str, Value] | None = None) -> int:
        return self._connection.execute(sql, values or {}).rowcount


class SQLiteDatabase:
    """Implements `Database`. `path` may be `:memory:`: then readers and the writer take turns."""

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        self._lock = threading.RLock()
        self._pool_lock = threading.Lock()
        self._pool: list[sqlite3.Connection] = []
        self._closed = False
        with _advised(self._path):
            if self._path != MEMORY:
                Path(self._path).parent.mkdir(parents=True, exist_ok=True)
                Path(self._path).touch(mode=0o600)
            self._writer = self._connect()
        self._migrate()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        for pragma in _PRAGMAS:
            connection.execute(pragma).fetchall()
        return connection

    def _migrate(self) -> None:
        with self.writing() as session:
            session.run(VERSION_TABLE)
            version = session.rows(READ_VERSION)[0]["version"] or 0
            assert isinstance(version, int)
            if version > len(MIGRATIONS):
                raise StoreUnavailable(f"the database {self._path} was written by a newer Lethe: use that one or newer")
            for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
                for statement in statements:
                    session.run(statement.format_map(_TYPES))
                session.run(WRITE_VERSION, {"version": number})

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """See `Database.writing`."""
        with self._lock, _advised(self._path):
            self._check_open()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield _Transaction(self._writer)
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """See `Database.reading`."""
        if self._path == MEMORY:
            with self._lock, _advised(self._path):
                self._check_open()
                yield _Transaction(self._writer)
            return
        with _advised(self._path):
            connection = self._borrow()
            try:
                connection.execute("BEGIN")
                yield _Transaction(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._give_back(connection)

    def _borrow(self) -> sqlite3.Connection:
        with self._pool_lock:
            self._check_open()
            if self._pool:
                return self._pool.pop()
        return self._connect()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._pool_lock:
            if not self._closed:
                self._pool.append(connection)
                return
        connection.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")

    def scrub(self) -> bool:
        """See `Database.scrub`. A reader in the middle of a transaction keeps old pages in the WAL."""
        if self._path == MEMORY:
            return True
        with self._lock, _advised(self._path):
            self._check_open()
            self._writer.execute(f"PRAGMA busy_timeout = {_SCRUB_MS}")  # other writers wait meanwhile
            try:
                busy, _, _ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self._writer.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}")
        return not busy

    def close(self) -> None:
        """Close all connections; a reader that is still at work closes its own."""
        with self._lock, self._pool_lock:
            if self._closed:
                return
            self._closed = True
            for connection in self._pool:
                connection.close()
            self._pool.clear()
            self._writer.close()


@contextmanager
def _advised(path: str) -> Iterator[None]:
    """Say what an operator can do. SQLite's messages name tables and files, never values."""
    try:
        yield
    except sqlite3.OperationalError as cause:
        reason = str(cause)
        if "locked" in reason or "busy" in reason:
            advice = "another process holds it: stop that one, or give each server its own store"
        elif "full" in reason:
            advice = "make room on its disk"
        elif "readonly" in reason or "unable to open" in reason:
            advice = "check that the file and its folder exist and may be written"
        else:
            advice = "check the file and its disk"
        raise StoreUnavailable(f"the database {path} cannot be used ({reason}): {advice}") from cause
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as cause:
        raise StoreUnavailable(f"the database {path} is damaged or no database ({cause}): restore a backup") from cause
    except OSError as cause:
        reason = type(cause).__name__
        raise StoreUnavailable(
            f"the database {path} cannot be opened ({reason}): check the folder and its rights"
        ) from None


class SQLiteStore(EntryRows, JournalRows, ScoreRows, LedgerRows):
    """Implements `Store` in the file `path`. `clock` gives epoch seconds."""

    def __init__(self, path: str | Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__(SQLiteDatabase(path), clock)
        self.snapshot_path = None if str(path) == MEMORY else Path(f"{path}.snapshot")
        self.scrub()  # a process that was killed may have left it undone
