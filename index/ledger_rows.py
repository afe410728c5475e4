"""The ledger, in SQL: rows of bits that several processes join, never text."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from guard.ledger import PLACES, Row
from index import sql
from index.database import Database, Value, real, text, whole
from index.database import Row as Columns

_PARTS: Final = PLACES // 64
_SIGNED: Final = struct.Struct(f"<{_PARTS}q")


@dataclass(frozen=True, slots=True)
class Post:
    """A row of an account, which is named by a keyed hash."""

    account: str
    row: Row


class LedgerRows:
    """The part of the store that keeps the ledger."""

    _db: Database

    def add_ledger(self, posts: Sequence[Post]) -> None:
        """See `Store.add_ledger`."""
        with self._db.writing() as session:
            written = whole(session.rows(sql.TICK_LEDGER)[0], "written")  # one writer after the other: so are numbers
            for post in posts:
                session.run(sql.ADD_LEDGER, {**_values(post), "written": written})

    def ledger_of(self, account: str, now: float) -> Sequence[Row]:
        """See `Store.ledger_of`."""
        values: Mapping[str, Value] = {"account": account, "now": now}
        with self._db.reading() as session:
            return [_post(row).row for row in session.rows(sql.LEDGER_OF, values)]

    def ledger_since(self, written: int) -> tuple[int, Sequence[Post]]:
        """See `Store.ledger_since`."""
        with self._db.reading() as session:
            now = whole(session.rows(sql.LEDGER_CLOCK)[0], "written")
            if written < 0 or now == written:
                return now, ()
            return now, [_post(row) for row in session.rows(sql.LEDGER_SINCE, {"written": written})]

    def forget_ledger(self, now: float) -> int:
        """See `Store.forget_ledger`."""
        with self._db.writing() as session:
            return session.run(sql.FORGET_LEDGER, {"now": now})


def _values(post: Post) -> dict[str, Value]:
    parts = _SIGNED.unpack(post.row.bits.to_bytes(PLACES // 8, "little"))
    bits = {f"bits{i}": part for i, part in enumerate(parts)}
    return {"account": post.account, "entry_id": post.row.entry_id, "until": post.row.until, **bits}


def _post(row: Columns) -> Post:
    packed = _SIGNED.pack(*(whole(row, f"bits{i}") for i in range(_PARTS)))
    return Post(
        text(row, "account"),
        Row(text(row, "entry_id"), real(row, "until"), int.from_bytes(packed, "little")),
    )
