"""Bases: what an index holds at one revision, in memory that processes share and no file system shows.

```
    Base    revision    what of the store is in it
            manifest    where in the region each part lies
            fds[0]      a pickle (structure only), the arrays that it speaks of, and indexes of faiss, as faiss writes
                        them and searches them where they lie; each on a border of 64 bytes
```

Regions are anonymous (`memfd_create`) and sealed against writing. `opened` copies no array: a process that opens a
base pays for the structure alone.
"""

from __future__ import annotations

import fcntl
import io
import json
import mmap
import os
import pickle  # written by this program, kept in sealed memory or authenticated files, see `_Unpickler`
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol

import faiss
import numpy as np

from index.errors import BaseRefused

FORMAT: Final = 2
"""Raised whenever what is held is laid out in another way than before."""

_BORDER: Final = 64
_PIECE: Final = 2**30
POSSIBLE: Final = hasattr(os, "memfd_create")
"""False where the operating system has no sealed anonymous memory: an index then stays as it was made."""

_SEALS: Final = (
    fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL if POSSIBLE else 0  # Linux alone
)
_OURS: Final = ("guard.", "index.")
_OTHERS: Final = frozenset(
    {
        ("builtins", "frozenset"),
        ("builtins", "set"),
        ("builtins", "getattr"),
        ("collections", "Counter"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
    }
)


@dataclass(frozen=True, slots=True)
class Base:
    """What an index holds at `revision`. Whoever has it may pass `manifest` and `fds` to another process."""

    revision: int
    manifest: bytes
    fds: tuple[int, ...]

    def close(self) -> None:
        """Close the descriptors. What was opened from them stays as it is."""
        for fd in self.fds:
            os.close(fd)

    def copied(self) -> Base:
        """The same with descriptors of its own."""
        return Base(self.revision, self.manifest, tuple(os.dup(fd) for fd in self.fds))

    @property
    def size(self) -> int:
        """Bytes in all regions."""
        return sum(os.fstat(fd).st_size for fd in self.fds)


class Bases(Protocol):
    """Where processes that serve together leave their newest base. One of them `leads`: it alone makes bases."""

    @property
    def leads(self) -> bool: ...

    def publish(self, base: Base) -> None:
        """Give it to all others; the base is theirs to close from now on."""

    def newest(self) -> Base | None:
        """The newest that was published, with descriptors that stay open as long as this process may need them."""


class OwnBases:
    """Implements `Bases` for a process that serves alone."""

    leads = True

    def __init__(self) -> None:
        self._newest: Base | None = None

    def publish(self, base: Base) -> None:
        """See `Bases.publish`."""
        before, self._newest = self._newest, base
        if before is not None:
            before.close()

    def newest(self) -> Base | None:
        """See `Bases.newest`."""
        return self._newest


@contextmanager
def region(name: str) -> Iterator[int]:
    """A new region to write to; sealed when the block ends. Shown as `name` in the process's maps."""
    fd = os.memfd_create(f"lethe-{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        yield fd
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise


def pack(revision: int, held: object) -> Base:
    """A base of `held`: anything made of our own types, arrays, and indexes of faiss."""
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    pickler = _Pickler(stream, buffers)
    pickler.dump(held)
    places, indexes = list[tuple[int, int]](), list[tuple[int, int]]()
    with region("base") as fd:
        at = 0
        for part in (stream.getbuffer(), *(buffer.raw() for buffer in buffers)):
            write_at(fd, part, at)
            places.append((at, part.nbytes))
            at = _border(at + part.nbytes)
        listed = np.array(places, dtype="<i8")  # there may be very many: too many for a message between processes
        write_at(fd, listed.data, at)
        arrays = (at, len(places))
        at = _border(at + listed.nbytes)
        for found in pickler.indexes:
            size = _write_index(fd, found, at)
            indexes.append((at, size))
            at = _border(at + size)
        os.ftruncate(fd, max(at, _BORDER))
    manifest = {"format": FORMAT, "arrays": arrays, "indexes": indexes}
    return Base(revision, json.dumps(manifest).encode(), (fd,))


def _border(at: int) -> int:
    return -(-at // _BORDER) * _BORDER


def _write_index(fd: int, index: Any, at: int) -> int:
    """Written by faiss into a region that is gone afterwards, then copied without passing through this process."""
    beside = os.memfd_create("lethe-vectors", os.MFD_CLOEXEC)
    try:
        faiss.write_index(index, f"/proc/self/fd/{beside}")
        size, done = os.fstat(beside).st_size, 0
        os.lseek(fd, at, os.SEEK_SET)
        while done < size:
            done += os.sendfile(fd, beside, done, min(size - done, _PIECE))
        return size
    finally:
        os.close(beside)


def opened(base: Base) -> Any:
    """What was packed; its arrays lie in the shared regions and cannot be written to. Raises `BaseRefused`."""
    try:
        manifest = json.loads(base.manifest)
        if manifest["format"] != FORMAT:
            raise BaseRefused(f"a base of format {manifest['format']} cannot be read")
        memory = _mapped(base.fds[0])
        start, count = manifest["arrays"]
        listed = np.frombuffer(memory, dtype="<i8", count=2 * count, offset=start).reshape(count, 2).tolist()
        stream, *buffers = (memory[at : at + size] for at, size in listed)
        indexes = [_read_index(memory[at : at + size]) for at, size in manifest["indexes"]]
        return _Unpickler(stream, buffers, indexes).load()
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError, EOFError) as cause:
        raise BaseRefused(f"a base cannot be read ({type(cause).__name__})") from cause
    except (pickle.UnpicklingError, ImportError) as cause:
        raise BaseRefused(f"a base was written by another version ({type(cause).__name__})") from cause


def _read_index(memory: memoryview) -> Any:
    """An index of faiss that lies in `memory`."""
    data = np.frombuffer(memory, dtype=np.uint8)
    reader: Any = faiss.ZeroCopyIOReader  # type: ignore[attr-defined]  # the stubs do not know it yet
    index: Any = faiss.read_index(reader(faiss.swig_ptr(data), len(data)))
    index.referenced_objects = [data]  # faiss keeps bare pointers into it
    return index


def _mapped(fd: int) -> memoryview:
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)  # sealed: a reader alone may map it
    try:
        return memoryview(mmap.mmap(reader, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ))
    finally:
        os.close(reader)


def write_at(fd: int, data: memoryview, at: int) -> None:
    """All of `data`, from that place on."""
    left = data.cast("B") if data.nbytes else data
    while left.nbytes:
        done = os.pwrite(fd, left, at)
        left, at = left[done:], at + done


def read_only(values: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    """A view of a dictionary that cannot be changed, as a base holds it."""
    return MappingProxyType(values)


class _Pickler(pickle.Pickler):
    """Arrays go beside the stream, indexes of faiss into regions of their own."""

    def __init__(self, stream: io.BytesIO, buffers: list[pickle.PickleBuffer]) -> None:
        super().__init__(stream, protocol=5, buffer_callback=buffers.append)
        self.indexes: list[Any] = []

    def persistent_id(self, obj: Any) -> int | None:
        """The number of an index of faiss."""
        if not isinstance(obj, faiss.Index):
            return None
        self.indexes.append(obj)
        return len(self.indexes) - 1

    def reducer_override(self, obj: Any) -> Any:
        """A read-only view of a dictionary cannot be pickled by itself."""
        return (read_only, (dict(obj),)) if isinstance(obj, MappingProxyType) else NotImplemented


class _Unpickler(pickle.Unpickler):
    """Makes nothing but our own types and arrays."""

    def __init__(self, stream: memoryview, buffers: Sequence[memoryview], indexes: Sequence[Any]) -> None:
        super().__init__(io.BytesIO(stream), buffers=buffers)
        self._indexes = indexes

    def persistent_load(self, pid: Any) -> Any:
        """The index of that number."""
        return self._indexes[pid]

    def find_class(self, module: str, name: str) -> Any:
        """Raises `UnpicklingError` for everything that does not belong into a base."""
        if not module.startswith(_OURS) and (module, name) not in _OTHERS:
            raise pickle.UnpicklingError(f"{module}.{name} does not belong into a base")
        return super().find_class(module, name)
