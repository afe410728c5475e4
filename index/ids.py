"""Entry ids as one sorted array: a few bytes per id, shared by processes, and found by halving."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int32]
"""Places of ids in an `Ids`, -1 for none."""


class Ids(Sequence[str]):
    """Distinct ids, ascending by their bytes. Immutable."""

    __slots__ = ("_names",)

    def __init__(self, names: Iterable[str] = ()) -> None:
        encoded = sorted({name.encode() for name in names})
        self._names: NDArray[np.bytes_] = np.array(encoded, dtype=f"S{max(map(len, encoded), default=1)}")

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, at: Any) -> Any:  # one id, or a list of them: `Sequence` asks for both
        if isinstance(at, slice):
            return [name.decode() for name in self._names[at].tolist()]
        return bytes(self._names[at]).decode()

    def at(self, places: NDArray[np.integer[Any]]) -> list[str]:
        """The ids at these places."""
        return [name.decode() for name in self._names[places].tolist()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(name) >= 0

    def find(self, name: str) -> int:
        """Its place, or -1."""
        encoded = name.encode()
        if len(encoded) > self._names.dtype.itemsize or not len(self._names):
            return -1
        at = int(np.searchsorted(self._names, np.array(encoded, dtype=self._names.dtype)))
        return at if at < len(self._names) and self._names[at] == encoded else -1

    def find_all(self, names: Sequence[str]) -> Places:
        """The place of each name, or -1 [n]."""
        found = np.full(len(names), -1, dtype=np.int32)
        if not len(names) or not len(self._names):
            return found
        asked = np.array([name.encode() for name in names])
        if asked.dtype.itemsize > self._names.dtype.itemsize:
            return np.array([self.find(name) for name in names], dtype=np.int32)
        at = np.minimum(np.searchsorted(self._names, asked.astype(self._names.dtype)), len(self._names) - 1)
        hit = self._names[at] == asked
        found[hit] = at[hit]
        return found

    def kept(self, keep: NDArray[np.bool_]) -> Ids:
        """Those ids for which `keep` is true, in the same order."""
        made = Ids.__new__(Ids)
        made._names = self._names[keep]
        return made

    def merged(self, other: Ids) -> tuple[Ids, Places, Places]:
        """Both together, and the new places of the ids of each."""
        made = Ids.__new__(Ids)
        width = max(self._names.dtype.itemsize, other._names.dtype.itemsize)
        mine, theirs = self._names.astype(f"S{width}"), other._names.astype(f"S{width}")
        made._names = np.union1d(mine, theirs)
        return (
            made,
            np.searchsorted(made._names, mine).astype(np.int32),
            np.searchsorted(made._names, theirs).astype(np.int32),
        )
