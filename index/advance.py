"""From one snapshot to the next: the changes of the store become tables and rules. No thread, no clock."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from guard.fingerprint import Fingerprint
from guard.policy import Policy
from guard.verdict import Kind
from index.base import Base, opened
from index.concepts import concept_of
from index.embedder import Vectors
from index.forms import Form
from index.holding import Holding, empty_holding
from index.imprint import Imprint, static_key
from index.openings import Opened, OpeningTable
from index.policies import policy_from_json
from index.recorder import imprint_of
from index.records import Changes, EntryRecord
from index.sealing import Sealer
from index.shingles import Print
from index.snapshot import Snapshot, view_of
from index.static_table import StaticTable
from index.tools import Tools
from index.vectors import Row, VectorTable


@dataclass(slots=True)
class _Delta:
    """What changes in one namespace."""

    removed: set[str] = field(default_factory=set)
    added: list[EntryRecord] = field(default_factory=list)
    policies: dict[str, Policy] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """A snapshot with what it was made of, when the next active entry expires (epoch seconds), and the revision of the
    base that it lies on, 0 for none."""

    snapshot: Snapshot
    holdings: Mapping[str, Holding]
    next_expiry: float | None = None
    base: int = 0

    @classmethod
    def blank(cls, tools: Tools) -> State:
        """Before anything was read: revision 0, nothing held."""
        return cls(Snapshot(0, {}, tools), {})

    @property
    def large(self) -> bool:
        """True when a part of it belongs into a base."""
        return any(holding.large for holding in self.holdings.values())

    @property
    def needs_folding(self) -> bool:
        """True when a new base is worth its time."""
        return any(holding.needs_folding for holding in self.holdings.values())

    def folded(self) -> dict[str, Holding]:
        """All that is held, in few large arrays. Takes minutes for a million vectors."""
        return {name: holding.folded() for name, holding in self.holdings.items()}


class Advancer:
    """Applies changes. `sealer` opens what the store holds."""

    def __init__(self, tools: Tools, sealer: Sealer) -> None:
        self._tools, self._sealer = tools, sealer
        self._key = b"" if tools.static is None else static_key(tools.static)

    def advance(self, state: State, changes: Changes, now: float) -> State:
        """The state after these changes; entries that have expired by `now` are left out."""
        deltas: dict[str, _Delta] = {}
        for namespace, entry_id in changes.removed:
            deltas.setdefault(namespace, _Delta()).removed.add(entry_id)
        for record in changes.entries:
            delta = deltas.setdefault(record.namespace, _Delta())
            delta.removed.add(record.id)
            if record.expires_at is None or record.expires_at > now:
                delta.added.append(record)
        for row in changes.policies:
            deltas.setdefault(row.namespace, _Delta()).policies[row.name] = policy_from_json(row.body)
        return self._with(state, deltas, changes.revision)

    def expire(self, state: State, now: float) -> State:
        """The state without the entries that have expired by `now`; the same object when there are none."""
        deltas = {
            name: _Delta({entry_id for entry_id, at in holding.expiring.items() if at <= now})
            for name, holding in state.holdings.items()
        }
        due = {name: delta for name, delta in deltas.items() if delta.removed}
        return self._with(state, due, state.snapshot.revision) if due else state

    def compact(self, state: State) -> State:
        """The same state with its tables folded where that is due; the same object when it is not."""
        found = state.holdings.items()
        due = {name: held.compacted() for name, held in found if held.needs_compacting and not held.large}
        return self._published(state, due, state.snapshot.revision) if due else state

    def based(self, base: Base) -> State:
        """The state at the base's revision, lying on it. Raises `BaseRefused`."""
        held: dict[str, Holding] = opened(base)
        blank = replace(State.blank(self._tools), base=base.revision)
        return self._published(blank, held, base.revision)

    def _with(self, state: State, deltas: Mapping[str, _Delta], revision: int) -> State:
        changed = {
            name: self._held(state.holdings.get(name) or empty_holding(self._tools), delta)
            for name, delta in deltas.items()
        }
        return self._published(state, changed, revision)

    def _published(self, state: State, changed: Mapping[str, Holding], revision: int) -> State:
        views = {name: view.at(revision) for name, view in state.snapshot.views.items() if name not in changed}
        views |= {name: view_of(name, revision, holding, self._tools) for name, holding in changed.items()}
        holdings = {**state.holdings, **changed}
        expiry = min((at for holding in holdings.values() for at in holding.expiring.values()), default=None)
        return State(Snapshot(revision, views, self._tools), holdings, expiry, state.base)

    def _held(self, before: Holding, delta: _Delta) -> Holding:
        policies = {**before.policies, **delta.policies}
        held = replace(before, policies=policies)
        expiring, concepts = dict(before.expiring), dict(before.concepts)
        for known in (expiring, concepts):
            for entry_id in delta.removed:
                known.pop(entry_id, None)
        expiring |= {record.id: record.expires_at for record in delta.added if record.expires_at is not None}
        asked = {record.id: (record.kind, record.policy, record.label) for record in delta.added}
        imprints = [(record, imprint_of(record, self._sealer)) for record in delta.added]
        mentions = {record.id: imprint.mentions for record, imprint in imprints if record.kind is not Kind.CONCEPT}
        claims = {record.id: imprint.claims for record, imprint in imprints if imprint.claims is not None}
        concepts |= {record.id: concept for record, imprint in imprints if (concept := concept_of(imprint))}
        touched = bool(delta.removed or delta.added)
        return replace(
            held,
            by_entry=before.by_entry.changed(delta.removed, asked, policies),
            expiring=expiring,
            mentions=before.mentions.changed(delta.removed, mentions),
            claims=before.claims.changed(delta.removed, claims),
            concepts=concepts,
            tables=_tables(before.tables, delta.removed, imprints) if touched else before.tables,
            static=_static(before.static, delta.removed, imprints, self._key) if touched else before.static,
            openings=_openings(before.openings, delta.removed, imprints, self._key) if touched else before.openings,
            shingles=before.shingles.changed(delta.removed, list(_prints(imprints))) if touched else before.shingles,
            lengths=before.lengths.changed(delta.removed, _lengths(imprints)),
            named=before.named.changed(delta.removed, list(_names(imprints))) if touched else before.named,
        )


