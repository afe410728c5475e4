"""Micro-batches: whatever waits is judged together, by cascade, off the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from guard.cascade import Cascade, Stage
from guard.detector import Evidence, Window
from guard.verdict import Kind
from server.batching import Batcher, BatchLimits, JudgeBroken, JudgeBusy, JudgeLate
from server.observation import StagesObserved
from tests.server.world import Notebook


class Gated:
    """Answers the position of each window when its gate is open; remembers the batches and the thread."""

    name = "gated"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches: list[int] = []
        self.threads: set[int] = set()
        self.broken = False

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
        self.batches.append(len(windows))
        self.threads.add(threading.get_ident())
        if self.broken:
            raise ZeroDivisionError
        self.gate.wait(5)
        return [[Evidence("e", Kind.FACT, 0.9, w.start, w.end)] for w in windows]


def windows(start: int, count: int) -> list[Window]:
    return [Window(f"w{n}", n, n + 1) for n in range(start, start + count)]


def cascade(detector: Gated) -> Cascade:
    return Cascade((Stage(detector, {Kind.FACT: 0.5}),))


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


def batcher(notebook: Notebook, **limits: float) -> Batcher:
    return Batcher(BatchLimits(**limits), notebook, time.perf_counter)  # type: ignore[arg-type]


async def test_what_waits_is_one_batch_and_everyone_gets_its_own_findings(notebook: Notebook) -> None:
    judge, detector = batcher(notebook), Gated()
    stages = cascade(detector)
    first = asyncio.ensure_future(judge.judge(stages, windows(0, 1)))
    while not detector.batches:
        await asyncio.sleep(0.001)
    rest = [asyncio.ensure_future(judge.judge(stages, windows(10 * n, n))) for n in range(1, 5)]
    await asyncio.sleep(0.01)
    detector.gate.set()
    answers = await asyncio.gather(first, *rest)
    assert detector.batches == [1, 10]
    for n, findings in enumerate(answers):
        starts = [finding.matches[0].start for finding in findings]
        assert starts == ([0] if n == 0 else list(range(10 * n, 11 * n)))
    assert threading.get_ident() not in detector.threads
    assert [sum(seen.reports[0].outcomes.values()) for seen in notebook.of(StagesObserved)] == [1, 10]
    judge.close()


async def test_cascades_are_not_mixed(notebook: Notebook) -> None:
    judge, one, two = batcher(notebook), Gated(), Gated()
    one.gate.set()
    two.gate.set()
    cascades = [cascade(one), cascade(two)]
    await asyncio.gather(*(judge.judge(cascades[n % 2], windows(0, 3)) for n in range(6)))
    assert sum(one.batches) == sum(two.batches) == 9
    judge.close()


async def test_a_batch_is_bounded(notebook: Notebook) -> None:
    judge, detector = batcher(notebook, largest_batch=4), Gated()
    stages = cascade(detector)
    calls = [asyncio.ensure_future(judge.judge(stages, windows(0, 3))) for _ in range(5)]
    await asyncio.sleep(0.01)
    detector.gate.set()
    await asyncio.gather(*calls)
    assert max(detector.batches) <= 4
    judge.close()


async def test_a_late_verdict_is_none_and_the_next_one_comes(notebook: Notebook) -> None:
    judge, detector = batcher(notebook, timeout_s=0.05), Gated()
    stages = cascade(detector)
    with pytest.raises(JudgeLate):
        await judge.judge(stages, windows(0, 1))
    detector.gate.set()
    assert len(await judge.judge(stages, windows(0, 2))) == 2
    judge.close()


async def test_a_full_queue_refuses(notebook: Notebook) -> None:
    judge, detector = batcher(notebook, longest_queue=2), Gated()
    stages = cascade(detector)
    first = asyncio.ensure_future(judge.judge(stages, windows(0, 1)))
    while not detector.batches:
        await asyncio.sleep(0.001)
    second = asyncio.ensure_future(judge.judge(stages, windows(0, 2)))
    await asyncio.sleep(0)
    with pytest.raises(JudgeBusy):
        await judge.judge(stages, windows(0, 1))
    detector.gate.set()
    await asyncio.gather(first, second)
    judge.close()


async def test_a_request_that_is_gone_is_not_judged(notebook: Notebook) -> None:
    judge, detector = batcher(notebook), Gated()
    stages = cascade(detector)
    first = asyncio.ensure_future(judge.judge(stages, windows(0, 1)))
    while not detector.batches:
        await asyncio.sleep(0.001)
    gone = asyncio.ensure_future(judge.judge(stages, windows(0, 7)))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    detector.gate.set()
    await first
    await judge.judge(stages, windows(0, 2))
    assert detector.batches == [1, 2]
    judge.close()


async def test_a_detector_that_breaks_its_contract_breaks_only_its_calls(notebook: Notebook) -> None:
    judge, bad, good = batcher(notebook), Gated(), Gated()
    bad.broken = True
    good.gate.set()
    with pytest.raises(JudgeBroken):
        await judge.judge(cascade(bad), windows(0, 1))
    assert len(await judge.judge(cascade(good), windows(0, 1))) == 1
    judge.close()


async def test_closing_answers_what_waits(notebook: Notebook) -> None:
    judge, detector = batcher(notebook), Gated()
    stages = cascade(detector)
    first = asyncio.ensure_future(judge.judge(stages, windows(0, 1)))
    while not detector.batches:
        await asyncio.sleep(0.001)
    second = asyncio.ensure_future(judge.judge(stages, windows(0, 1)))
    await asyncio.sleep(0)
    detector.gate.set()
    await asyncio.to_thread(judge.close)
    done = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(done[0], list)
    assert isinstance(done[1], (list, JudgeBroken))
    with pytest.raises(JudgeBroken):
        await judge.judge(stages, windows(0, 1))
