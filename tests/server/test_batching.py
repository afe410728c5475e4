"""Micro-batches: whatever waits is judged together, by cascade, off the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from guard.cascade import Cascade, Finding, Outcome, Review, Stage
from guard.detector import Evidence, Suspect, Window
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


async def test_while_others_wait_nobody_new_is_admitted_and_those_who_wait_are_judged(notebook: Notebook) -> None:
    judge, detector = batcher(notebook, longest_wait_s=0.05), Gated()
    stages = cascade(detector)
    judge.admit()
    first = asyncio.ensure_future(judge.judge(stages, windows(0, 1)))
    while not detector.batches:
        await asyncio.sleep(0.001)
    second = asyncio.ensure_future(judge.judge(stages, windows(0, 2)))
    await asyncio.sleep(0.1)
    with pytest.raises(JudgeBusy) as busy:
        judge.admit()
    assert busy.value.retry_after_s == 1
    third = asyncio.ensure_future(judge.judge(stages, windows(0, 500)))
    detector.gate.set()
    assert [len(found) for found in await asyncio.gather(first, second, third)] == [1, 2, 500]
    judge.admit()
    judge.close()


async def test_how_long_one_would_wait_follows_from_what_waits_and_how_long_it_takes(notebook: Notebook) -> None:
    class Ticking:
        """Says that every window takes a second."""

        name = "ticking"

        def __init__(self) -> None:
            self.now = 0.0
            self.gate = threading.Semaphore(1)
            self.asked = 0

        def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
            self.asked += 1
            assert self.gate.acquire(timeout=5)
            self.now += len(windows)
            return [()] * len(windows)

    detector = Ticking()
    judge = Batcher(BatchLimits(largest_batch=1, longest_wait_s=2.5), notebook, lambda: detector.now)
    stages = Cascade((Stage(detector, {Kind.FACT: 0.5}),))
    await judge.judge(stages, windows(0, 1))
    calls = [asyncio.ensure_future(judge.judge(stages, windows(0, 1))) for _ in range(2)]
    while detector.asked < 2:
        await asyncio.sleep(0.001)
    judge.admit()
    calls += [asyncio.ensure_future(judge.judge(stages, windows(0, 1))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(JudgeBusy) as busy:
        judge.admit()
    assert busy.value.retry_after_s == 4
    detector.gate.release(4)
    await asyncio.gather(*calls)
    judge.close()


async def test_a_stream_does_not_wait_for_the_whole_of_a_long_text(notebook: Notebook) -> None:
    judge, gated = batcher(notebook, largest_batch=4), Gated()
    stages, order = cascade(gated), list[str]()
    first = asyncio.ensure_future(judge.judge(stages, windows(0, 1)))
    while not gated.batches:
        await asyncio.sleep(0.001)
    for name, count in (("long", 60), ("short", 2)):
        call = asyncio.ensure_future(judge.judge(stages, windows(0, count)))
        call.add_done_callback(lambda _, name=name: order.append(name))
        await asyncio.sleep(0)
    gated.gate.set()
    await first
    while len(order) < 2:
        await asyncio.sleep(0.001)
    assert order == ["short", "long"]
    assert sum(gated.batches) == 63
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


class Slow:
    """The judge: it waits for its gate, then is sure of everything; remembers what it was asked about."""

    name = "judge"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked: list[int] = []
        self.broken = False

    def review(self, suspects: Sequence[Suspect]) -> Sequence[Sequence[Evidence]]:
        self.asked.append(len(suspects))
        if self.broken:
            raise ZeroDivisionError
        self.gate.wait(5)
        return [[Evidence(e.entry_id, e.kind, 1.0, e.start, e.end) for e in s.evidence] for s in suspects]


class Near:
    """Comes near the threshold where a window says "near", past it where it says "sure"."""

    name = "embedding"

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
        scores = {"near": 0.7, "sure": 0.95}
        return [[Evidence("e", Kind.FACT, scores.get(w.text, 0.1), w.start, w.end)] for w in windows]


def with_judge(slow: Slow, *others: Review) -> Cascade:
    stage = Stage(Near(), {Kind.FACT: 0.9}, {Kind.FACT: 0.5})
    judge = Review(slow, {Kind.FACT: 0.75}, {Kind.FACT: 0.25}, lambda e: e.score < 0.9)
    return Cascade((stage,), reviews=(*others, judge))


def said(*texts: str) -> list[Window]:
    return [Window(text, n, n + 1) for n, text in enumerate(texts)]


def detectors(findings: list[Finding]) -> list[list[str]]:
    return [[match.detector for match in finding.matches] for finding in findings]


async def until_asked(slow: Slow, times: int = 1) -> None:
    while len(slow.asked) < times:
        await asyncio.sleep(0.001)


async def test_a_slow_judge_delays_only_the_call_that_needs_it(notebook: Notebook) -> None:
    judge, slow = batcher(notebook), Slow()
    stages = with_judge(slow)
    waiting = asyncio.ensure_future(judge.judge(stages, said("near", "far", "sure")))
    await until_asked(slow)
    for _ in range(20):
        assert detectors(await judge.judge(stages, said("far", "sure"))) == [[], ["embedding"]]
    assert not waiting.done()
    slow.gate.set()
    assert detectors(await waiting) == [["judge"], [], ["embedding"]]
    assert slow.asked == [1], "only what is suspect is asked about"
    reports = [report.stage for seen in notebook.of(StagesObserved) for report in seen.reports]
    assert reports.count("judge") == 1
    judge.close()


async def test_calls_of_one_batch_do_not_wait_for_each_others_judge(notebook: Notebook) -> None:
    judge, slow, gated = batcher(notebook), Slow(), Gated()
    stages = with_judge(slow)
    first = asyncio.ensure_future(judge.judge(cascade(gated), windows(0, 1)))  # the others become one batch behind it
    while not gated.batches:
        await asyncio.sleep(0.001)
    near = asyncio.ensure_future(judge.judge(stages, said("near")))
    far = asyncio.ensure_future(judge.judge(stages, said("far")))
    await asyncio.sleep(0.01)
    gated.gate.set()
    await first
    assert detectors(await far) == [[]]
    assert not near.done()
    slow.gate.set()
    assert detectors(await near) == [["judge"]]
    judge.close()


async def test_quick_reviews_come_first_and_do_not_wait(notebook: Notebook) -> None:
    class Claims:
        name = "claims"

        def review(self, suspects: Sequence[Suspect]) -> Sequence[Sequence[Evidence]]:
            return [[Evidence("e", Kind.FACT, 0.0, 0, 1)] for _ in suspects]

    judge, slow = batcher(notebook), Slow()
    stages = with_judge(slow, Review(Claims(), {Kind.FACT: 0.6}, {Kind.FACT: 0.4}))
    assert detectors(await judge.judge(stages, said("near", "sure"))) == [[], []], "the claims differ"
    assert not slow.asked
    judge.close()


async def test_when_the_judge_is_too_busy_the_policy_decides_instead(notebook: Notebook) -> None:
    judge, slow = batcher(notebook, reviewer_threads=1), Slow()
    stages = with_judge(slow)
    waiting = [asyncio.ensure_future(judge.judge(stages, said("near"))) for _ in range(12)]
    done, still = await asyncio.wait(waiting, timeout=0.5)
    assert len(still) == 4
    for call in done:
        (finding,) = call.result()
        assert not finding.matches
        assert [match.entry_id for match in finding.suspects] == ["e"]
    left_out = [r for seen in notebook.of(StagesObserved) for r in seen.reports if Outcome.ERROR in r.outcomes]
    assert sum(report.outcomes[Outcome.ERROR] for report in left_out) == 8
    slow.gate.set()
    assert all(detectors(found) == [["judge"]] for found in await asyncio.gather(*still))
    assert detectors(await judge.judge(stages, said("near"))) == [["judge"]], "there is room again"
    judge.close()


async def test_a_judge_that_breaks_its_contract_breaks_only_its_call(notebook: Notebook) -> None:
    judge, slow = batcher(notebook), Slow()
    slow.broken = True
    with pytest.raises(JudgeBroken):
        await judge.judge(with_judge(slow), said("near"))
    assert len(await judge.judge(with_judge(slow), said("far"))) == 1
    judge.close()


async def test_a_call_that_is_late_is_told_while_the_judge_still_thinks(notebook: Notebook) -> None:
    judge, slow = batcher(notebook, timeout_s=0.05), Slow()
    with pytest.raises(JudgeLate):
        await judge.judge(with_judge(slow), said("near"))
    slow.gate.set()
    judge.close()


class Quick(Near):
    """Clears what says "far" in no time; remembers the threads it was asked in."""

    name = "static"

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.broken = False

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
        self.threads.append(threading.get_ident())
        if self.broken:
            raise ZeroDivisionError
        return [[Evidence("e", Kind.FACT, 0.0 if w.text == "far" else 1.0, w.start, w.end)] for w in windows]


def with_quick(quick: Quick, detector: Gated) -> Cascade:
    first = Stage(quick, clear_below={Kind.FACT: 0.5}, quick=True)
    return Cascade((first, Stage(detector, {Kind.FACT: 0.5})))


def quietly(notebook: Notebook) -> Batcher:
    """A batcher on whose clock nothing takes any time."""
    return Batcher(BatchLimits(), notebook, lambda: 0.0)


async def test_what_the_quick_stages_clear_never_leaves_the_event_loop(notebook: Notebook) -> None:
    judge, quick, detector = quietly(notebook), Quick(), Gated()
    detector.gate.set()
    stages = with_quick(quick, detector)
    await judge.judge(stages, said("far"))  # nothing is known yet of what it takes
    assert threading.get_ident() not in quick.threads
    for _ in range(3):
        assert detectors(await judge.judge(stages, said("far", "far"))) == [[], []]
    assert quick.threads[1:] == [threading.get_ident()] * 3
    assert not detector.batches
    told = [report for seen in notebook.of(StagesObserved) for report in seen.reports]
    assert [(report.stage, dict(report.outcomes)) for report in told[1:]] == [("static", {Outcome.CLEAR: 2})] * 3
    judge.close()


async def test_only_what_is_still_open_goes_on_and_no_stage_sees_it_twice(notebook: Notebook) -> None:
    judge, quick, detector = quietly(notebook), Quick(), Gated()
    detector.gate.set()
    stages = with_quick(quick, detector)
    await judge.judge(stages, said("far"))
    assert detectors(await judge.judge(stages, said("far", "what", "far", "else"))) == [[], ["gated"], [], ["gated"]]
    assert detector.batches == [2]
    assert len(quick.threads) == 2
    judge.close()


async def test_what_is_long_or_many_is_not_judged_on_the_event_loop(notebook: Notebook) -> None:
    judge, quick, detector = quietly(notebook), Quick(), Gated()
    stages = with_quick(quick, detector)
    await judge.judge(stages, said("far"))
    await judge.judge(stages, said(*["far"] * 200))
    detector.gate.set()
    await judge.judge(stages, said("far" * 10_000))
    assert threading.get_ident() not in quick.threads
    judge.close()


async def test_a_quick_stage_that_turns_out_slow_is_left_to_the_threads(notebook: Notebook) -> None:
    class Slowly(Quick):
        now = 0.0

        def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
            self.now += 0.01 * len(windows)
            return super().find(windows)

    quick, detector = Slowly(), Gated()
    judge = Batcher(BatchLimits(), notebook, lambda: quick.now)
    for _ in range(5):
        await judge.judge(with_quick(quick, detector), said("far"))
    assert threading.get_ident() not in quick.threads
    judge.close()


async def test_a_quick_stage_that_breaks_its_contract_breaks_only_its_call(notebook: Notebook) -> None:
    judge, quick, detector = quietly(notebook), Quick(), Gated()
    stages = with_quick(quick, detector)
    await judge.judge(stages, said("far"))
    quick.broken = True
    with pytest.raises(JudgeBroken):
        await judge.judge(stages, said("far"))
    quick.broken = False
    assert detectors(await judge.judge(stages, said("far"))) == [[]]
    judge.close()


async def test_who_never_has_to_wait_lets_others_have_their_turn(notebook: Notebook) -> None:
    now, turns = 0.0, 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    judge, quick, detector = Batcher(BatchLimits(), notebook, lambda: now), Quick(), Gated()
    stages = with_quick(quick, detector)
    await judge.judge(stages, said("far"))
    beside = asyncio.ensure_future(other())
    await asyncio.sleep(0)
    turns = 0
    for _ in range(100):
        now += 0.0005
        await judge.judge(stages, said("far"))
    beside.cancel()
    assert threading.get_ident() in quick.threads[1:]
    assert 10 <= turns <= 50
    judge.close()