def _rows(
    form: Form, imprints: Sequence[tuple[EntryRecord, Imprint]], static: bytes = b""
) -> tuple[list[Row], list[Vectors]]:
    """The rows of one form, and their vectors by entry."""
    rows: list[Row] = []
    parts: list[Vectors] = []
    for record, imprint in imprints:
        mine = [i for i, mark in enumerate(imprint.marks) if mark.form is form]
        if static and imprint.static_hash != static:
            continue  # made without a static model, or by another one: such an entry is never cleared
        rows += [Row(record.id, record.kind, imprint.marks[i].counter) for i in mine]
        parts.append((imprint.static if static else imprint.vectors)[mine])
    return rows, parts


def _tables(
    before: Mapping[Form, VectorTable], removed: Collection[str], imprints: Sequence[tuple[EntryRecord, Imprint]]
) -> dict[Form, VectorTable]:
    tables: dict[Form, VectorTable] = {}
    for form, table in before.items():
        rows, parts = _rows(form, imprints)
        matrix = np.concatenate([np.zeros((0, table.dimensions), dtype=np.float32), *parts])
        first = not len(table) and not table.needs_compacting
        tables[form] = VectorTable.built(rows, matrix) if first else table.changed(removed, rows, matrix)
    return tables


def _static(
    before: Mapping[Form, StaticTable],
    removed: Collection[str],
    imprints: Sequence[tuple[EntryRecord, Imprint]],
    key: bytes,
) -> dict[Form, StaticTable]:
    tables: dict[Form, StaticTable] = {}
    for form, table in before.items():
        rows, parts = _rows(form, imprints, key)
        matrix = np.concatenate(parts) if parts else np.zeros((0, 0), dtype=np.float32)
        tables[form] = table.changed(removed, rows, matrix)
    return tables


def _openings(
    before: OpeningTable, removed: Collection[str], imprints: Sequence[tuple[EntryRecord, Imprint]], key: bytes
) -> OpeningTable:
    mine = [(record, imprint) for record, imprint in imprints if key and imprint.static_hash == key]
    return before.changed(removed, [Opened(record.id, i.openings, i.mentions.names) for record, i in mine])


def _prints(imprints: Sequence[tuple[EntryRecord, Imprint]]) -> Iterator[Print]:
    for record, imprint in imprints:
        for words in imprint.fingerprints:
            yield Print.of(record.id, record.kind, words)
        for letters in imprint.letters:
            yield Print.of(record.id, record.kind, letters)


def _names(imprints: Sequence[tuple[EntryRecord, Imprint]]) -> Iterator[Print]:
    for record, imprint in imprints:
        if record.kind is Kind.FACT:
            yield Print.of(record.id, record.kind, Fingerprint(1, frozenset(), frozenset(imprint.mentions.names)))


def _lengths(imprints: Sequence[tuple[EntryRecord, Imprint]]) -> dict[str, int]:
    """The words of each passage. Its grams are its words, pairs and triples: as many pairs as triples, and one."""
    found: dict[str, int] = {}
    for record, imprint in imprints:
        for known in imprint.fingerprints:
            rest = len(known.grams - imprint.mentions.words)
            found[record.id] = found.get(record.id, 0) + (rest + 1) // 2 + 1
    return found
