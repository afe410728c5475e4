"""The ledger: how much of each entry has left to one caller so far, over all texts, without a word of it.

An entry is known by its *units*: the words of a passage, the names, numbers and words that tell a fact (`guard.units`).
Each unit has one place in a row of bits, by its keyed hash. What was said of an entry is
such a row; rows of several processes are joined by `or`, in any order and as often as one likes.

```
    unit --keyed hash--> place        0010 0100 0000 1000      left to this caller, until its window is over
                                      0000 0000 0100 0000      read, about to leave (`Reservation`)
                                      joined: 4 of 21 units, the share is 0.2: the next new unit is suppressed
```

Rows lapse by themselves: each is kept until a fixed moment, the same in every process, which lies between one and one
and a half windows ahead. Of an entry with very many units only those are counted whose hash says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Final

from guard.policy import LedgerRule

PLACES: Final = 512
"""Bits of a row."""

MOST_COUNTED: Final = 256
"""Units of an entry that are counted, about: of more, every second, fourth, eighth ... is."""

MOST_ENTRIES: Final = 2_048
"""Entries in one account. When there are more, those that least has left of are forgotten first."""

_KEPT: Final = MOST_ENTRIES * 3 // 4


@dataclass(frozen=True, slots=True)
class Row:
    """What has left of an entry: `bits` has `PLACES` bits, `until` is when they lapse, in epoch seconds."""

    entry_id: str
    until: float
    bits: int

    def __post_init__(self) -> None:
        if not 0 <= self.bits < 1 << PLACES:
            raise ValueError(f"a row of a ledger has {PLACES} bits")


@dataclass(frozen=True, slots=True)
class Limit:
    """What may leave of an entry of `size` units (at least 0) under a rule; `least` units of it in any case."""

    size: int
    rule: LedgerRule
    least: int = 0

    @property
    def stride(self) -> int:
        """Every how manieth unit is counted."""
        return 1 if self.size <= MOST_COUNTED else 1 << math.ceil(math.log2(self.size / MOST_COUNTED))

    def place(self, unit: int) -> int:
        """The bit of a unit (64 bits of hash), 0 when it is not counted."""
        counted = self.stride == 1 or (unit >> 16) % self.stride == 0
        return 1 << unit % PLACES if counted else 0

    def allows(self, bits: int) -> bool:
        """True when so much may have left."""
        if self.rule.share >= 1.0:
            return True
        most = max(float(self.least), self.rule.share * self.size) / self.stride
        return units_in(bits) <= most


def units_in(bits: int) -> int:
    """How many units these bits stand for: some share a place (linear counting, Whang et al., 1990)."""
    free = PLACES - bits.bit_count()
    return round(PLACES * math.log(PLACES / free)) if free else PLACES * PLACES


def lapses(now: float, window_s: float) -> float:
    """When what leaves now is forgotten: the same moment for all that leaves within half a window."""
    half = window_s / 2
    return (math.floor(now / half) + 3) * half


class Reservation:
    """What one text that is being read would add, until it is known how far it left."""

    __slots__ = ("_waiting", "bits")

    def __init__(self) -> None:
        self.bits: dict[str, int] = {}
        self._waiting: list[tuple[int, Row]] = []

    def add(self, end: int, row: Row) -> None:
        """A unit of the text that ends at position `end`."""
        self.bits[row.entry_id] = self.bits.get(row.entry_id, 0) | row.bits
        self._waiting.append((end, row))

    def left(self, released: int) -> list[Row]:
        """Take out what ends at position `released` or before."""
        gone = [row for end, row in self._waiting if end <= released]
        if gone:
            self._waiting = [(end, row) for end, row in self._waiting if end > released]
            self.bits = {}
            for _, row in self._waiting:
                self.bits[row.entry_id] = self.bits.get(row.entry_id, 0) | row.bits
        return gone


class Account:
    """One caller's rows, and the texts that are on their way to it. Not thread-safe: it belongs to one event loop."""

    __slots__ = ("_rows", "_unwritten", "open")

    def __init__(self) -> None:
        self._rows: dict[str, dict[float, int]] = {}
        self._unwritten: dict[tuple[str, float], int] = {}
        self.open: set[Reservation] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def covered(self, entry_id: str, now: float) -> int:
        """The bits of what has left of an entry."""
        rows = self._rows.get(entry_id)
        if rows is None:
            return 0
        bits = 0
        for until in [until for until in rows if until <= now]:
            del rows[until]
        for own in rows.values():
            bits |= own
        if not rows:
            del self._rows[entry_id]
        return bits

    def awaited(self, entry_id: str, now: float) -> int:
        """The same with what is about to leave."""
        bits = self.covered(entry_id, now)
        for reservation in self.open:
            bits |= reservation.bits.get(entry_id, 0)
        return bits

    def credit(self, rows: Sequence[Row]) -> None:
        """This has left."""
        for row in rows:
            before = self._rows.get(row.entry_id, {}).get(row.until, 0)
            if before | row.bits != before:
                key = (row.entry_id, row.until)
                self._unwritten[key] = self._unwritten.get(key, 0) | row.bits
        self.merge(rows)

    def merge(self, rows: Iterable[Row]) -> None:
        """This has left by another way: it is recorded already."""
        for row in rows:
            own = self._rows.setdefault(row.entry_id, {})
            own[row.until] = own.get(row.until, 0) | row.bits
        if len(self._rows) > MOST_ENTRIES:
            most = nlargest(_KEPT, self._rows.items(), key=lambda item: sum(b.bit_count() for b in item[1].values()))
            self._rows = dict(most)

    def unwritten(self) -> list[Row]:
        """Take out what has been credited since the last time."""
        rows = [Row(entry_id, until, bits) for (entry_id, until), bits in self._unwritten.items()]
        self._unwritten.clear()
        return rows

    def settle(self, reservation: Reservation, released: int) -> None:
        """A text left as far as position `released`."""
        self.credit(reservation.left(released))

    def close(self, reservation: Reservation, released: int) -> None:
        """The same, and nothing more of it leaves."""
        self.settle(reservation, released)
        self.open.discard(reservation)
