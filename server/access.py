"""Who may do what: access keys, roles, and the rule for a server that has no key at all."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from index.errors import StartRefused, StoreUnavailable
from index.keys import ApiKey, Role
from server.loopback import is_loopback

DEFAULT_NAMESPACE: Final = "default"
NAMESPACE_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Right(StrEnum):
    """What a call needs."""

    APPLICATION = "application"
    OBSERVE = "observe"
    OPERATE = "operate"
    ADMINISTER = "administer"


_HOLDERS: Final[Mapping[Right, frozenset[Role]]] = {
    Right.APPLICATION: frozenset({Role.APP, Role.ADMIN}),
    Right.OBSERVE: frozenset({Role.OPERATOR, Role.AUDITOR, Role.ADMIN}),
    Right.OPERATE: frozenset({Role.OPERATOR, Role.ADMIN}),
    Right.ADMINISTER: frozenset({Role.ADMIN}),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: the id of the key (never the key), its role and its namespace."""

    id: str
    role: Role
    namespace: str = DEFAULT_NAMESPACE

    def may(self, right: Right) -> bool:
        """True when the role holds this right."""
        return self.role in _HOLDERS[right]


class AccessDenied(Exception):
    """The caller's fault. `status` and `code` are for the answer, the message is one public sentence."""

    status: int = 403
    code: str = "forbidden"


class KeyMissing(AccessDenied):
    """No access key came with the request, or none that is known."""

    status = 401
    code = "unauthorized"


class RoleWrong(AccessDenied):
    """The key is known and its role does not allow this call."""

    code = "wrong_role"


class NamespaceWrong(AccessDenied):
    """The key belongs to another namespace."""

    code = "wrong_namespace"


class KeysUnreadable(AccessDenied):
    """Not the caller's fault: the stored keys cannot be read now, so nobody can be let in."""

    status = 503
    code = "store_unavailable"


class KeyBook(Protocol):
    """The stored keys; `index.keys.KeyRing` is the one that is served. Both may raise `StoreUnavailable`."""

    @property
    def empty(self) -> bool: ...

    def verify(self, presented: str) -> ApiKey | None: ...


class Access:
    """Authenticates requests.

    `admin_key` is the bootstrap key. A server that starts with neither a bootstrap key nor a stored key is *open*: it
    makes an admin key up, its application side needs no key, and it listens on loopback only (`refuse_open_host`). The
    first stored key closes it, and nothing opens it again before the next start.
    """

    def __init__(self, keys: KeyBook, admin_key: str | None, made_before: str | None = None) -> None:
        """`made_before` is the key that another worker of this server made up."""
        self._keys = keys
        self._open = admin_key is None and keys.empty
        fresh = f"lethe_admin_{secrets.token_urlsafe(32)}" if self._open else None
        self.generated_key = made_before or fresh
        known = admin_key or self.generated_key
        self._admin_key = None if known is None else known.encode()

    @property
    def open(self) -> bool:
        """True while the application side needs no key."""
        if self._open and not self._keys.empty:
            self._open = False
        return self._open

    def authenticate(self, headers: Mapping[str, str], right: Right = Right.APPLICATION) -> Principal:
        """The caller, by its headers (lower-case names). Raises `AccessDenied`."""
        secret = _presented(headers, right)
        try:
            if right is Right.APPLICATION and self.open:
                return Principal("anonymous", Role.APP)
            if secret is None:
                raise KeyMissing("an access key is needed: Authorization: Bearer <key>")
            principal = self._known(secret)
        except StoreUnavailable:
            raise KeysUnreadable("the access keys cannot be read now; try again later") from None
        if principal is None:
            raise KeyMissing("the access key is not known or was revoked")
        if not principal.may(right):
            raise RoleWrong(f"a key with role {principal.role} may not make this call")
        return principal

    def _known(self, secret: str) -> Principal | None:
        presented = secret.encode("utf-8", "surrogateescape")
        if self._admin_key is not None and hmac.compare_digest(presented, self._admin_key):
            return Principal("bootstrap", Role.ADMIN)
        key = self._keys.verify(secret)
        return None if key is None else Principal(key.id, key.role, key.namespace)


def _presented(headers: Mapping[str, str], right: Right) -> str | None:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    if right is Right.APPLICATION:
        return headers.get("api-key") or headers.get("x-api-key") or None
    return None


def namespace_of(principal: Principal, named: str | None) -> str:
    """The namespace that a call works on. Raises `NamespaceWrong`; only an admin may name another than its own."""
    if named is None or named == principal.namespace:
        return principal.namespace
    if not principal.may(Right.ADMINISTER):
        raise NamespaceWrong("only an admin may name another namespace")
    if not NAMESPACE_PATTERN.fullmatch(named):
        raise NamespaceWrong("a namespace has 1 to 64 letters, digits, dots, dashes or underscores")
    return named


def refuse_open_host(access: Access, host: str) -> None:
    """Raise `StartRefused` when a server without any key would be reachable from other machines."""
    if access.open and not is_loopback(host):
        raise StartRefused(
            f"without any access key the server listens on loopback only, not on {host}: "
            "set LETHE_ADMIN_KEY or create a key with `lethe keys create --role admin`"
        )
