"""Metrics: declared once, with closed label sets, and fed from observations."""

from __future__ import annotations

import base64
import codecs
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from guard.cascade import Outcome, StageReport
from guard.policy import InContext
from guard.reading import readings
from guard.verdict import Action, Kind, Side
from server.metering import Meter
from server.metrics import DECLARATIONS, OTHER, Metrics, dress_of
from server.observation import (
    AddedLatency,
    DecisionObserved,
    Degraded,
    DegradedReason,
    FieldsDropped,
    InContextObserved,
    Observation,
    RequestObserved,
    RequestOutcome,
    RewriteObserved,
    RewriteOutcome,
    StagesObserved,
    StreamsChanged,
    UpstreamFailed,
    UpstreamReason,
    UpstreamTimes,
)

CONTRACT = {
    "lethe_requests_total",
    "lethe_suppressions_total",
    "lethe_shadow_suppressions_total",
    "lethe_rewrites_total",
    "lethe_labels_total",
    "lethe_leaked_characters",
    "lethe_held_characters",
    "lethe_added_latency_seconds",
    "lethe_stage_seconds",
    "lethe_stage_outcomes_total",
    "lethe_match_score",
    "lethe_index_entries",
    "lethe_index_revision",
    "lethe_index_apply_seconds",
    "lethe_replica_lag_revisions",
    "lethe_degraded_total",
    "lethe_upstream_seconds",
    "lethe_upstream_errors_total",
    "lethe_inflight_streams",
    "lethe_event_loop_lag_seconds",
    "lethe_dropped_fields_total",
    "lethe_in_context_total",
    "lethe_views_total",
}


def series(metrics: Metrics) -> dict[str, float]:
    lines = metrics.exposition().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def decision(**changes: Any) -> DecisionObserved:
    base: dict[str, Any] = {
        "request_id": "r",
        "namespace": "shop",
        "dialect": "chat",
        "side": Side.ANSWER,
        "action": Action.BLOCK,
        "kind": Kind.FACT,
        "stage": "embedding",
        "entry_id": "e",
        "score": 0.9,
        "threshold": 0.8,
        "revision": 1,
        "counted": True,
    }
    return DecisionObserved(**{**base, **changes})


def test_what_the_contract_names_is_declared() -> None:
    assert {d.name for d in DECLARATIONS} >= CONTRACT


@pytest.mark.parametrize("declared", DECLARATIONS, ids=lambda d: d.name)
def test_declarations_follow_the_naming_rules(declared: Any) -> None:
    assert re.fullmatch(r"lethe_[a-z_]+", declared.name)
    assert (declared.type == "counter") == declared.name.endswith("_total")
    assert (declared.type == "histogram") == bool(declared.buckets)
    for label, values in declared.labels.items():
        assert values is None or (values and all(re.fullmatch(r"[a-z0-9_]+", v) for v in values)), label


def test_only_declared_metrics_are_used_anywhere() -> None:
    declared = {d.name for d in DECLARATIONS}
    for path in (Path(__file__).parents[2] / "server").rglob("*.py"):
        for name in re.findall(r'"(lethe_[a-z_]+)"', path.read_text()):
            assert name in declared, f"{path} uses {name}"


def test_a_label_value_outside_its_set_is_counted_as_other() -> None:
    metrics = Metrics()
    metrics.count("lethe_requests_total", dialect="poetry", stream="true", outcome="allowed")
    assert series(metrics)[f'lethe_requests_total{{dialect="{OTHER}",outcome="allowed",stream="true"}}'] == 1


LABELS = 'kind="fact",namespace="shop",side="answer",stage="embedding"'


