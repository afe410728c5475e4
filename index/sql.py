"""All SQL of the store, named, once. Parameters are written `:name`; every statement runs on every database."""

# ruff: noqa: S608  # put together from the constants of this file alone

from __future__ import annotations

from typing import Final

# -- meta ---------------------------------------------------------------------------------------------------------

META: Final = "SELECT value FROM meta WHERE name = :name"
PUT_META: Final = "INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING"
SET_META: Final = """
    INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
FORGET_META: Final = "DELETE FROM meta WHERE name = :name"
REVISION: Final = "SELECT revision, written_at FROM clock WHERE id = 1"
TICK: Final = "UPDATE clock SET revision = revision + 1, written_at = :now WHERE id = 1 RETURNING revision"

# -- entries ------------------------------------------------------------------------------------------------------

_ENTRY: Final = (
    "id, namespace, kind, label, policy, retention, reference, created_at, expires_at, windows, basis, content, "
    "vectors, fingerprints, wrapped_key, revision"
)
ADD_ENTRY: Final = f"""
    INSERT INTO entries ({_ENTRY})
    VALUES (:id, :namespace, :kind, :label, :policy, :retention, :reference, :created_at, :expires_at, :windows, :basis,
            :content, :vectors, :fingerprints, :wrapped_key, :revision)
"""
REPLACE_ENTRY: Final = """
    UPDATE entries
    SET label = :label, policy = :policy, reference = :reference, expires_at = :expires_at, windows = :windows,
        basis = :basis, content = :content, vectors = :vectors, fingerprints = :fingerprints,
        wrapped_key = :wrapped_key, revision = :revision
    WHERE id = :id AND namespace = :namespace AND revision = :expected
"""
REMOVE_ENTRY: Final = "DELETE FROM entries WHERE id = :id AND namespace = :namespace"
NOTE_REMOVAL: Final = "INSERT INTO removals (id, namespace, revision) VALUES (:id, :namespace, :revision)"
ENTRY: Final = f"SELECT {_ENTRY} FROM entries WHERE id = :id AND namespace = :namespace"
ENTRY_KEY: Final = "SELECT wrapped_key FROM entries WHERE id = :id AND namespace = :namespace"
ENTRY_REVISION: Final = "SELECT revision FROM entries WHERE id = :id AND namespace = :namespace"
LIST_ENTRIES: Final = """
    SELECT seq, id, namespace, kind, label, policy, retention, reference, created_at, expires_at, revision, windows
    FROM entries
    WHERE namespace = :namespace AND seq < :before AND (:kind = '' OR kind = :kind) AND (:label = '' OR label = :label)
    ORDER BY seq DESC
    LIMIT :limit
"""
CHANGED_ENTRIES: Final = f"SELECT {_ENTRY} FROM entries WHERE revision > :revision ORDER BY seq"
REMOVED_ENTRIES: Final = "SELECT namespace, id FROM removals WHERE revision > :revision ORDER BY revision"
# Not `<>`: before and after are two ranges of an index, and both are empty at most starts.
OTHER_BASIS: Final = f"""
    SELECT {_ENTRY} FROM entries WHERE basis < :basis OR basis > :basis ORDER BY seq LIMIT :limit
"""
COUNT_OTHER_BASIS: Final = """
    SELECT COUNT(*) AS n FROM entries WHERE (basis < :basis OR basis > :basis) AND retention = :retention
"""

# -- policies -----------------------------------------------------------------------------------------------------

PUT_POLICY: Final = """
    INSERT INTO policies (namespace, name, body, revision) VALUES (:namespace, :name, :body, :revision)
    ON CONFLICT (namespace, name) DO UPDATE SET body = excluded.body, revision = excluded.revision
"""
POLICY: Final = "SELECT namespace, name, body, revision FROM policies WHERE namespace = :namespace AND name = :name"
POLICIES: Final = "SELECT namespace, name, body, revision FROM policies WHERE namespace = :namespace ORDER BY name"
CHANGED_POLICIES: Final = "SELECT namespace, name, body, revision FROM policies WHERE revision > :revision"

# -- idempotency --------------------------------------------------------------------------------------------------

ONCE: Final = """
    SELECT body_hash, revision, ids, answer FROM idempotency
    WHERE principal = :principal AND key = :key AND route = :route
"""
PUT_ONCE: Final = """
    INSERT INTO idempotency (principal, key, route, body_hash, revision, ids, answer, created_at)
    VALUES (:principal, :key, :route, :body_hash, :revision, :ids, :answer, :now)
"""
FORGET_ONCE: Final = "DELETE FROM idempotency WHERE created_at < :before"

# -- access keys --------------------------------------------------------------------------------------------------

ADD_KEY: Final = """
    INSERT INTO access_keys (id, role, namespace, secret_hash, created_at, revoked_at)
    VALUES (:id, :role, :namespace, :secret_hash, :created_at, :revoked_at)
"""
KEYS: Final = "SELECT id, role, namespace, secret_hash, created_at, revoked_at FROM access_keys"
REVOKE_KEY: Final = "UPDATE access_keys SET revoked_at = COALESCE(revoked_at, :at) WHERE id = :id"

# -- decisions ----------------------------------------------------------------------------------------------------

_DECISION: Final = (
    "id, at, namespace, dialect, side, action, revision, request_id, kind, stage, entry_id, score, threshold, shadow, "
    "label"
)
ADD_DECISION: Final = f"""
    INSERT INTO decisions ({_DECISION})
    VALUES (:id, :at, :namespace, :dialect, :side, :action, :revision, :request_id, :kind, :stage, :entry_id, :score,
            :threshold, :shadow, :label)
