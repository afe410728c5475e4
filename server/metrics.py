"""Every metric, declared once: name, unit, meaning, and for each label the closed set of its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from guard.cascade import Outcome
from guard.decoders.reading import LETTERED_SUFFIX
from guard.policy import InContext
from guard.verdict import PLAIN, Action, Kind, Side
from index.decisions import Label
from server.judges.judge import JudgeOutcome
from server.observation import DegradedReason, RequestOutcome, RewriteOutcome, UpstreamReason
from server.side_calls import NAMES as SIDE_CALL_NAMES

OTHER: Final = "other"
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_LAGS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_CHARACTERS: Final = (0, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
_SCORES: Final = (*(round(0.05 * n, 2) for n in range(1, 20)), 0.97, 0.99, 1.0)

# What the labels may say. None: names that an operator chose (namespaces).
_DIALECTS: Final = ("chat", "completions", "responses", "messages", "models", "litellm", "fms", *SIDE_CALL_NAMES)
_KINDS: Final = tuple(kind.value for kind in Kind)
_SIDES: Final = tuple(side.value for side in Side)
_ACTIONS: Final = tuple(action.label for action in Action)
_JUDGE_OUTCOMES: Final = tuple(outcome.value for outcome in JudgeOutcome)
_STAGES: Final = ("fingerprint", "static", "embedding", "claims", "judge", "index", "ledger")
_OUTCOMES: Final = tuple(outcome.value for outcome in Outcome)
_VIEWS: Final = (
    *(PLAIN, "alphabet_numbers", "ascii85", "atbash", "backslash_escapes", "base16", "base32", "base64", "base85"),
    *("binary", "camel_case", "decimal_codes", "html_entities", "interleaved", "interleaved_words", "last_word_first"),
    *("leet", "line_acrostic", "line_ends", "lines", "look_alikes", "morse", "narrow_column", "octal_codes"),
    *("pig_latin", "reversed", "rot", "sentence_acrostic", "spaced", "spelling_alphabet", "tag_characters"),
    *("url_escapes", "variation_selectors", "without_latex", "without_marks", "without_underlining", "word_acrostic"),
    *("z85", "zero_width_bits"),
)
_FAMILIES: Final = ("leet", "rot")  # whose views differ in a number or letter
_REQUEST_OUTCOMES: Final = tuple(outcome.value for outcome in RequestOutcome)

Values = tuple[str, ...] | None


class Across(StrEnum):
    """What the workers of a server make of a metric together."""

    SUM = "sum"
    LEAST = "least"
    MOST = "most"


@dataclass(frozen=True, slots=True)
class Declaration:
    """One metric. `labels` maps each label to its closed set of values, or None for names that operators chose."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Mapping[str, Values] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()
    across: Across = Across.SUM  # counters and histograms are always added up


