"""What judging costs, by stage, per 1,000 characters of benign answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from bench.detection import FACTS, Bench
from bench.report import table, write_section
from bench.trial import Reading, Tally, read, without
from guard.cascade import Cascade
from index.embedder import load_embedder

ANSWERS = 60
ROUNDS = 2


def measure(bench: Bench) -> str:
    """The section about cost: one thread, the embedder itself, no vector remembered."""
    from bench.trial import build_views
    from guard.verdict import Kind
    from index.entry import Draft

    facts = [Draft(kind=Kind.FACT, text=e.text, prompt=e.prompt) for e in bench.tofu.entries()]
    view = build_views({FACTS: facts}, load_embedder(threads=1))[FACTS]
    answers = bench.some(bench.benign, ANSWERS)
    characters = sum(len(answer.text) for answer in answers)
    readings = [read(view, answer) for answer in answers]
    reading = _best(lambda: [read(view, answer) for answer in answers])
    cascades = {"the served cascade": view.answer, "without the static stage": without(view.answer, "static")}
    rows = [["reading, fingerprints and dresses", *[f"{1e6 * reading / characters:.2f}"] * len(cascades)]]
    tallies = {name: _judge(cascade, readings) for name, cascade in cascades.items()}
    stages = list(dict.fromkeys(stage for tally in tallies.values() for stage in tally.seconds))
    for stage in stages:
        rows.append([stage, *(f"{1e6 * t.seconds.get(stage, 0.0) / characters:.2f}" for t in tallies.values())])
    rows.append(["all", *(f"{1e6 * (reading + sum(t.seconds.values())) / characters:.2f}" for t in tallies.values())])
    measured = table(["ms per 1,000 characters", *cascades], rows)
    lengths = np.array([len(answer.text) for answer in answers])
    body = BODY.format(
        measured=measured, answers=len(answers), mean=int(lengths.mean()), windows=sum(len(r.windows) for r in readings)
    )
    if not bench.sample:
        write_section("detection-cost", "Detection: cost by stage", "make bench-detection", body)
    return measured


def _best(work: Callable[[], object]) -> float:
    """Seconds of the quickest of some rounds: the others were disturbed."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def _judge(cascade: Cascade, readings: Sequence[Reading]) -> Tally:
    best: Tally | None = None
    for _ in range(ROUNDS):
        tally = Tally()
        for reading in readings:
            _, reports = cascade.judge(reading.windows, time.perf_counter)
            tally.add(reports)
        if best is None or sum(tally.seconds.values()) < sum(best.seconds.values()):
            best = tally
    assert best is not None
    return best


BODY = """{answers} benign answers of {mean} characters in the mean ({windows} windows), 400 facts in the index, one
thread, one answer at a time as a stream without pauses would have it; the quicker of two rounds.

{measured}
"""
