"""What the store keeps: rows of ciphertext and plain facts about them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from guard.verdict import Kind
from index.entry import Entry, Retention


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """One entry at rest. `basis` names the embedder and window rule that made its vectors.

    `content`, `vectors` and `fingerprints` (with what the entry mentions) are sealed under the data key in
    `wrapped_key`; `content` is None for a sealed entry.
    """

    id: str
    namespace: str
    kind: Kind
    label: str
    policy: str
    retention: Retention
    reference: str
    created_at: float
    expires_at: float | None
    windows: int
    basis: str
    content: bytes | None
    vectors: bytes
    fingerprints: bytes
    wrapped_key: bytes
    revision: int = 0

    @property
    def entry(self) -> Entry:
        """What may be shown of it."""
        return Entry(
            self.id,
            self.namespace,
            self.kind,
            self.label,
            self.policy,
            self.retention,
            self.reference,
            self.created_at,
            self.expires_at,
            self.revision,
            self.windows,
        )


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """One policy at rest, as JSON."""

    namespace: str
    name: str
    body: str
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """What became different after a revision. `written_at` is when the last of it was committed (epoch seconds)."""

    revision: int
    written_at: float
    entries: tuple[EntryRecord, ...] = ()
    removed: tuple[tuple[str, str], ...] = ()  # (namespace, entry id)
    policies: tuple[PolicyRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """A committed write. `answer` is what was told about it; `replayed` when an earlier request had made it."""

    revision: int
    ids: tuple[str, ...] = ()
    answer: str = ""
    replayed: bool = False


def plain_answer(written: Written) -> str:
    """The answer of a caller that needs no other."""
    return json.dumps({"revision": written.revision, "ids": list(written.ids)})


@dataclass(frozen=True, slots=True)
class Once:
    """Lets a write be repeated without happening twice.

    `answer` gives the text that is remembered with the write, in the same transaction; it must hold no forget text.
    """

    principal: str
    key: str
    route: str
    body_hash: str
    answer: Callable[[Written], str] = plain_answer


@dataclass(frozen=True, slots=True)
class Replica:
    """A process that serves from this store: the revision it serves, and when it last said so (epoch seconds)."""

    name: str
    revision: int
    seen_at: float


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries to list. Empty strings and None do not filter; `cursor` is a `Page.next_cursor`."""

    namespace: str
    kind: Kind | None = None
    label: str = ""
    cursor: str | None = None
    limit: int = 50
