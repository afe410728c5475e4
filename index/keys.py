"""Access keys: shown once, stored as a hash, verified without telling an attacker how near a guess came."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

PREFIX: Final = "lethe"
REFRESH_S: Final = 0.5
"""A revoked key is known everywhere after this long."""


class Role(StrEnum):
    """What a key may do."""

    APP = "app"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it may be shown: without its secret. Times in epoch seconds."""

    id: str
    role: Role
    namespace: str
    created_at: float
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key at rest."""

    key: ApiKey
    secret_hash: bytes


class KeyStore(Protocol):
    """Where keys are kept."""

    def add_key(self, record: KeyRecord) -> None: ...

    def access_keys(self) -> Sequence[KeyRecord]: ...

    def revoke_key(self, key_id: str, at: float) -> None:
        """Raises `KeyUnknown`."""


def _hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()  # 256 random bits need no slow hash


_NO_HASH: Final = _hashed("")


class KeyRing:
    """Creates, revokes and verifies keys. Thread-safe; other processes' changes are seen after `REFRESH_S`."""

    def __init__(self, store: KeyStore, clock: Callable[[], float] = time.time) -> None:
        self._store, self._clock = store, clock
        self._lock = threading.Lock()
        self._known: Mapping[str, KeyRecord] = {}
        self._read_at = float("-inf")

    def create(self, role: Role, namespace: str) -> tuple[ApiKey, str]:
        """A new key, and its text `lethe_<id>_<secret>`, which is shown this once."""
        key = ApiKey(secrets.token_hex(6), role, namespace, self._clock())
        secret = secrets.token_urlsafe(32)
        self._store.add_key(KeyRecord(key, _hashed(secret)))
        self._read_at = float("-inf")
        return key, f"{PREFIX}_{key.id}_{secret}"

    def revoke(self, key_id: str) -> None:
        """From now on this key opens nothing. Raises `KeyUnknown`."""
        self._store.revoke_key(key_id, self._clock())
        self._read_at = float("-inf")

    def keys(self) -> list[ApiKey]:
        """All keys, revoked ones included, oldest first."""
        return sorted((record.key for record in self._store.access_keys()), key=lambda key: key.created_at)

    @property
    def empty(self) -> bool:
        """True when no key can open anything."""
        return all(record.key.revoked_at is not None for record in self._records().values())

    def verify(self, presented: str) -> ApiKey | None:
        """The key of that text, or None. Raises `StoreUnavailable` when the keys cannot be read."""
        prefix, _, rest = presented.partition("_")
        key_id, _, secret = rest.partition("_")
        record = self._records().get(key_id)
        same = hmac.compare_digest(_hashed(secret), record.secret_hash if record else _NO_HASH)
        if not same or record is None or prefix != PREFIX or record.key.revoked_at is not None:
            return None
        return record.key

    def _records(self) -> Mapping[str, KeyRecord]:
        if time.monotonic() - self._read_at > REFRESH_S:
            with self._lock:
                read_at = time.monotonic()
                if read_at - self._read_at > REFRESH_S:
                    self._known = {record.key.id: record for record in self._store.access_keys()}
                    self._read_at = read_at
        return self._known
