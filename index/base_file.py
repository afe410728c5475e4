"""The stored snapshot: a base in one encrypted file beside the database, so that a large index starts in seconds.

```
    store   meta row: the file's own key and name, wrapped by the key-encryption key
    file    magic | chunk 0: what the base is | chunks of its region       each AES-256-GCM under the file's key
```

The file is useless without the meta row, and every transaction that destroys content deletes that row: see
`Store.keep_snapshot_key`. A file is written whole under a new name before its key is kept, so whenever a process dies,
the key in the store belongs to a whole file or to none that is there. Whatever is wrong with a file, it is left alone
and the index is made from the store. Plain text never reaches a file system: chunks are decrypted into a sealed region.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from index.base import Base, region, write_at
from index.errors import BaseRefused, IndexFault
from index.sealing import KEY_BYTES, Sealer
from index.static import StaticModel
from index.store import Store

CHUNK: Final = 2**20
"""Bytes that are encrypted together: other threads get their turn in between."""

_MAGIC: Final = b"lethe base 1\n"
_TAG: Final = 16
_TOKEN_BYTES: Final = 8
_LONGEST_HEAD: Final = 2**24
_PURPOSE: Final = "snapshot"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Key:
    """The key of one file, and what its name ends with."""

    secret: bytes
    token: bytes

    def seal(self, number: int, data: bytes) -> bytes:
        return AESGCM(self.secret).encrypt(_nonce(number), data, _MAGIC)

    def open(self, number: int, data: bytes) -> bytes:
        return AESGCM(self.secret).decrypt(_nonce(number), data, _MAGIC)


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "little")  # a key seals one file, so a count never repeats


def base_basis(basis: str, static: StaticModel | None) -> str:
    """Names everything that a base depends on besides the store: who made its vectors, and the code that made it."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted((*here.glob("*.py"), *here.with_name("guard").glob("*.py"))):
        digest.update(path.read_bytes())  # what is held is laid out as this code has it, and as no other
    return f"{basis} static {static.hash if static else None} code {digest.hexdigest()}"


class BaseFile:
    """The stored snapshot of one store. `basis` names what vectors, fingerprints and rules are made by: a file of
    another basis is not read."""

    def __init__(self, store: Store, sealer: Sealer, basis: str) -> None:
        self._store, self._sealer, self._basis = store, sealer, basis

    @property
    def missing(self) -> bool:
        """True when there could be a file, and is none whose key exists."""
        path = self._store.snapshot_path
        if path is None:
            return False
        key = self._store.snapshot_key()
        return key is None or not self._path(path, self._unwrapped(key)).is_file()

    def write(self, base: Base) -> bool:
        """Keep this base. False when it was not: nothing is on a disk here, or content was destroyed since."""
        folder = self._store.snapshot_path
        if folder is None or len(base.fds) != 1:
            return False
        key = _Key(secrets.token_bytes(KEY_BYTES), secrets.token_bytes(_TOKEN_BYTES))
        path = self._path(folder, key)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                for part in self._parts(base, key):
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            wrapped = self._sealer.wrap_secret(key.secret + key.token, _PURPOSE)
            kept = self._store.keep_snapshot_key(wrapped, base.revision)
        except OSError as cause:
            _log.warning("no snapshot could be stored (%s): the next start takes longer", type(cause).__name__)
            kept = False
        if kept:
            self._tidy(folder, path)
        else:
            path.unlink(missing_ok=True)
        return kept

    def _parts(self, base: Base, key: _Key) -> Iterator[bytes]:
        head = {
            "revision": base.revision,
            "basis": self._basis,
            "manifest": base64.b64encode(base.manifest).decode(),
            "size": base.size,
        }
        sealed = key.seal(0, json.dumps(head).encode())
        yield _MAGIC + len(sealed).to_bytes(4, "little") + sealed
        for number, at in enumerate(range(0, base.size, CHUNK), start=1):
            yield key.seal(number, os.pread(base.fds[0], CHUNK, at))

    def read(self) -> Base | None:
        """The base that was kept, in a region of its own; None when there is none that can be used."""
        folder, wrapped = self._store.snapshot_path, self._store.snapshot_key()
        if folder is None:
            return None
        if wrapped is None:
            self._tidy(folder, None)
            return None
        try:
            key = self._unwrapped(wrapped)
            self._tidy(folder, self._path(folder, key))
            with self._path(folder, key).open("rb") as file:
                return self._read(file, key)
        except FileNotFoundError:
            _log.info("the stored snapshot is gone: making the index from the store")
        except (OSError, InvalidTag, ValueError, KeyError, TypeError, IndexFault) as cause:
            _log.warning(
                "the stored snapshot cannot be used (%s): making the index from the store", type(cause).__name__
            )
        return None

    def _read(self, file: BinaryIO, key: _Key) -> Base:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise BaseRefused("this is no stored snapshot")
        length = int.from_bytes(file.read(4), "little")
        if not _TAG <= length <= _LONGEST_HEAD:
            raise BaseRefused("this is no stored snapshot")
        head = json.loads(key.open(0, file.read(length)))
        if head["basis"] != self._basis:
            raise BaseRefused("it was made by another embedder or version")
        with region("base") as fd:
            for number, at in enumerate(range(0, head["size"], CHUNK), start=1):
                want = min(CHUNK, head["size"] - at)
                write_at(fd, memoryview(key.open(number, file.read(want + _TAG))), at)
        return Base(head["revision"], base64.b64decode(head["manifest"]), (fd,))

    def _unwrapped(self, wrapped: bytes) -> _Key:
        opened = self._sealer.unwrap_secret(wrapped, _PURPOSE)
        return _Key(opened[:KEY_BYTES], opened[KEY_BYTES:])

    @staticmethod
    def _path(folder: Path, key: _Key) -> Path:
        return folder.with_name(f"{folder.name}-{key.token.hex()}")

    @staticmethod
    def _tidy(folder: Path, kept: Path | None) -> None:
        """Remove what no key belongs to: files of keys that were destroyed, and of writers that were killed."""
        with suppress(OSError):  # what cannot be removed now is found again at the next start
            for found in folder.parent.glob(f"{folder.name}-*"):
                if found != kept:
                    found.unlink()
