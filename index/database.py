"""What the store needs of a database: rows by name, one transaction at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

Value = str | int | float | bytes | None


class Row(Protocol):
    """One result row; columns by name."""

    def __getitem__(self, column: str, /) -> Value: ...


class Session(Protocol):
    """One open transaction."""

    def rows(self, sql: str, values: Mapping[str, Value] | None = None) -> Sequence[Row]: ...

    def run(self, sql: str, values: Mapping[str, Value] | None = None) -> int:
        """Answers how many rows were touched."""


class Database(Protocol):
    """Thread-safe. Leaving a `writing` block without an error commits it durably; an error undoes all of it.

    Both raise `StoreUnavailable` when the database cannot be used now.
    """

    def reading(self) -> AbstractContextManager[Session]:
        """A session that sees one state of the database."""

    def writing(self) -> AbstractContextManager[Session]:
        """A session that excludes other writers."""

    def scrub(self) -> bool:
        """Overwrite what deleted rows have left behind. False when readers prevent it: try again later."""

    def close(self) -> None: ...


def text(row: Row, column: str) -> str:
    """A text column."""
    value = row[column]
    assert isinstance(value, str)
    return value


def text_or_none(row: Row, column: str) -> str | None:
    """A text column that may be empty."""
    return None if row[column] is None else text(row, column)


def whole(row: Row, column: str) -> int:
    """An integer column."""
    value = row[column]
    assert isinstance(value, int)
    return value


def whole_or_none(row: Row, column: str) -> int | None:
    """An integer column that may be empty."""
    return None if row[column] is None else whole(row, column)


def real(row: Row, column: str) -> float:
    """A float column."""
    value = row[column]
    assert isinstance(value, (int, float))
    return float(value)


def real_or_none(row: Row, column: str) -> float | None:
    """A float column that may be empty."""
    return None if row[column] is None else real(row, column)


def data(row: Row, column: str) -> bytes:
    """A column of bytes."""
    value = row[column]
    assert isinstance(value, (bytes, memoryview))
    return bytes(value)


def data_or_none(row: Row, column: str) -> bytes | None:
    """A column of bytes that may be empty."""
    return None if row[column] is None else data(row, column)
