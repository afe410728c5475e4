"""Access keys open what they may until they are revoked."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from index.errors import KeyUnknown, StoreUnavailable
from index.keys import REFRESH_S, KeyRing, Role
from index.sqlite import SQLiteStore
from index.store import Store
from tests.index.test_sqlite import files


def test_a_key_opens_until_it_is_revoked(store: Store, clock) -> None:
    ring = KeyRing(store, clock)
    assert ring.empty
    key, text = ring.create(Role.OPERATOR, "ns")
    assert text.startswith(f"lethe_{key.id}_") and not ring.empty
    assert ring.verify(text) == key
    clock.now += 5
    ring.revoke(key.id)
    assert ring.verify(text) is None and ring.empty
    listed = ring.keys()
    assert [k.revoked_at for k in listed] == [clock.now]


def test_nothing_else_opens(store: Store) -> None:
    ring = KeyRing(store)
    key, text = ring.create(Role.APP, "ns")
    other, _ = ring.create(Role.ADMIN, "ns")
    secret = text.removeprefix(f"lethe_{key.id}_")
    for wrong in ("", "lethe", "lethe__", f"lethe_{key.id}_", f"lethe_{other.id}_{secret}", text + "x", text[:-1],
                  "x" + text, f"Lethe_{key.id}_{secret}", "lethe_\ud800_\udfff", secret, "é" * 50):  # fmt: skip
        assert ring.verify(wrong) is None


def test_the_secret_is_not_in_the_file(path: Path) -> None:
    store = SQLiteStore(path)
    key, text = KeyRing(store).create(Role.APP, "ns")
    assert text.removeprefix(f"lethe_{key.id}_").encode() not in files(path)
    store.close()


def test_another_process_sees_a_revocation_within_a_second(path: Path) -> None:
    here, there = SQLiteStore(path), SQLiteStore(path)
    one, two = KeyRing(here), KeyRing(there)
    key, text = one.create(Role.APP, "ns")
    assert two.verify(text) == key
    one.revoke(key.id)
    time.sleep(REFRESH_S + 0.05)
    assert two.verify(text) is None
    here.close()
    there.close()


def test_when_keys_cannot_be_read_no_key_opens(path: Path) -> None:
    store = SQLiteStore(path)
    ring = KeyRing(store)
    _, text = ring.create(Role.APP, "ns")
    store.close()
    with pytest.raises(StoreUnavailable):
        ring.verify(text)


def test_a_key_that_does_not_exist_cannot_be_revoked(store: Store) -> None:
    with pytest.raises(KeyUnknown):
        KeyRing(store).revoke("nobody")
