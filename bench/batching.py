"""How streams share the judge: waiting time, batch sizes, lag of the event loop, and what a batch size is worth.

Streams are played in this process, a token of four characters every ten milliseconds, through the stream machine, the
batcher and the cascade that a server uses; there is no HTTP in between.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.crowd import crowd
from bench.dataset import Answer, add_data_option, benign
from bench.report import table, write_section
from bench.trial import build_views, read
from guard.cascade import Cascade
from guard.detector import Window
from guard.events import Check, Done, NeedText, Stop
from guard.plan import StreamPlan
from index.embedder import load_embedder
from index.snapshot import View
from server.batching import Batcher, BatchLimits
from server.judging import Judge
from server.loop_lag import watch_lag
from server.observation import Observation, StagesObserved

PIECE: Final = 4
PAUSE_S: Final = 0.01
LAGGING_S: Final = 0.005
SIZES: Final = (1, 2, 4, 8, 16, 32, 64)


@dataclass
class Seen:
    """What happened while streams were played: seconds per question, batches of the last stage, lag, tokens."""

    waits: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    windows: int = 0
    tokens: int = 0
    cpu: float = 0.0

    def observe(self, seen: Observation) -> None:
        """Note the batches of the stage that only judges what the quick ones leave open."""
        if isinstance(seen, StagesObserved):
            self.batches += [sum(r.outcomes.values()) for r in seen.reports if r.stage == "embedding"]

    def row(self, name: str) -> list[str]:
        """One line of the table."""
        judged = sum(self.batches)
        lagging = sum(lag > LAGGING_S for lag in self.lags) / max(1, len(self.lags))
        return [
            name,
            *(_ms(self.waits, share) for share in (50, 99)),
            f"{1 - judged / max(1, self.windows):.0%}",
            f"{statistics.mean(self.batches):.1f}" if self.batches else "-",
            str(max(self.batches, default=0)),
            *(_ms(self.lags, share) for share in (50, 99)),
            f"{lagging:.1%}",
            f"{1e6 * self.cpu / max(1, self.tokens):.0f}",
        ]


def _ms(seconds: Sequence[float], share: int) -> str:
    if len(seconds) < 2:
        return "-"
    return f"{1e3 * statistics.quantiles(seconds, n=100, method='inclusive')[share - 1]:.1f}"


async def play(judge: Judge, answer: Answer, until: float, seen: Seen) -> None:
    """One answer as it would be streamed, until it is over or the time is."""
    view = judge.view
    machine = judge.machine(StreamPlan(view.streaming, view.rule, view.redaction, answer.prompt))
    at, due = 0, time.perf_counter()
    while time.perf_counter() < until:
        match machine.next_event():
            case NeedText():
                due = max(
                    due + PAUSE_S, time.perf_counter() - 1.0
                )  # upstream is not read while a verdict is waited for
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                if at >= len(answer.text):
                    machine.end()
                else:
                    machine.feed(answer.text[at : at + PIECE])
                    at, seen.tokens = at + PIECE, seen.tokens + 1
            case Check(windows):
                asked = time.perf_counter()
                machine.resolve(await judge.answer(windows))
                seen.waits.append(time.perf_counter() - asked)
                seen.windows += len(windows)
            case Stop() | Done():
                return


async def streams(view: View, answers: Sequence[Answer], count: int, seconds: float, limits: BatchLimits) -> Seen:
    """So many streams at once, each playing one answer after the other."""
    seen, warm = Seen(), Seen()
    batcher = Batcher(limits, warm, time.perf_counter)
    for answer in answers[:3]:
        await play(Judge(view, batcher, warm), Answer(answer.prompt, answer.text[:80]), time.perf_counter() + 5, warm)
    batcher.close()
    batcher = Batcher(limits, seen, time.perf_counter)

    async def one(number: int, until: float) -> None:
        await asyncio.sleep(random.Random(number).random() * PAUSE_S)
        while time.perf_counter() < until:
            answer = answers[number % len(answers)]
            await play(Judge(view, batcher, seen), answer, until, seen)
            number += count

    watching = asyncio.ensure_future(watch_lag(seen.lags.append, 0.002))
    began, until = time.process_time(), time.perf_counter() + seconds
    await asyncio.gather(*(one(number, until) for number in range(count)))
    seen.cpu = time.process_time() - began
    watching.cancel()
    batcher.close()
    return seen


def open_windows(view: View, answers: Sequence[Answer], count: int) -> list[Window]:
    """Windows that the quick stages leave open."""
    quick, found = view.answer.quick, list[Window]()
    for answer in answers:
        cases, _ = Cascade(view.answer.stages[:quick]).stage(read(view, answer).windows, time.perf_counter)
        found += [case.window for case in cases if case.open]
        if len(found) >= count:
            return found[:count]
    return found


def by_size(view: View, windows: Sequence[Window]) -> list[list[str]]:
    """What the costly stage does with batches of these sizes: windows per second of processor time, and a batch's."""
    costly = Cascade(view.answer.stages[view.answer.quick :], view.answer.sure, view.answer.reviews)
    rows = []
    for size in [size for size in SIZES if size <= len(windows)]:
        batches = [windows[at : at + size] for at in range(0, len(windows) - size + 1, size)]
        best = float("inf")
        for _ in range(2):
            began = time.process_time()
            for batch in batches:
                costly.judge(batch, time.perf_counter)
            best = min(best, time.process_time() - began)
        judged = size * len(batches)
        rows.append([str(size), f"{judged / best:.0f}", f"{1e3 * best / len(batches):.1f}"])
    return rows


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--entries", type=int, default=10_000, help="entries in the index (%(default)s)")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each load is played (%(default)s)")
    arguments = parser.parse_args()
    view = build_views({"default": crowd(arguments.data, arguments.entries)}, load_embedder(threads=1))["default"]
    measure(view, benign(arguments.data), arguments.entries, arguments.seconds)