@dataclass(frozen=True, slots=True)
class Sample:
    """One series as it stands: counters and gauges by name, histograms as `…_bucket`, `…_sum` and `…_count`."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


_SUPPRESSED: Final[Mapping[str, Values]] = {
    "namespace": None,
    "kind": _KINDS,
    "side": _SIDES,
    "stage": _STAGES,
    "action": _ACTIONS,
}

DECLARATIONS: Final = (
    Declaration(
        "lethe_requests_total",
        "counter",
        "requests of applications",
        {"dialect": _DIALECTS, "stream": ("true", "false"), "outcome": _REQUEST_OUTCOMES},
    ),
    Declaration("lethe_suppressions_total", "counter", "texts that were suppressed", _SUPPRESSED),
    Declaration(
        "lethe_shadow_suppressions_total", "counter", "what shadow policies would have suppressed", _SUPPRESSED
    ),
    Declaration(
        "lethe_in_context_total",
        "counter",
        "entries that a text repeated in the user's own words, per request and side, and the rule that let it pass",
        {"namespace": None, "kind": _KINDS, "rule": tuple(rule.value for rule in InContext)},
    ),
    Declaration(
        "lethe_views_total", "counter", "matches by the reading of the text they were found in", {"view": _VIEWS}
    ),
    Declaration(
        "lethe_rewrites_total",
        "counter",
        "rewrites tried",
        {"strategy": ("continue", "regenerate"), "outcome": tuple(outcome.value for outcome in RewriteOutcome)},
    ),
    Declaration(
        "lethe_judge_calls_total",
        "counter",
        "questions to the judge model by how they ended",
        {"outcome": _JUDGE_OUTCOMES},
    ),
    Declaration(
        "lethe_labels_total",
        "counter",
        "decisions that operators labelled",
        {"label": tuple(label.value for label in Label)},
    ),
    Declaration(
        "lethe_leaked_characters",
        "histogram",
        "characters released before they were condemned, per stopped stream",
        buckets=_CHARACTERS,
    ),
    Declaration("lethe_held_characters", "histogram", "most characters held back, per stream", buckets=_CHARACTERS),
    Declaration(
        "lethe_added_latency_seconds",
        "histogram",
        "time that the guard added",
        {"phase": ("ttft", "inter_token", "total")},
        _SECONDS,
    ),
    Declaration("lethe_stage_seconds", "histogram", "time of one batch in a stage", {"stage": _STAGES}, _SECONDS),
    Declaration(
        "lethe_stage_outcomes_total",
        "counter",
        "windows by what a stage concluded",
        {"stage": _STAGES, "outcome": _OUTCOMES},
    ),
    Declaration(
        "lethe_match_score", "histogram", "highest score per judged text, passes included", {"kind": _KINDS}, _SCORES
    ),
    Declaration(
        "lethe_index_entries",
        "gauge",
        "entries that are served",
        {"namespace": None, "kind": _KINDS},
        across=Across.MOST,
    ),
    Declaration("lethe_index_revision", "gauge", "revision that every worker serves", across=Across.LEAST),
    Declaration("lethe_index_apply_seconds", "histogram", "from a write to serving it", buckets=_SECONDS),
    Declaration(
        "lethe_replica_lag_revisions",
        "gauge",
        "revisions that the slowest live replica is behind",
        across=Across.MOST,
    ),
    Declaration(
        "lethe_degraded_total",
        "counter",
        "texts that a stage could not judge",
        {"stage": _STAGES, "reason": tuple(reason.value for reason in DegradedReason)},
    ),
    Declaration(
        "lethe_upstream_seconds",
        "histogram",
        "time of the model server",
        {"phase": ("first_byte", "total")},
        _SECONDS,
    ),
    Declaration(
        "lethe_upstream_errors_total",
        "counter",
        "failed upstream calls",
        {"reason": tuple(reason.value for reason in UpstreamReason)},
    ),
    Declaration("lethe_inflight_streams", "gauge", "streams that are open now"),
    Declaration(
        "lethe_event_loop_lag_seconds", "histogram", "how late what is ready to run gets its turn", buckets=_LAGS
    ),
    Declaration("lethe_worker_restarts_total", "counter", "workers that ended by themselves and were started again"),
    Declaration(
        "lethe_dropped_fields_total", "counter", "unknown fields that were not passed on", {"dialect": _DIALECTS}
    ),
    Declaration(
        "lethe_decisions_dropped_total", "counter", "decisions that were not recorded because the store was too slow"
    ),
)


def dress_of(view: str) -> str:
    """The label of the reading that a view names: its outermost dress."""
    outer = view.partition("+")[0].removesuffix(LETTERED_SUFFIX).replace(" ", "_").replace("-", "_")
    return next((family for family in _FAMILIES if outer.startswith(family)), outer)


class Metrics:
    """All declared metrics in a registry of their own. A label value outside its closed set is counted as `other`."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per metric that nobody asks for
        self._registry = CollectorRegistry()
        self._declared = {d.name: d for d in DECLARATIONS}
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for d in DECLARATIONS:
            names = tuple(d.labels)
            if d.type == "counter":
                self._counters[d.name] = Counter(d.name, d.help, names, registry=self._registry)
            elif d.type == "gauge":
                self._gauges[d.name] = Gauge(d.name, d.help, names, registry=self._registry)
            else:
                self._histograms[d.name] = Histogram(d.name, d.help, names, registry=self._registry, buckets=d.buckets)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        metric = self._counters[name]
        (metric.labels(**self._closed(name, labels)) if labels else metric).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        metric = self._gauges[name]
        (metric.labels(**self._closed(name, labels)) if labels else metric).set(value)

    def add(self, name: str, amount: float) -> None:
        """Move a gauge without labels up or down."""
        self._gauges[name].inc(amount)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """One more observation of a histogram."""
        metric = self._histograms[name]
        (metric.labels(**self._closed(name, labels)) if labels else metric).observe(value)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._registry)

    def samples(self) -> list[Sample]:
        """Every series as it stands, for whoever adds up several processes."""
        return [
            Sample(sample.name, tuple(sample.labels.items()), sample.value)
            for family in self._registry.collect()
            for sample in family.samples
        ]

    def _closed(self, name: str, labels: Mapping[str, str]) -> dict[str, str]:
        allowed = self._declared[name].labels
        return {
            label: value if (values := allowed[label]) is None or value in values else OTHER
            for label, value in labels.items()
        }
