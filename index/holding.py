"""What one namespace holds: all that its entries are found by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from guard.claims import Claims
from guard.names import Mentions
from guard.policy import DEFAULT_POLICY, Policy
from index import claims as claim_bytes
from index import mentioned as mention_bytes
from index.concepts import Concept
from index.forms import Form
from index.layered import SMALLEST_FRESH, Codec, Layered
from index.openings import OpeningTable
from index.rulebook import RuleBook
from index.shingles import ShingleTable
from index.static_table import StaticTable
from index.tools import Tools
from index.vectors import VectorTable

_MENTIONS: Final = Codec(mention_bytes.to_bytes, mention_bytes.from_bytes)
_CLAIMS: Final = Codec(claim_bytes.to_bytes, claim_bytes.from_bytes)


def _length_to_bytes(length: int) -> bytes:
    return length.to_bytes(8, "little")


def _length_from_bytes(data: bytes) -> int:
    return int.from_bytes(data, "little")


_LENGTHS: Final = Codec(_length_to_bytes, _length_from_bytes)

_STALE: Final = 8
"""A base is made anew when one in this many of its entries was changed since."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one namespace holds: its policies by name, its active entries, and the tables to find them by.

    `expiring` says when entries cease to be active, in epoch seconds; `mentions` what each fact names, hashed;
    `claims` what each fact claims, hashed; `concepts` are those that have a head; `static` are the tables of the static
    model, none when there is no such model; `openings` how statements begin, by the same model;
    `named` the names of facts, as grams; `lengths` how many words each passage has, about.
    """

    tables: Mapping[Form, VectorTable]
    shingles: ShingleTable
    policies: Mapping[str, Policy] = field(default_factory=dict)
    by_entry: RuleBook = field(default_factory=RuleBook)
    expiring: Mapping[str, float] = field(default_factory=dict)
    mentions: Layered[Mentions[int]] = field(default_factory=lambda: Layered(_MENTIONS))
    static: Mapping[Form, StaticTable] = field(default_factory=dict)
    claims: Layered[Claims[int]] = field(default_factory=lambda: Layered(_CLAIMS))
    concepts: Mapping[str, Concept] = field(default_factory=dict)
    openings: OpeningTable = field(default_factory=OpeningTable)
    named: ShingleTable = field(default_factory=ShingleTable)
    lengths: Layered[int] = field(default_factory=lambda: Layered(_LENGTHS))

    @property
    def default(self) -> Policy:
        """The policy `default` exists from the start."""
        return self.policies.get(DEFAULT_POLICY) or Policy()

    @property
    def needs_compacting(self) -> bool:
        """True when a search would be quicker after `compacted`."""
        texts = self.shingles.needs_compacting or self.named.needs_compacting
        return texts or any(table.needs_compacting for table in self.tables.values())

    def compacted(self) -> Holding:
        """The same, folded into new bases. Takes time: never on the way of a request."""
        tables = {f: t.compacted() if t.needs_compacting else t for f, t in self.tables.items()}
        shingles = self.shingles.compacted() if self.shingles.needs_compacting else self.shingles
        named = self.named.compacted() if self.named.needs_compacting else self.named
        return replace(self, tables=tables, shingles=shingles, named=named)

    @property
    def large(self) -> bool:
        """True when it belongs into a base that processes share: it is folded in the background only."""
        return any(table.needs_folding or not table.exact for table in self.tables.values())

    @property
    def needs_folding(self) -> bool:
        """True when it is large, and `folded` would make a difference worth its time."""
        many = max(SMALLEST_FRESH, len(self.by_entry) // _STALE)
        fresh = self.by_entry.fresh > many and not all(table.exact for table in self.tables.values())
        return self.large and (fresh or self.needs_compacting or any(t.needs_folding for t in self.tables.values()))

    def folded(self) -> Holding:
        """The same in few large arrays, fit for a base. Takes minutes for a million vectors."""
        return replace(
            self,
            tables={form: table.folded() for form, table in self.tables.items()},
            shingles=self.shingles.compacted(),
            named=self.named.compacted(),
            by_entry=self.by_entry.packed(),
            mentions=self.mentions.packed(),
            claims=self.claims.packed(),
            lengths=self.lengths.packed(),
        )


def empty_holding(tools: Tools) -> Holding:
    """A namespace that holds nothing."""
    static = {} if tools.static is None else {form: StaticTable() for form in Form}
    tables = {form: VectorTable(tools.embedder.dimensions) for form in Form}
    return Holding(tables, ShingleTable(), static=static)
