"""Snapshots: everything that traffic is judged by, immutable, at one revision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from guard.cascade import Cascade, Stage
from guard.detector import Watcher
from guard.fingerprint import FingerprintDetector, FingerprintWatcher, Shingler
from guard.names import Mentions
from guard.policy import DEFAULT_POLICY, FailureRule, Policy, Rule, Rules, Streaming
from guard.segments import DEFAULT_RULE, WindowRule
from guard.verdict import Action, Kind, Match, Side
from index.embedder import Embedder
from index.embedding import EmbeddingDetector, Known
from index.forms import ANSWER_FORMS, PROMPT_FORMS, Form
from index.matching import Scale
from index.shingles import ShingleTable
from index.vectors import VectorTable

NOTHING: Final = Cascade(())
"""Judges by nothing: the cascade of a namespace without entries."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every view is built with."""

    embedder: Embedder
    shingler: Shingler
    thresholds: Mapping[Kind, float]
    rule: WindowRule = DEFAULT_RULE


@dataclass(frozen=True, slots=True)
class Holding:
    """What one namespace holds: its policies by name, its active entries, and the tables to find them by.

    `expiring` says when entries cease to be active, in epoch seconds; `mentions` what each entry names, hashed.
    """

    tables: Mapping[Form, VectorTable]
    shingles: ShingleTable
    policies: Mapping[str, Policy] = field(default_factory=dict)
    by_entry: Mapping[str, Rule] = field(default_factory=dict)
    expiring: Mapping[str, float] = field(default_factory=dict)
    mentions: Mapping[str, Mentions[int]] = field(default_factory=dict)

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


@dataclass(frozen=True, slots=True)
class View:
    """One namespace as a request sees it.

    `answer` judges windows of an answer (fingerprints run as the stream's watcher), `prompt` windows of a prompt.
    `streaming` and `on_failure` are the strictest that an active entry asks for.
    """

    namespace: str
    revision: int
    rules: Rules
    answer: Cascade
    prompt: Cascade
    streaming: Streaming
    redaction: str
    on_failure: FailureRule
    rule: WindowRule
    counts: Mapping[Kind, int]
    shingles: ShingleTable
    shingler: Shingler

    @property
    def empty(self) -> bool:
        """True when there is nothing to look for."""
        return not self.rules.by_entry

    def watcher(self) -> Watcher:
        """A new watcher for one channel."""
        return FingerprintWatcher(self.shingles, self.shingler)

    def at(self, revision: int) -> View:
        """The same view at a later revision that changed nothing here; its cascades stay the same objects."""
        return replace(self, revision=revision, rules=replace(self.rules, revision=revision))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All namespaces at one revision. A request takes the current one once and uses it to its end."""

    revision: int
    views: Mapping[str, View]
    tools: Tools

    def view(self, namespace: str) -> View:
        """The view of a namespace; one that holds nothing has an empty view with the default policy."""
        found = self.views.get(namespace)
        return found or view_of(namespace, self.revision, empty_holding(self.tools), self.tools)

    def counts(self) -> dict[tuple[str, Kind], int]:
        """Active entries per namespace and kind, zeros included."""
        return {(name, kind): view.counts.get(kind, 0) for name, view in self.views.items() for kind in Kind}


def empty_holding(tools: Tools) -> Holding:
    """A namespace that holds nothing."""
    return Holding({form: VectorTable(tools.embedder.dimensions) for form in Form}, ShingleTable())


def view_of(namespace: str, revision: int, holding: Holding, tools: Tools) -> View:
    """The view of what a namespace holds."""
    rules = Rules(revision, holding.by_entry, holding.default)
    # The strictest of thousands of rules is that of the few distinct ones.
    distinct = {(rule.policy.name, rule.kind): rule for rule in holding.by_entry.values()}
    few = Rules(revision, {rule.entry_id: rule for rule in distinct.values()}, holding.default)
    policies = [rule.policy for rule in distinct.values()]
    answer = _stages(holding, tools, policies, ANSWER_FORMS)
    prompt = _stages(holding, tools, policies, PROMPT_FORMS)
    prints = FingerprintDetector(holding.shingles, tools.shingler)
    certain = dict.fromkeys(Kind, 1.0)
    first = (Stage(prints, convict_at=certain),) if holding.shingles.lengths else ()
    return View(
        namespace=namespace,
        revision=revision,
        rules=rules,
        answer=Cascade(answer, _sure(rules, Side.ANSWER)) if answer else NOTHING,
        prompt=Cascade((*first, *prompt), _sure(rules, Side.PROMPT)) if first or prompt else NOTHING,
        streaming=few.streaming,
        redaction=few.redaction,
        on_failure=few.on_failure,
        rule=tools.rule,
        counts=Counter(rule.kind for rule in holding.by_entry.values()),
        shingles=holding.shingles,
        shingler=tools.shingler,
    )


def _sure(rules: Rules, side: Side) -> Callable[[Match], bool]:
    """Only a match that blocks is enough: no later one can ask for more."""
    return lambda match: rules.decide((match,), side).action is Action.BLOCK


def _stages(holding: Holding, tools: Tools, policies: list[Policy], forms: Sequence[Form]) -> tuple[Stage, ...]:
    tables = {form: holding.tables[form] for form in forms}
    if not any(len(table) for table in tables.values()):
        return ()
    scale = Scale.of(tools.thresholds, policies)
    known = Known(tables, holding.by_entry, holding.mentions)
    detector = EmbeddingDetector(tools.embedder, known, scale, tools.shingler)
    return (Stage(detector, convict_at=scale.convict_at, clear_below=scale.convict_at),)
