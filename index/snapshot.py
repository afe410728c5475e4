"""Snapshots: everything that traffic is judged by, immutable, at one revision."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from guard.cascade import Cascade
from guard.detector import Watcher
from guard.fingerprint import FingerprintWatcher, Shingler
from guard.glance import Glance
from guard.policy import Adaptive, FailureRule, Rules, Streaming
from guard.segments import WindowRule
from guard.units import UnitTable
from guard.verdict import Kind, Side
from index.glance import StaticGlance, word_vectors
from index.holding import Holding, empty_holding
from index.openings import OpeningTable
from index.shingles import ShingleTable
from index.staging import NOTHING, cascade_of, glancing
from index.static import StaticModel
from index.tools import Tools
from index.units import EntryUnits

__all__ = ["NOTHING", "Snapshot", "Tools", "View", "view_of"]


@dataclass(frozen=True, slots=True)
class View:
    """One namespace as a request sees it.

    `answer` judges windows of an answer (fingerprints run as the stream's watcher), `prompt` windows of a prompt.
    `streaming`, `adaptive` and `on_failure` are the strictest that an active entry asks for.
    """

    namespace: str
    revision: int
    rules: Rules
    answer: Cascade
    prompt: Cascade
    streaming: Streaming
    adaptive: Adaptive
    redaction: str
    on_failure: FailureRule
    rule: WindowRule
    counts: Mapping[Kind, int]
    shingles: ShingleTable
    shingler: Shingler
    openings: OpeningTable = field(default_factory=OpeningTable)
    model: StaticModel | None = None  # whose vectors the openings are, where it has a say
    units: UnitTable | None = None  # None where no entry is counted in the ledger

    @property
    def kinds(self) -> Collection[Kind]:
        """The kinds of which there are active entries."""
        return self.counts.keys()

    @property
    def empty(self) -> bool:
        """True when there is nothing to look for."""
        return not self.rules.by_entry

    def watcher(self) -> Watcher:
        """A new watcher for one channel."""
        return FingerprintWatcher(self.shingles, self.shingler)

    def glance(self) -> Glance | None:
        """A new glance for one channel. None where it cannot speak for every entry: an unfinished sentence must then be
        judged by all stages."""
        if self.model is None or len(self.openings) < len(self.rules.by_entry):
            return None
        return StaticGlance(word_vectors(self.model, self.shingler), self.openings, self.adaptive.hold_above)

    def at(self, revision: int) -> View:
        """The same view at a later revision that changed nothing here; its cascades stay the same objects."""
        return replace(self, revision=revision, rules=replace(self.rules, revision=revision))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All namespaces at one revision. A request takes the current one once and uses it to its end."""

    revision: int
    views: Mapping[str, View]
    tools: Tools
    nothing: dict[str, View] = field(default_factory=dict, repr=False, compare=False)  # empty views asked for so far

    def view(self, namespace: str) -> View:
        """The view of a namespace; one that holds nothing has an empty view with the default policy."""
        found = self.views.get(namespace) or self.nothing.get(namespace)
        if found is None:
            found = view_of(namespace, self.revision, empty_holding(self.tools), self.tools)
            self.nothing[namespace] = found  # as few as there are keys, and made again with the next revision
        return found

    def counts(self) -> dict[tuple[str, Kind], int]:
        """Active entries per namespace and kind, zeros included."""
        return {(name, kind): view.counts.get(kind, 0) for name, view in self.views.items() for kind in Kind}


def view_of(namespace: str, revision: int, holding: Holding, tools: Tools) -> View:
    """The view of what a namespace holds."""
    rules = Rules(revision, holding.by_entry, holding.default)
    # The strictest of thousands of rules is that of the few distinct ones.
    few = Rules(revision, {str(i): rule for i, rule in enumerate(holding.by_entry.few)}, holding.default)
    counted = any(rule.policy.ledger.share < 1.0 for rule in few.by_entry.values())
    return View(
        namespace=namespace,
        revision=revision,
        rules=rules,
        answer=cascade_of(Side.ANSWER, namespace, holding, tools, rules),
        prompt=cascade_of(Side.PROMPT, namespace, holding, tools, rules),
        streaming=few.streaming,
        adaptive=few.adaptive,
        redaction=few.redaction,
        on_failure=few.on_failure,
        rule=tools.rule,
        counts=holding.by_entry.counts,
        shingles=holding.shingles,
        shingler=tools.shingler,
        openings=holding.openings,
        model=glancing(holding, tools),
        units=EntryUnits(holding, tools.shingler) if counted else None,
    )
