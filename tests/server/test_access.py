"""Access: who may do what, and the server that has no key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.errors import StartRefused, StoreUnavailable
from index.keys import KeyRing, Role
from index.sqlite import SQLiteStore
from server.access import (
    Access,
    AccessDenied,
    KeyMissing,
    NamespaceWrong,
    Principal,
    Right,
    RoleWrong,
    namespace_of,
    refuse_open_host,
)
from server.loopback import is_loopback

ADMIN = "bootstrap-key-of-the-tests"


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[KeyRing]:
    store = SQLiteStore(tmp_path / "lethe.db")
    yield KeyRing(store)
    store.close()


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.APP, {Right.APPLICATION}),
        (Role.AUDITOR, {Right.OBSERVE}),
        (Role.OPERATOR, {Right.OBSERVE, Right.OPERATE}),
        (Role.ADMIN, set(Right)),
    ],
)
def test_a_role_has_exactly_its_rights(ring: KeyRing, role: Role, allowed: set[Right]) -> None:
    _, secret = ring.create(role, "shop")
    access = Access(ring, ADMIN)
    for right in Right:
        if right in allowed:
            assert access.authenticate(bearer(secret), right).namespace == "shop"
        else:
            with pytest.raises(RoleWrong):
                access.authenticate(bearer(secret), right)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Basic YTpi"},
        {"authorization": ADMIN},
        {"authorization": f"Bearer {ADMIN}x"},
        {"authorization": "Bearer \udcff\udcfe"},
        {"authorization": "Bearer lethe__"},
        {"authorization": "Bearer lethe_abc_def"},
    ],
)
def test_without_a_known_key_nobody_is_let_in(ring: KeyRing, headers: dict[str, str]) -> None:
    access = Access(ring, ADMIN)
    for right in (Right.APPLICATION, Right.OPERATE):
        with pytest.raises(KeyMissing):
            access.authenticate(headers, right)


def test_applications_may_present_a_key_as_their_clients_do(ring: KeyRing) -> None:
    _, secret = ring.create(Role.APP, "shop")
    access = Access(ring, ADMIN)
    for name in ("api-key", "x-api-key"):
        assert access.authenticate({name: secret}).namespace == "shop"
        with pytest.raises(KeyMissing):
            access.authenticate({name: ADMIN}, Right.OPERATE)


def test_a_revoked_key_opens_nothing(ring: KeyRing) -> None:
    key, secret = ring.create(Role.APP, "shop")
    access = Access(ring, ADMIN)
    access.authenticate(bearer(secret))
    ring.revoke(key.id)
    with pytest.raises(KeyMissing):
        access.authenticate(bearer(secret))


def test_a_server_without_keys_is_open_to_applications_and_makes_an_admin_key_up(ring: KeyRing) -> None:
    access = Access(ring, None)
    assert access.open
    assert access.authenticate({}) == Principal("anonymous", Role.APP)
    with pytest.raises(KeyMissing):
        access.authenticate({}, Right.OPERATE)
    assert access.generated_key is not None
    assert access.authenticate(bearer(access.generated_key), Right.ADMINISTER).role is Role.ADMIN


def test_the_first_stored_key_closes_the_server_for_good(ring: KeyRing) -> None:
    access = Access(ring, None)
    key, _ = ring.create(Role.APP, "default")
    assert not access.open
    ring.revoke(key.id)
    assert not access.open
    with pytest.raises(KeyMissing):
        access.authenticate({})


def test_with_a_bootstrap_key_nothing_is_open(ring: KeyRing) -> None:
    access = Access(ring, ADMIN)
    assert not access.open
    assert access.generated_key is None
    assert access.authenticate(bearer(ADMIN), Right.APPLICATION).role is Role.ADMIN


def test_without_keys_the_server_starts_on_loopback_only(ring: KeyRing) -> None:
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        refuse_open_host(Access(ring, None), host)
    for host in ("0.0.0.0", "::", "10.0.0.1", "lethe.example"):
        assert not is_loopback(host)
        with pytest.raises(StartRefused, match="LETHE_ADMIN_KEY"):
            refuse_open_host(Access(ring, None), host)
        refuse_open_host(Access(ring, ADMIN), host)


def test_only_an_admin_may_name_another_namespace() -> None:
    assert namespace_of(Principal("k", Role.OPERATOR, "shop"), None) == "shop"
    assert namespace_of(Principal("k", Role.OPERATOR, "shop"), "shop") == "shop"
    assert namespace_of(Principal("k", Role.ADMIN), "bank") == "bank"
    for principal, name in [
        (Principal("k", Role.OPERATOR, "shop"), "bank"),
        (Principal("k", Role.AUDITOR, "shop"), "bank"),
        (Principal("k", Role.ADMIN), "a b"),
        (Principal("k", Role.ADMIN), ""),
    ]:
        with pytest.raises(NamespaceWrong):
            namespace_of(principal, name)


class _Broken:
    """Keys that cannot be read."""

    broken = False

    @property
    def empty(self) -> bool:
        if self.broken:
            raise StoreUnavailable("no disk")
        return False

    def verify(self, presented: str) -> None:
        raise StoreUnavailable("no disk")


def test_keys_that_cannot_be_read_let_nobody_in() -> None:
    with pytest.raises(AccessDenied) as denied:
        Access(_Broken(), ADMIN).authenticate(bearer("lethe_a_b"))
    assert denied.value.status == 503