def measure(view: View, answers: list[Answer], entries: int, seconds: float) -> None:
    """All of it on one view."""
    random.Random(0).shuffle(answers)
    sizes = table(
        ["windows", "windows per CPU second", "CPU ms per batch"], by_size(view, open_windows(view, answers[:600], 192))
    )
    print(sizes, flush=True)
    loads = [(f"{count} streams", count, BatchLimits()) for count in (1, 16, 64)]
    loads += [("64, batches of 4", 64, BatchLimits(largest_batch=4))]
    loads += [("64, batches of 64", 64, BatchLimits(largest_batch=64))]
    loads += [(f"{count}, gathering 2 ms", count, BatchLimits(gather_s=0.002)) for count in (1, 16, 64)]
    head = ["load", "wait p50, ms", "p99", "settled at once", "batch, mean", "largest", "lag p50, ms", "p99"]
    head += [f"above {1e3 * LAGGING_S:.0f} ms", "CPU s per million tokens"]
    rows = [asyncio.run(streams(view, answers, count, seconds, limits)).row(name) for name, count, limits in loads]
    shown = table(head, rows)
    print(shown)
    body = BODY.format(entries=f"{entries:,}", seconds=seconds, sizes=sizes, shown=shown)
    write_section("batching", "Micro-batches", "make bench-batching", body)


BODY = """Benign answers, played in one process as streams of a four-character token every ten milliseconds, {entries}
entries in the index, adaptive mode, {seconds:.0f} seconds per load; stream machine, batcher and cascade as served, no
HTTP. *Wait*: from asking for the verdicts on windows to having them. *Settled at once*: windows that the quick stages
settled, on the event loop as long as its allowance lasts. *Lag*: how late a sleeping task was woken.

{shown}

Batches hold at most 16 windows and are never waited for: what comes while one runs is the next. The last lines show
what another size, and waiting two milliseconds for more windows, would change. A stream that is faster than its
verdicts is slowed down, so a load beyond what the processor can judge shows as waiting time.

What the embedding stage and the reviews make of batches of windows that the quick stages left open:

{sizes}
"""


if __name__ == "__main__":
    main()
