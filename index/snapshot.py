"""Snapshots: everything that traffic is judged by, immutable, at one revision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from guard.cascade import Cascade
from guard.detector import Watcher
from guard.fingerprint import FingerprintWatcher, Shingler
from guard.policy import FailureRule, Rules, Streaming
from guard.segments import WindowRule
from guard.verdict import Kind, Side
from index.holding import Holding, empty_holding
from index.shingles import ShingleTable
from index.staging import NOTHING, cascade_of
from index.tools import Tools

__all__ = ["NOTHING", "Snapshot", "Tools", "View", "view_of"]


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


def view_of(namespace: str, revision: int, holding: Holding, tools: Tools) -> View:
    """The view of what a namespace holds."""
    rules = Rules(revision, holding.by_entry, holding.default)
    # The strictest of thousands of rules is that of the few distinct ones.
    distinct = {(rule.policy.name, rule.kind): rule for rule in holding.by_entry.values()}
    few = Rules(revision, {rule.entry_id: rule for rule in distinct.values()}, holding.default)
    return View(
        namespace=namespace,
        revision=revision,
        rules=rules,
        answer=cascade_of(Side.ANSWER, namespace, holding, tools, rules),
        prompt=cascade_of(Side.PROMPT, namespace, holding, tools, rules),
        streaming=few.streaming,
        redaction=few.redaction,
        on_failure=few.on_failure,
        rule=tools.rule,
        counts=Counter(rule.kind for rule in holding.by_entry.values()),
        shingles=holding.shingles,
        shingler=tools.shingler,
    )
