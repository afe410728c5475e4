"""The shape of the database, as numbered steps. A step that has shipped never changes.

`{blob}`, `{real}` and `{serial}` are a database's own names for bytes, for a float of eight bytes, and for an integer
key that only grows.
"""

from __future__ import annotations

from typing import Final

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value {blob} NOT NULL)",
        """CREATE TABLE clock (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            revision BIGINT NOT NULL,
            written_at {real} NOT NULL
        )""",
        "INSERT INTO clock (id, revision, written_at) VALUES (1, 0, 0)",
        """CREATE TABLE entries (
            seq {serial},
            id TEXT NOT NULL UNIQUE,
            namespace TEXT NOT NULL,
            kind TEXT NOT NULL,
            label TEXT NOT NULL,
            policy TEXT NOT NULL,
            retention TEXT NOT NULL,
            reference TEXT NOT NULL,
            created_at {real} NOT NULL,
            expires_at {real},
            windows INTEGER NOT NULL,
            basis TEXT NOT NULL,
            revision BIGINT NOT NULL,
            content {blob},
            vectors {blob} NOT NULL,
            fingerprints {blob} NOT NULL,
            wrapped_key {blob} NOT NULL
        )""",
        "CREATE INDEX entries_namespace ON entries (namespace, seq)",
        "CREATE INDEX entries_revision ON entries (revision)",
        "CREATE TABLE removals (id TEXT PRIMARY KEY, namespace TEXT NOT NULL, revision BIGINT NOT NULL)",
        "CREATE INDEX removals_revision ON removals (revision)",
        """CREATE TABLE policies (
            namespace TEXT NOT NULL,
            name TEXT NOT NULL,
            body TEXT NOT NULL,
            revision BIGINT NOT NULL,
            PRIMARY KEY (namespace, name)
        )""",
        "CREATE INDEX policies_revision ON policies (revision)",
        """CREATE TABLE idempotency (
            principal TEXT NOT NULL,
            key TEXT NOT NULL,
            route TEXT NOT NULL,
            body_hash TEXT NOT NULL,
            revision BIGINT NOT NULL,
            ids TEXT NOT NULL,
            answer TEXT NOT NULL,
            created_at {real} NOT NULL,
            PRIMARY KEY (principal, key, route)
        )""",
        "CREATE INDEX idempotency_created ON idempotency (created_at)",
        """CREATE TABLE access_keys (
            id TEXT PRIMARY KEY,
            role TEXT NOT NULL,
            namespace TEXT NOT NULL,
            secret_hash {blob} NOT NULL,
            created_at {real} NOT NULL,
            revoked_at {real}
        )""",
        """CREATE TABLE decisions (
            seq {serial},
            id TEXT NOT NULL UNIQUE,
            at {real} NOT NULL,
            namespace TEXT NOT NULL,
            dialect TEXT NOT NULL,
            side TEXT NOT NULL,
            action TEXT NOT NULL,
            revision BIGINT NOT NULL,
            request_id TEXT NOT NULL,
            kind TEXT,
            stage TEXT,
            entry_id TEXT,
            score {real},
            threshold {real},
            shadow INTEGER NOT NULL,
            label TEXT
        )""",
        "CREATE INDEX decisions_at ON decisions (at)",
        """CREATE TABLE jobs (
            id TEXT PRIMARY KEY,
            namespace TEXT NOT NULL,
            replica TEXT NOT NULL,
            state TEXT NOT NULL,
            created_at {real} NOT NULL,
            done BIGINT NOT NULL,
            failed BIGINT NOT NULL,
            total BIGINT,
            errors TEXT NOT NULL,
            started_at {real},
            ended_at {real}
        )""",
        "CREATE TABLE replicas (name TEXT PRIMARY KEY, revision BIGINT NOT NULL, seen_at {real} NOT NULL)",
        """CREATE TABLE calibrations (
            embedder_hash TEXT NOT NULL,
            rule TEXT NOT NULL,
            body TEXT NOT NULL,
            created_at {real} NOT NULL,
            PRIMARY KEY (embedder_hash, rule)
        )""",
    ),
    (
        # A calibration also belongs to a backend; those that are kept were computed by the only one there was.
        """CREATE TABLE new_calibrations (
            embedder_hash TEXT NOT NULL,
            backend TEXT NOT NULL,
            rule TEXT NOT NULL,
            body TEXT NOT NULL,
            created_at {real} NOT NULL,
            PRIMARY KEY (embedder_hash, backend, rule)
        )""",
        """INSERT INTO new_calibrations (embedder_hash, backend, rule, body, created_at)
            SELECT embedder_hash, 'torch-float32', rule, body, created_at FROM calibrations""",
        "DROP TABLE calibrations",
        "ALTER TABLE new_calibrations RENAME TO calibrations",
        # How many texts scored how high, per hour and bin of scores: nothing else is kept of them.
        """CREATE TABLE scores (
            basis TEXT NOT NULL,
            namespace TEXT NOT NULL,
            kind TEXT NOT NULL,
            side TEXT NOT NULL,
            hour BIGINT NOT NULL,
            bin INTEGER NOT NULL,
            texts BIGINT NOT NULL,
            PRIMARY KEY (basis, namespace, kind, side, hour, bin)
        )""",
        "CREATE INDEX scores_hour ON scores (hour)",
    ),
    (
        # What was made by another embedder is looked for at every start, whatever there is.
        "CREATE INDEX entries_basis ON entries (basis, retention)",
    ),
    (
        # What of each entry has left to whom, as bits (see `guard.ledger`). It is gone with its entry.
        """CREATE TABLE ledger (
            account TEXT NOT NULL,
            entry_id TEXT NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
            until {real} NOT NULL,
            bits0 BIGINT NOT NULL,
            bits1 BIGINT NOT NULL,
            bits2 BIGINT NOT NULL,
            bits3 BIGINT NOT NULL,
            bits4 BIGINT NOT NULL,
            bits5 BIGINT NOT NULL,
            bits6 BIGINT NOT NULL,
            bits7 BIGINT NOT NULL,
            written BIGINT NOT NULL,
            PRIMARY KEY (account, entry_id, until)
        )""",
        "CREATE INDEX ledger_written ON ledger (written)",
        "CREATE INDEX ledger_until ON ledger (until)",
        "CREATE INDEX ledger_entry ON ledger (entry_id)",
        "CREATE TABLE ledger_clock (id INTEGER PRIMARY KEY CHECK (id = 1), written BIGINT NOT NULL)",
        "INSERT INTO ledger_clock (id, written) VALUES (1, 0)",
    ),
)

VERSION_TABLE: Final = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"
READ_VERSION: Final = "SELECT MAX(version) AS version FROM schema_version"
WRITE_VERSION: Final = "INSERT INTO schema_version (version) VALUES (:version)"