"""
DECISIONS: Final = f"""
    SELECT {_DECISION} FROM decisions
    WHERE at >= :since AND (:namespace = '' OR namespace = :namespace) AND (:action = '' OR action = :action)
    ORDER BY at DESC, seq DESC
    LIMIT :limit
"""
LABEL_DECISION: Final = """
    UPDATE decisions SET label = :label WHERE id = :id AND (:namespace = '' OR namespace = :namespace)
"""
FORGET_DECISIONS: Final = "DELETE FROM decisions WHERE at < :before"

# -- jobs ---------------------------------------------------------------------------------------------------------

PUT_JOB: Final = """
    INSERT INTO jobs (id, namespace, replica, state, created_at, done, failed, total, errors, started_at, ended_at)
    VALUES (:id, :namespace, :replica, :state, :created_at, :done, :failed, :total, :errors, :started_at, :ended_at)
    ON CONFLICT (id) DO UPDATE
    SET state = excluded.state, done = excluded.done, failed = excluded.failed, total = excluded.total,
        errors = excluded.errors, started_at = excluded.started_at, ended_at = excluded.ended_at
"""
JOB: Final = """
    SELECT id, namespace, replica, state, created_at, done, failed, total, errors, started_at, ended_at
    FROM jobs WHERE id = :id
"""
INTERRUPT_JOBS: Final = """
    UPDATE jobs SET state = :interrupted, ended_at = :now
    WHERE replica = :replica AND state IN (:queued, :running)
"""

# -- replicas -----------------------------------------------------------------------------------------------------

SEEN: Final = """
    INSERT INTO replicas (name, revision, seen_at) VALUES (:name, :revision, :now)
    ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, seen_at = excluded.seen_at
"""
REPLICAS: Final = "SELECT name, revision, seen_at FROM replicas ORDER BY name"
GONE: Final = "DELETE FROM replicas WHERE name = :name"

# -- calibrations -------------------------------------------------------------------------------------------------

PUT_CALIBRATION: Final = """
    INSERT INTO calibrations (embedder_hash, backend, rule, body, created_at)
    VALUES (:embedder_hash, :backend, :rule, :body, :now)
    ON CONFLICT (embedder_hash, backend, rule) DO UPDATE SET body = excluded.body, created_at = excluded.created_at
"""
CALIBRATION: Final = """
    SELECT body FROM calibrations WHERE embedder_hash = :embedder_hash AND backend = :backend AND rule = :rule
"""
CALIBRATIONS: Final = "SELECT body FROM calibrations ORDER BY created_at DESC, embedder_hash, backend, rule"

# -- scores of passing traffic ------------------------------------------------------------------------------------

ADD_SCORES: Final = """
    INSERT INTO scores (basis, namespace, kind, side, hour, bin, texts)
    VALUES (:basis, :namespace, :kind, :side, :hour, :bin, :texts)
    ON CONFLICT (basis, namespace, kind, side, hour, bin) DO UPDATE SET texts = scores.texts + excluded.texts
"""
SCORES: Final = """
    SELECT kind, bin, CAST(SUM(texts) AS BIGINT) AS texts FROM scores
    WHERE basis = :basis AND namespace = :namespace AND side = :side AND hour >= :hour
    GROUP BY kind, bin
"""
FORGET_SCORES: Final = "DELETE FROM scores WHERE hour < :hour"
LABELLED_SCORES: Final = """
    SELECT kind, MAX(score) AS score, MAX(CASE WHEN shadow = 1 OR action = :flag THEN 1 ELSE 0 END) AS passed
    FROM decisions
    WHERE namespace = :namespace AND side = :side AND at >= :since AND stage = :stage AND label = :label
    GROUP BY request_id, kind
"""
COUNT_SUPPRESSED: Final = """
    SELECT COUNT(DISTINCT request_id) AS n FROM decisions
    WHERE namespace = :namespace AND side = :side AND at >= :since AND shadow = 0 AND action <> :flag
        AND action <> :allow AND (label IS NULL OR label <> :false_positive)
"""

# -- ledger -------------------------------------------------------------------------------------------------------

_BITS: Final = tuple(f"bits{i}" for i in range(8))
_LEDGER: Final = f"account, entry_id, until, {', '.join(_BITS)}"
TICK_LEDGER: Final = "UPDATE ledger_clock SET written = written + 1 WHERE id = 1 RETURNING written"
LEDGER_CLOCK: Final = "SELECT written FROM ledger_clock WHERE id = 1"
ADD_LEDGER: Final = f"""
    INSERT INTO ledger ({_LEDGER}, written)
    SELECT CAST(:account AS TEXT), id, CAST(:until AS DOUBLE PRECISION),
           {", ".join(f"CAST(:{name} AS BIGINT)" for name in _BITS)}, CAST(:written AS BIGINT)
    FROM entries WHERE id = :entry_id
    ON CONFLICT (account, entry_id, until) DO UPDATE
    SET {", ".join(f"{name} = ledger.{name} | excluded.{name}" for name in _BITS)}, written = excluded.written
"""
LEDGER_OF: Final = f"SELECT {_LEDGER} FROM ledger WHERE account = :account AND until > :now"
LEDGER_SINCE: Final = f"SELECT {_LEDGER} FROM ledger WHERE written > :written"
FORGET_LEDGER: Final = "DELETE FROM ledger WHERE until <= :now"
