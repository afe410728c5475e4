"""The page of all workers: added up, nothing counted twice, and a counter never falls."""

from __future__ import annotations

from server.metrics import DECLARATIONS, Across, Metrics
from server.workers.totals import Totals

ASKED = {"dialect": "chat", "stream": "false", "outcome": "allowed"}
REQUESTS = "lethe_requests_total"


def worker(requests: int = 0, streams: int = 0, revision: int = 0) -> Metrics:
    """A worker that has counted this."""
    metrics = Metrics()
    if requests:
        metrics.count(REQUESTS, requests, **ASKED)
    metrics.add("lethe_inflight_streams", streams)
    metrics.set("lethe_index_revision", revision)
    return metrics


def page(totals: Totals) -> dict[str, float]:
    """The page as series."""
    lines = [line for line in totals.exposition().decode().splitlines() if not line.startswith("#")]
    found = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
    assert len(found) == len(lines), "a series is there twice"
    return found


def test_one_worker_alone_has_the_page_that_it_would_write_itself() -> None:
    metrics = worker(3, 2, 7)
    metrics.observe("lethe_stage_seconds", 0.02, stage="static")
    metrics.observe("lethe_held_characters", 12)
    totals = Totals()
    totals.told(1, metrics.samples())
    assert totals.exposition() == metrics.exposition()


def test_counters_and_histograms_are_added_and_gauges_follow_their_own_rule() -> None:
    totals = Totals()
    for number, metrics in enumerate((worker(3, 2, 7), worker(4, 1, 9)), start=1):
        metrics.observe("lethe_stage_seconds", 0.02 * number, stage="static")
        metrics.set("lethe_index_entries", 10 * number, namespace="n", kind="fact")
        totals.told(number, metrics.samples())
    found = page(totals)
    assert found['lethe_requests_total{dialect="chat",outcome="allowed",stream="false"}'] == 7
    assert found['lethe_stage_seconds_count{stage="static"}'] == 2
    assert found['lethe_stage_seconds_bucket{le="0.025",stage="static"}'] == 1
    assert found['lethe_stage_seconds_bucket{le="+Inf",stage="static"}'] == 2
    assert found['lethe_index_entries{kind="fact",namespace="n"}'] == 20
    assert (found["lethe_inflight_streams"], found["lethe_index_revision"]) == (3, 7)


def test_telling_again_replaces_and_an_end_keeps_what_was_counted() -> None:
    totals = Totals()
    totals.told(1, worker(3, 2).samples())
    totals.told(1, worker(5, 1).samples())
    totals.told(2, worker(10).samples())
    assert totals.value(REQUESTS, **ASKED) == 15
    totals.ended(1)
    assert totals.value(REQUESTS, **ASKED) == 15
    assert totals.value("lethe_inflight_streams") == 0
    totals.told(1, worker(1).samples())
    assert totals.value(REQUESTS, **ASKED) == 16
    totals.ended(1)
    totals.ended(1)
    assert totals.value(REQUESTS, **ASKED) == 16


def test_every_gauge_that_is_not_a_count_of_things_has_a_rule() -> None:
    """What several workers all have, such as the index, must not be added up."""
    added = {d.name for d in DECLARATIONS if d.type == "gauge" and d.across is Across.SUM}
    assert added == {"lethe_inflight_streams"}
