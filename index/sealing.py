"""Sealing: what is at rest is ciphertext, and destroying an entry's data key destroys the entry.

```
    key-encryption key (file or setting)  --wraps-->  data key of each entry  --seals-->  content, vectors, fingerprints
                                          --wraps-->  the fingerprint key
```

AES-256-GCM throughout. The associated data binds each ciphertext to the entry and the purpose it was made for, so
that a row cannot be passed off as another.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import logging
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from index.errors import WrongKey

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_log = logging.getLogger(__name__)


def _seal(key: bytes, data: bytes, purpose: str) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, purpose.encode())


def _open(key: bytes, blob: bytes, purpose: str) -> bytes:
    try:
        return AESGCM(key).decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], purpose.encode())
    except (InvalidTag, ValueError):
        kind = purpose.split(":")[1]
        raise WrongKey(f"a sealed {kind} does not open: another key-encryption key, or a damaged record") from None


@dataclass(frozen=True, slots=True, repr=False)
class DataKey:
    """The key of one entry, unwrapped: in memory only."""

    entry_id: str
    key: bytes

    def __repr__(self) -> str:
        return "DataKey(…)"

    def seal(self, data: bytes, purpose: str) -> bytes:
        """Ciphertext that opens only for this entry and purpose."""
        return _seal(self.key, data, f"lethe:{purpose}:{self.entry_id}")

    def open(self, blob: bytes, purpose: str) -> bytes:
        """The reverse; `WrongKey` when the blob is not what this entry sealed for this purpose."""
        return _open(self.key, blob, f"lethe:{purpose}:{self.entry_id}")


class Sealer:
    """Holds the key-encryption key (32 bytes)."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise WrongKey(f"a key-encryption key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = key

    def __repr__(self) -> str:
        return "Sealer(…)"

    def new_key(self, entry_id: str) -> tuple[DataKey, bytes]:
        """A fresh data key, and the same wrapped for the store."""
        key = secrets.token_bytes(KEY_BYTES)
        return DataKey(entry_id, key), _seal(self._key, key, f"lethe:data key:{entry_id}")

    def unwrap(self, entry_id: str, wrapped: bytes) -> DataKey:
        """The data key of an entry; `WrongKey` when it was wrapped with another key or for another entry."""
        return DataKey(entry_id, _open(self._key, wrapped, f"lethe:data key:{entry_id}"))

    def derived(self, purpose: str) -> bytes:
        """A secret that everyone with this key can make again, and nobody else."""
        return hmac.digest(self._key, f"lethe:derived:{purpose}".encode(), "sha256")

    def wrap_secret(self, secret: bytes, name: str) -> bytes:
        """A secret of the whole store, wrapped."""
        return _seal(self._key, secret, f"lethe:secret:{name}")

    def unwrap_secret(self, wrapped: bytes, name: str) -> bytes:
        """The reverse; `WrongKey` when the store was written with another key."""
        return _open(self._key, wrapped, f"lethe:secret:{name}")


@dataclass(frozen=True, slots=True, repr=False)
class KeyFile:
    """A key-encryption key read from a file; `created` when the file did not exist before."""

    key: bytes
    created: bool

    def __repr__(self) -> str:
        return f"KeyFile(created={self.created})"


def parse_key(text: str) -> bytes:
    """A key from a setting: 64 hexadecimal digits, or the base64 form of 32 bytes. Raises `WrongKey`."""
    stripped = text.strip()
    if len(stripped) == 2 * KEY_BYTES:
        with contextlib.suppress(ValueError):
            return bytes.fromhex(stripped)
    with contextlib.suppress(binascii.Error, ValueError):
        key = base64.b64decode(stripped.replace("-", "+").replace("_", "/"), validate=True)
        if len(key) == KEY_BYTES:
            return key
    raise WrongKey("a key-encryption key is 64 hexadecimal digits or the base64 form of 32 bytes")


def key_from_file(path: Path) -> KeyFile:
    """The key in that file. A missing file is created with mode 0600, at once and whole, with a loud notice."""
    try:
        return KeyFile(parse_key(path.read_text("ascii")), created=False)
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as cause:
        raise WrongKey(f"the key file {path} cannot be read ({type(cause).__name__})") from None
    key = secrets.token_bytes(KEY_BYTES)
    try:
        if not _create(path, key.hex() + "\n"):
            return KeyFile(parse_key(path.read_text("ascii")), created=False)  # another process was first
    except OSError as cause:
        raise WrongKey(f"the key file {path} cannot be written ({type(cause).__name__})") from None
    _log.warning(
        "NEW KEY-ENCRYPTION KEY written to %s (mode 0600). Back it up apart from the database: without it no forget "
        "entry can be read again, and destroying it destroys every entry, backups included.",
        path,
    )
    return KeyFile(key, created=True)


def _create(path: Path, text: str) -> bool:
    """Write a file that is never seen half written; False when it exists already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
        return True
    except FileExistsError:
        return False
    finally:
        draft.unlink()