@pytest.mark.parametrize(
    ("seen", "name", "value"),
    [
        (decision(), f'lethe_suppressions_total{{action="block",{LABELS}}}', 1),
        (decision(shadow=True), f'lethe_shadow_suppressions_total{{action="block",{LABELS}}}', 1),
        (decision(action=Action.FLAG), f'lethe_shadow_suppressions_total{{action="flag",{LABELS}}}', 1),
        (decision(), 'lethe_views_total{view="plain"}', 1),
        (decision(view="base64+rot13"), 'lethe_views_total{view="base64"}', 1),
        (decision(view="rot13+spaced"), 'lethe_views_total{view="rot"}', 1),
        (decision(view="line acrostic letters"), 'lethe_views_total{view="line_acrostic"}', 1),
        (decision(counted=False, view="poetry"), f'lethe_views_total{{view="{OTHER}"}}', 1),
        (
            InContextObserved("r", "shop", Side.ANSWER, Kind.PASSAGE, "e", InContext.ALLOW),
            'lethe_in_context_total{kind="passage",namespace="shop",rule="allow"}',
            1,
        ),
        (Degraded("judge", DegradedReason.BUSY), 'lethe_degraded_total{reason="busy",stage="judge"}', 1),
        (
            RewriteObserved("regenerate", RewriteOutcome.VERIFIED, 1),
            'lethe_rewrites_total{outcome="verified",strategy="regenerate"}',
            1,
        ),
        (UpstreamFailed(UpstreamReason.IDLE), 'lethe_upstream_errors_total{reason="idle"}', 1),
        (FieldsDropped("chat", 3, ("x",)), 'lethe_dropped_fields_total{dialect="chat"}', 3),
        (StreamsChanged(+1), "lethe_inflight_streams", 1),
        (
            StagesObserved([StageReport("embedding", 0.01, {Outcome.CLEAR: 4})]),
            'lethe_stage_outcomes_total{outcome="clear",stage="embedding"}',
            4,
        ),
    ],
)
def test_an_observation_is_counted(seen: Observation, name: str, value: float) -> None:
    metrics = Metrics()
    Meter(metrics).observe(seen)
    assert series(metrics)[name] == value


@pytest.mark.parametrize("stage", ["fingerprint", "static", "embedding", "claims", "judge"])
def test_every_stage_has_a_name_of_its_own(stage: str) -> None:
    metrics = Metrics()
    Meter(metrics).observe(StagesObserved([StageReport(stage, 0.01, {Outcome.UNDECIDED: 2})]))
    found = series(metrics)
    assert found[f'lethe_stage_outcomes_total{{outcome="undecided",stage="{stage}"}}'] == 2
    assert found[f'lethe_stage_seconds_count{{stage="{stage}"}}'] == 1


SAID = "The keeper of the lamp at Orsk climbed the iron stair every night and counted the ships."


@pytest.mark.parametrize(
    "dressed",
    [
        base64.b64encode(SAID.encode()).decode(),
        base64.b32encode(SAID.encode()).decode(),
        base64.b85encode(SAID.encode()).decode(),
        SAID.encode().hex(),
        codecs.encode(SAID, "rot13"),
        SAID[::-1],
        " ".join(SAID),
        quote(quote(SAID, safe=""), safe=""),
        " ".join(f"{byte:08b}" for byte in SAID.encode()),
        SAID.replace("e", "3").replace("o", "0").replace("a", "4"),
    ],
)
def test_the_reading_of_a_dress_has_a_label_of_its_own(dressed: str) -> None:
    views = next(d for d in DECLARATIONS if d.name == "lethe_views_total").labels["view"]
    assert views is not None
    found = {dress_of(reading.view) for reading in readings(dressed)}
    assert found
    assert found <= set(views)


def test_what_the_user_supplied_is_no_suppression() -> None:
    metrics = Metrics()
    meter = Meter(metrics)
    meter.observe(InContextObserved("r", "shop", Side.ANSWER, Kind.FACT, "e", InContext.FLAG))
    meter.observe(decision(action=Action.FLAG, counted=False))
    found = series(metrics)
    assert found['lethe_in_context_total{kind="fact",namespace="shop",rule="flag"}'] == 1
    assert not any("suppressions_total{" in name for name in found)


def test_what_was_not_carried_out_is_not_counted() -> None:
    metrics = Metrics()
    meter = Meter(metrics)
    meter.observe(decision(counted=False))
    meter.observe(decision(action=Action.ALLOW))
    assert not any("suppressions_total{" in name for name in series(metrics))


def test_a_request_feeds_the_histograms() -> None:
    metrics = Metrics()
    seen = RequestObserved(
        request_id="r",
        namespace="shop",
        principal="k",
        dialect="chat",
        stream=True,
        outcome=RequestOutcome.BLOCKED,
        status=200,
        seconds=1.0,
        added=AddedLatency(0.02, 0.01, None),
        upstream=UpstreamTimes(0.1, 0.9),
        held=40,
        leaked=12,
        peaks={Kind.FACT: 0.91},
    )
    Meter(metrics).observe(seen)
    found = series(metrics)
    assert found['lethe_requests_total{dialect="chat",outcome="blocked",stream="true"}'] == 1
    assert found["lethe_held_characters_sum"] == 40
    assert found["lethe_leaked_characters_sum"] == 12
    assert found['lethe_match_score_count{kind="fact"}'] == 1
    assert found['lethe_added_latency_seconds_sum{phase="ttft"}'] == 0.01
    assert 'lethe_added_latency_seconds_sum{phase="inter_token"}' not in found
    assert found['lethe_upstream_seconds_sum{phase="first_byte"}'] == 0.1
