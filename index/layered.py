"""Large mappings by entry id that change a little at a time, and can be shared by processes.

```
    Layered    fresh   a small dictionary: what was written since
               gone    ids of the base that were removed or written again since
               base    a dictionary, or `Packed`: sorted ids and one run of bytes, decoded when asked for
```
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from index.ids import Ids

T = TypeVar("T")

SMALLEST_FRESH: Final = 1024
"""What was written since, after which it is folded into a base that is a dictionary, for a small one."""

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


class Codec(Generic[T]):
    """How a value becomes bytes and comes back. Both must be functions of a module, so that a name is enough."""

    __slots__ = ("decode", "encode")

    def __init__(self, encode: Callable[[T], bytes], decode: Callable[[bytes], T]) -> None:
        self.encode, self.decode = encode, decode


class Packed(Mapping[str, T]):
    """Values as bytes, side by side in the order of their ids. Immutable; a value is made anew each time."""

    __slots__ = ("_codec", "_data", "_ends", "ids")

    def __init__(self, codec: Codec[T], found: Mapping[str, T]) -> None:
        self._codec, self.ids = codec, Ids(found)
        parts = [codec.encode(found[name]) for name in self.ids]
        self._set(np.frombuffer(b"".join(parts), dtype=np.uint8), np.array([len(p) for p in parts], dtype=np.int64))

    def _set(self, data: NDArray[np.uint8], lengths: NDArray[np.int64]) -> None:
        self._data = data
        self._ends: NDArray[np.int64] = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids[:])

    def __contains__(self, name: object) -> bool:
        return name in self.ids

    def __getitem__(self, name: str) -> T:
        at = self.ids.find(name)
        if at < 0:
            raise KeyError(name)
        return self._codec.decode(self._data[self._ends[at] : self._ends[at + 1]].tobytes())

    def with_changes(self, gone: Collection[str], fresh: Mapping[str, T]) -> Packed[T]:
        """The same without `gone`, with `fresh`: what is kept is copied as bytes."""
        keep = np.ones(len(self.ids), dtype=np.bool_)
        places = self.ids.find_all(sorted({*gone, *fresh}))
        keep[places[places >= 0]] = False
        added = Packed(self._codec, fresh)
        left = self.ids.kept(keep)
        made: Packed[T] = Packed.__new__(Packed)
        made._codec = self._codec
        made.ids, mine, theirs = left.merged(added.ids)
        lengths = np.zeros(len(made.ids), dtype=np.int64)
        lengths[mine], lengths[theirs] = np.diff(self._ends)[keep], np.diff(added._ends)
        made._set(np.empty(int(lengths.sum()), dtype=np.uint8), lengths)
        kept_data = self._data[np.repeat(keep, np.diff(self._ends))]
        new = np.zeros(len(made.ids), dtype=np.bool_)
        new[theirs] = True
        is_new = np.repeat(new, lengths)
        made._data[is_new], made._data[~is_new] = added._data, kept_data
        return made


class Layered(Mapping[str, T]):
    """A mapping whose changed copies cost little: they share the base. Immutable."""

    __slots__ = ("_base", "_codec", "_fresh", "_gone")

    def __init__(self, codec: Codec[T], found: Mapping[str, T] = _NOTHING) -> None:  # type: ignore[assignment]  # nothing of any type
        self._codec, self._base, self._gone = codec, found, frozenset[str]()
        self._fresh: Mapping[str, T] = {}

    def __len__(self) -> int:
        return len(self._base) - len(self._gone) + len(self._fresh)

    def __iter__(self) -> Iterator[str]:
        yield from self._fresh
        yield from (name for name in self._base if name not in self._gone)

    def __contains__(self, name: object) -> bool:
        return name in self._fresh or (name not in self._gone and name in self._base)

    def __getitem__(self, name: str) -> T:
        if name in self._fresh:
            return self._fresh[name]
        if name in self._gone:
            raise KeyError(name)
        return self._base[name]

    @property
    def fresh(self) -> int:
        """How much was written or removed since the base was made."""
        return len(self._fresh) + len(self._gone)

    def changed(self, removed: Collection[str], added: Mapping[str, T]) -> Layered[T]:
        """The mapping without `removed`, then with `added`."""
        made: Layered[T] = Layered(self._codec, self._base)
        made._gone = self._gone | {name for name in (*removed, *added) if name in self._base}
        dropped = frozenset(removed)
        made._fresh = {name: value for name, value in self._fresh.items() if name not in dropped} | dict(added)
        packed = isinstance(self._base, Packed)  # what is shared is folded for all processes at once
        return (
            made
            if packed or made.fresh <= max(SMALLEST_FRESH, len(self._base) // 8)
            else Layered(self._codec, dict(made.items()))
        )

    def packed(self) -> Layered[T]:
        """The same on one packed base."""
        if isinstance(self._base, Packed):
            base = self._base.with_changes(self._gone, self._fresh) if self.fresh else self._base
        else:
            base = Packed(self._codec, dict(self.items()))
        return Layered(self._codec, base)
