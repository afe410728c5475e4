"""What each stage buys, and what the static one costs and clears."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.detection import BOOKS, FACTS, Bench
from bench.detection_dresses import dressed, hidden
from bench.report import interval, table, write_section
from bench.trial import Reading, Tally, blocked, is_blocked, without
from guard.cascade import Cascade
from guard.verdict import PLAIN

DRESSED = 400
"""Book stretches, each in one dress, that the ablation is run on."""

Rows = dict[str, list[str]]


def measure(bench: Bench) -> str:
    """The section about stages."""
    ablation = _ablation(bench)
    static = _static(bench)
    body = BODY.format(ablation=ablation, static=static, dressed=DRESSED)
    if not bench.sample:
        write_section("detection-stages", "Detection: what each stage buys", "make bench-detection", body)
    return f"{ablation}\n\n{static}"


def _ablation(bench: Bench) -> str:
    plain = [p.stretch for p in bench.passages]
    books = {
        "passages, verbatim": hidden(bench, plain),
        "passages, dressed": bench.some(dressed(bench, DRESSED)),
    }
    read = {name: bench.read(BOOKS, answers, name) for name, answers in books.items()}
    sets: dict[str, tuple[str, Sequence[Reading]]] = {name: (BOOKS, own) for name, own in read.items()}
    sets |= {name: (FACTS, own) for name, own in bench.fact_readings.items()}
    steps = (
        ("fingerprints", lambda c: without(c, "static", "embedding", "claims"), False),
        ("and other readings", lambda c: without(c, "static", "embedding", "claims"), True),
        ("and embeddings", lambda c: without(c, "static", "claims"), True),
        ("and claims", lambda c: without(c, "static"), True),
        ("and the static stage", lambda c: c, True),
        ("all but other readings", lambda c: c, False),
    )
    rows = []
    for name, (namespace, own) in sets.items():
        view = bench.views[namespace]
        cells = []
        for title, cut, readings in steps:
            texts = own if readings else [reading.plain for reading in own]
            found = is_blocked(blocked(cut(view.answer), view.rules, texts, bench.progress, f"{name}: {title}"))
            cells.append(f"{100 * found.mean():.2f}")
        rows.append([name, str(len(own)), *cells])
    return table(["% of texts stopped", "n", *(title for title, _, _ in steps)], rows)


def _static(bench: Bench) -> str:
    """How often the cascade and the transformer alone conclude differently, and what the static stage clears."""
    view = bench.views[FACTS]
    alone = without(view.answer, "static")
    if len(alone.stages) == len(view.answer.stages):
        return "There is no static stage in this configuration."
    differing = total = 0
    for name, own in bench.fact_readings.items():
        with_it = is_blocked(blocked(view.answer, view.rules, own, bench.progress, f"{name}: cascade"))
        without_it = is_blocked(blocked(alone, view.rules, own, bench.progress, f"{name}: no static stage"))
        differing, total = differing + int(np.sum(with_it != without_it)), total + len(own)
    tally = Tally()
    benign = [_plain(reading) for reading in bench.fact_readings["benign"]]
    blocked(view.answer, view.rules, benign, bench.progress, "benign, plain windows", tally=tally)
    outcomes = tally.outcomes["static"]
    cleared, asked = outcomes.get("clear", 0), sum(outcomes.values())
    convicting = _recall(bench, alone)
    return table(
        ["static stage", "share"],
        [
            ["texts on which the verdict differs from that without it", interval(differing, total)],
            ["distinct windows of benign answers cleared", interval(cleared, asked)],
            ["windows that the transformer convicts, and it lets through", interval(*convicting)],
        ],
    )


def _recall(bench: Bench, alone: Cascade) -> tuple[int, int]:
    """Of the windows that the transformer convicts or suspects in paraphrases and leaks, how many are not cleared."""
    view = bench.views[FACTS]
    (static,) = [stage for stage in view.answer.stages if stage.detector.name == "static"]
    windows = [w for name in ("paraphrases", "leaks") for r in bench.fact_readings[name] for w in r.windows]
    cases, _ = alone.stage(windows, lambda: 0.0)
    near = [case.window for case in cases if case.matches or case.suspects]
    kept = sum(not static.clears(evidence) for evidence in static.detector.find(near))
    return kept, len(near)


def _plain(reading: Reading) -> Reading:
    return Reading([window for window in reading.windows if window.view == PLAIN])


BODY = """Each column adds a stage; the last takes the other readings (dresses taken off) away again. Book stretches are
hidden in benign answers; {dressed} of them wear one random dress each. `false answers` and `never trained` answer the
forgotten questions with other facts: with claims compared they may pass, without they cannot.

{ablation}

The static stage may only clear. What it must not do is clear what the transformer would have convicted:

{static}
"""
