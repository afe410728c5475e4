"""What one namespace holds: all that its entries are found by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from guard.claims import Claims
from guard.names import Mentions
from guard.policy import DEFAULT_POLICY, Policy, Rule
from index.concepts import Concept
from index.forms import Form
from index.shingles import ShingleTable
from index.static_stage import StaticTable
from index.tools import Tools
from index.vectors import VectorTable


@dataclass(frozen=True, slots=True)
class Holding:
    """What one namespace holds: its policies by name, its active entries, and the tables to find them by.

    `expiring` says when entries cease to be active, in epoch seconds; `mentions` what each fact names, hashed;
    `claims` what each fact claims, hashed; `concepts` are those that have a head; `static` are the tables of the static
    model, none when there is no such model.
    """

    tables: Mapping[Form, VectorTable]
    shingles: ShingleTable
    policies: Mapping[str, Policy] = field(default_factory=dict)
    by_entry: Mapping[str, Rule] = field(default_factory=dict)
    expiring: Mapping[str, float] = field(default_factory=dict)
    mentions: Mapping[str, Mentions[int]] = field(default_factory=dict)
    static: Mapping[Form, StaticTable] = field(default_factory=dict)
    claims: Mapping[str, Claims[int]] = field(default_factory=dict)
    concepts: Mapping[str, Concept] = field(default_factory=dict)

    @property
    def default(self) -> Policy:
        """The policy `default` exists from the start."""
        return self.policies.get(DEFAULT_POLICY) or Policy()

    @property
    def needs_compacting(self) -> bool:
        """True when a search would be quicker after `compacted`."""
        return self.shingles.needs_compacting or any(table.needs_compacting for table in self.tables.values())

    def compacted(self) -> Holding:
        """The same, folded into new bases. Takes time: never on the way of a request."""
        tables = {f: t.compacted() if t.needs_compacting else t for f, t in self.tables.items()}
        shingles = self.shingles.compacted() if self.shingles.needs_compacting else self.shingles
        return replace(self, tables=tables, shingles=shingles)


def empty_holding(tools: Tools) -> Holding:
    """A namespace that holds nothing."""
    static = {} if tools.static is None else {form: StaticTable() for form in Form}
    tables = {form: VectorTable(tools.embedder.dimensions) for form in Form}
    return Holding(tables, ShingleTable(), static=static)
