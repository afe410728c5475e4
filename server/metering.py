"""From observations to metrics."""

from __future__ import annotations

from collections.abc import Sequence

from guard.verdict import Action
from index.records import Replica
from index.snapshot import Snapshot
from server.metrics import Metrics, dress_of
from server.observation import (
    DecisionObserved,
    Degraded,
    FieldsDropped,
    InContextObserved,
    Observation,
    RequestObserved,
    RewriteObserved,
    StagesObserved,
    StreamsChanged,
    UpstreamFailed,
)


class Meter:
    """An observer that feeds the metrics, from traffic and from the index."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def observe(self, seen: Observation) -> None:
        """Count one observation."""
        metrics = self._metrics
        match seen:
            case RequestObserved():
                self._request(seen)
            case DecisionObserved():
                self._decision(seen)
            case InContextObserved():
                kind, rule = seen.kind.value, seen.rule.value
                metrics.count("lethe_in_context_total", namespace=seen.namespace, kind=kind, rule=rule)
            case StagesObserved():
                self._stages(seen)
            case Degraded():
                metrics.count("lethe_degraded_total", stage=seen.stage, reason=seen.reason.value)
            case RewriteObserved():
                metrics.count("lethe_rewrites_total", strategy=seen.strategy, outcome=seen.outcome.value)
            case UpstreamFailed():
                metrics.count("lethe_upstream_errors_total", reason=seen.reason.value)
            case FieldsDropped():
                metrics.count("lethe_dropped_fields_total", seen.count, dialect=seen.dialect)
            case StreamsChanged():
                metrics.add("lethe_inflight_streams", seen.change)

    def applied(self, snapshot: Snapshot, seconds: float) -> None:
        """A write is served now, `seconds` after it was committed. May be called from any thread."""
        self._metrics.observe("lethe_index_apply_seconds", seconds)
        self.serving(snapshot)

    def serving(self, snapshot: Snapshot) -> None:
        """What is served."""
        self._metrics.set("lethe_index_revision", snapshot.revision)
        for (namespace, kind), count in snapshot.counts().items():
            self._metrics.set("lethe_index_entries", count, namespace=namespace, kind=kind.value)

    def replicas(self, replicas: Sequence[Replica], revision: int) -> None:
        """How far the slowest of these replicas is behind."""
        self._metrics.set("lethe_replica_lag_revisions", max((revision - r.revision for r in replicas), default=0))

    def _request(self, seen: RequestObserved) -> None:
        metrics = self._metrics
        stream = "true" if seen.stream else "false"
        metrics.count("lethe_requests_total", dialect=seen.dialect, stream=stream, outcome=seen.outcome.value)
        if seen.stream:
            metrics.observe("lethe_held_characters", seen.held)
        if seen.leaked is not None:
            metrics.observe("lethe_leaked_characters", seen.leaked)
        for kind, score in seen.peaks.items():
            metrics.observe("lethe_match_score", score, kind=kind.value)
        if seen.added is not None:
            phases = (("ttft", seen.added.ttft), ("inter_token", seen.added.inter_token), ("total", seen.added.total))
            for phase, seconds in phases:
                if seconds is not None:
                    metrics.observe("lethe_added_latency_seconds", max(0.0, seconds), phase=phase)
        for phase, seconds in (("first_byte", seen.upstream.first_byte), ("total", seen.upstream.total)):
            if seconds is not None:
                metrics.observe("lethe_upstream_seconds", seconds, phase=phase)

    def _decision(self, seen: DecisionObserved) -> None:
        self._metrics.count("lethe_views_total", view=dress_of(seen.view))
        if not seen.counted or seen.action is Action.ALLOW:
            return
        shadow = seen.shadow or seen.action is Action.FLAG  # a flag suppresses nothing
        name = "lethe_shadow_suppressions_total" if shadow else "lethe_suppressions_total"
        self._metrics.count(
            name,
            namespace=seen.namespace,
            kind=seen.kind.value,
            side=seen.side.value,
            stage=seen.stage,
            action=seen.action.label,
        )

    def _stages(self, seen: StagesObserved) -> None:
        for report in seen.reports:
            self._metrics.observe("lethe_stage_seconds", report.seconds, stage=report.stage)
            for outcome, count in report.outcomes.items():
                self._metrics.count("lethe_stage_outcomes_total", count, stage=report.stage, outcome=outcome.value)
