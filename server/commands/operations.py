"""What the commands do with entries, on a running server or directly on a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from server.schemas.check import CheckIn, CheckOut
from server.schemas.entries import EntriesOut, EntryIn, EntryOut, JobOut, RemovedOut, WrittenOut

Seen = Callable[[int, int | None], None]
"""Is told how much of how much was done; the second is None while it is not known."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Which page of entries is asked for."""

    kind: str | None = None
    label: str = ""
    cursor: str | None = None
    limit: int = 100
    reveal: bool = False


class Operations(Protocol):
    """Either side of `--url` and `--store`."""

    def add(self, entry: EntryIn, wait: bool) -> WrittenOut: ...

    def entries(self, listing: Listing) -> EntriesOut: ...

    def show(self, entry_id: str, reveal: bool) -> EntryOut: ...

    def remove(self, entry_id: str, wait: bool) -> RemovedOut: ...

    def import_file(self, path: Path, sent: Seen, added: Seen) -> JobOut: ...

    def check(self, asked: CheckIn) -> CheckOut: ...
