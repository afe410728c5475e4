"""The decision journal: batches, a bounded queue, a store that fails."""

from __future__ import annotations

from collections.abc import Sequence

from index.decisions import Decision
from index.errors import StoreUnavailable
from server.decision_journal import LONGEST_QUEUE, DecisionJournal
from server.metrics import Metrics
from tests.server.operators import until
from tests.server.test_metrics import decision, series


class Shelf:
    """Keeps decisions, or fails."""

    def __init__(self, broken: bool = False) -> None:
        self.kept: list[Decision] = []
        self.forgotten = 0
        self.broken = broken

    def add_decisions(self, batch: Sequence[Decision]) -> None:
        if self.broken:
            raise StoreUnavailable("no disk")
        self.kept.extend(batch)

    def forget_decisions(self, before: float) -> int:
        self.forgotten += 1
        return 0


async def test_decisions_reach_the_store_off_the_request_path() -> None:
    shelf, metrics = Shelf(), Metrics()
    journal = DecisionJournal(shelf, metrics, days=1)
    for number in range(3):
        journal.observe(decision(entry_id=f"e{number}"))
    await until(lambda: len(shelf.kept) == 3)
    assert [d.entry_id for d in shelf.kept] == ["e0", "e1", "e2"]
    assert len({d.id for d in shelf.kept}) == 3
    assert shelf.forgotten == 1
    await journal.close()


async def test_closing_writes_what_waits() -> None:
    shelf = Shelf()
    journal = DecisionJournal(shelf, Metrics(), days=1)
    journal.observe(decision())
    await journal.close()
    assert len(shelf.kept) == 1


async def test_more_than_the_queue_holds_is_dropped_and_counted() -> None:
    shelf, metrics = Shelf(), Metrics()
    journal = DecisionJournal(shelf, metrics, days=1)
    for _ in range(LONGEST_QUEUE + 5):
        journal.observe(decision())
    await journal.close()
    assert len(shelf.kept) == LONGEST_QUEUE
    assert series(metrics)["lethe_decisions_dropped_total"] == 5


async def test_a_store_that_fails_costs_decisions_and_no_requests() -> None:
    shelf, metrics = Shelf(broken=True), Metrics()
    journal = DecisionJournal(shelf, metrics, days=1)
    journal.observe(decision())
    await until(lambda: series(metrics)["lethe_decisions_dropped_total"] == 1)
    shelf.broken = False
    journal.observe(decision())
    await until(lambda: len(shelf.kept) == 1)
    await journal.close()
