"""The score journal: what counts as passing traffic, batches, a store that fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from guard.policy import InContext
from guard.verdict import Kind, Side
from index.errors import StoreUnavailable
from index.score_histogram import ScoreCount, ScoreFilter, bin_of, hour_of
from index.sqlite import SQLiteStore
from server import score_journal
from server.observation import InContextObserved, RequestObserved, RequestOutcome, StreamsChanged
from server.score_journal import MOST_COUNTS, ScoreJournal
from tests.server.operators import until

NOW = 1_800_000_000.0


class Shelf:
    """Counts scores, or fails."""

    def __init__(self, broken: bool = False) -> None:
        self.kept: Counter[tuple[Any, ...]] = Counter()
        self.before: list[float] = []
        self.broken = broken
        self.tried = 0

    def add_scores(self, counts: Sequence[ScoreCount]) -> None:
        self.tried += 1
        if self.broken:
            raise StoreUnavailable("no disk")
        for c in counts:
            assert (c.basis, c.hour) == ("basis", int(NOW // 3600))
            self.kept[(c.namespace, c.kind, c.side, c.bin)] += c.texts

    def forget_scores(self, before: float) -> int:
        self.before.append(before)
        return 0


def request(peaks: Mapping[Kind, float], outcome: RequestOutcome = RequestOutcome.ALLOWED, **more: Any) -> Any:
    fields = {"namespace": "ns", **more}
    return RequestObserved("r", principal="p", dialect="chat", stream=False, outcome=outcome, status=200, seconds=0.1,
                           peaks=peaks, **fields)  # fmt: skip


def journal(shelf: Shelf) -> ScoreJournal:
    return ScoreJournal(shelf, "basis", days=30, clock=lambda: NOW)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_journal, "WRITE_EVERY_S", 0.02)


async def test_scores_are_added_to_the_store_in_the_background() -> None:
    shelf = Shelf()
    seen = journal(shelf)
    for _ in range(3):
        seen.observe(request({Kind.FACT: 0.31, Kind.PASSAGE: 0.0}, prompt_peaks={Kind.FACT: 0.6}))
    seen.observe(request({Kind.FACT: 0.31}, RequestOutcome.FLAGGED, namespace="shop"))
    seen.observe(StreamsChanged(1))
    await until(lambda: shelf.kept)
    assert shelf.kept == {
        ("ns", Kind.FACT, Side.ANSWER, bin_of(0.31)): 3,
        ("ns", Kind.PASSAGE, Side.ANSWER, 0): 3,
        ("ns", Kind.FACT, Side.PROMPT, bin_of(0.6)): 3,
        ("shop", Kind.FACT, Side.ANSWER, bin_of(0.31)): 1,
    }
    await until(lambda: shelf.before == [NOW - 30 * 86_400])
    await seen.close()
    assert shelf.tried == 1


async def test_what_did_not_pass_is_no_sample_of_ordinary_text() -> None:
    shelf = Shelf()
    seen = journal(shelf)
    for outcome in set(RequestOutcome) - {RequestOutcome.ALLOWED, RequestOutcome.FLAGGED}:
        seen.observe(request({Kind.FACT: 0.9}, outcome, prompt_peaks={Kind.FACT: 0.9}))
    seen.observe(request({Kind.FACT: 1.0}, RequestOutcome.FLAGGED))  # an entry, word by word
    await seen.close()
    assert not shelf.kept


async def test_what_repeats_the_users_own_words_is_no_sample_either() -> None:
    shelf = Shelf()
    seen = journal(shelf)
    seen.observe(InContextObserved("r", "ns", Side.ANSWER, Kind.FACT, "ent_1", InContext.ALLOW))
    seen.observe(request({Kind.FACT: 0.95, Kind.PASSAGE: 0.2}, prompt_peaks={Kind.FACT: 0.3}))
    seen.observe(request({Kind.FACT: 0.2}))  # the next one
    await seen.close()
    assert shelf.kept == {
        ("ns", Kind.PASSAGE, Side.ANSWER, bin_of(0.2)): 1,
        ("ns", Kind.FACT, Side.PROMPT, bin_of(0.3)): 1,
        ("ns", Kind.FACT, Side.ANSWER, bin_of(0.2)): 1,
    }


async def test_a_store_that_is_down_costs_time_and_no_scores() -> None:
    shelf = Shelf(broken=True)
    seen = journal(shelf)
    seen.observe(request({Kind.FACT: 0.4}))
    await until(lambda: shelf.tried >= 2)
    shelf.broken = False
    seen.observe(request({Kind.FACT: 0.4}))
    await until(lambda: sum(shelf.kept.values()) == 2)
    await seen.close()
    assert sum(shelf.kept.values()) == 2


async def test_scores_reach_the_histograms_of_a_real_store(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "lethe.db")
    seen = ScoreJournal(store, "basis", days=30, clock=lambda: NOW)
    store.add_scores([ScoreCount("basis", "ns", Kind.FACT, Side.ANSWER, hour_of(NOW - 31 * 86_400), 5, 7)])
    for score in (0.31, 0.31, 0.77):
        seen.observe(request({Kind.FACT: score}))
    await seen.close()
    counts = store.score_sample(ScoreFilter("basis", "ns")).histograms[Kind.FACT].counts
    assert {b: n for b, n in enumerate(counts) if n} == {bin_of(0.31): 2, bin_of(0.77): 1}
    store.close()


async def test_what_waits_is_bounded() -> None:
    shelf = Shelf()
    seen = journal(shelf)
    for number in range(MOST_COUNTS + 5):
        seen.observe(request({Kind.FACT: 0.4}, namespace=f"n{number}"))
    seen.observe(request({Kind.FACT: 0.4}, namespace="n0"))  # a count that waits grows
    await seen.close()
    assert len(shelf.kept) == MOST_COUNTS
    assert sum(shelf.kept.values()) == MOST_COUNTS + 1
