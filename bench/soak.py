"""A long run under mixed load while the index changes: memory, connections, bytes and freshness, each with its figure.

Streams of every kind run side by side against a `lethe serve` of its own: benign ones, whose bytes must arrive as they
were sent; leaking ones, which must be stopped; clients that leave in mid-stream; slow readers. Ten times a second an
entry is added or removed, and after a part of these changes a stream tells whether the change counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from scipy.stats import t as student

from bench.report import DOCS, table, write_section
from bench.soaking.client import Client
from bench.soaking.lethe_process import LetheProcess, lethe_process
from bench.soaking.model_server import ModelServer
from bench.soaking.traffic import PAUSE_S, Tally, Traffic

PLOT = DOCS / "benchmarks" / "soak.png"
MINUTES, STREAMS, ENTRIES = 20.0, 64, 200
GROWTH_KIB = 256.0
"""Growth of memory (KiB a minute) of which a run must show with 95 % confidence that it is exceeded to fail."""

FILES = 16
"""File descriptors that may be open at the end beyond those of the idle server: databases opened by threads."""

BLOCKS = 20
"""Means of so many equal stretches are what the line is fitted to: neighbouring samples tell the same."""

MOST_SHED = 0.05
"""Share of requests that may be shed: a machine that others use as well has no room at times."""

_SAMPLE_S = 0.5
_IDLE_S = 20.0
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Check:
    """What was required, what was found, and whether that will do."""

    name: str
    figure: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth in KiB a minute with its 95 % interval."""

    middle: float
    low: float
    high: float


def slope(samples: Sequence[tuple[float, int]]) -> Slope:
    """The growth of memory, from (seconds, bytes): a line through the means of `BLOCKS` stretches."""
    rows = np.array(samples, dtype=float)
    blocks = [block.mean(axis=0) for block in np.array_split(rows, BLOCKS) if len(block)]
    minutes, kib = (np.array(column) for column in zip(*((at / 60, size / 1024) for at, size in blocks), strict=True))
    centred = minutes - minutes.mean()
    spread = float((centred**2).sum())
    middle = float((centred * kib).sum()) / spread
    left = kib - kib.mean() - middle * centred
    degrees = len(blocks) - 2
    error = (float((left**2).sum()) / degrees / spread) ** 0.5 * float(student.ppf(0.975, degrees))
    return Slope(middle, middle - error, middle + error)


@dataclass(frozen=True, slots=True)
class Run:
    """What a soak brought: memory over time (seconds, bytes), and the checks."""

    samples: list[tuple[float, int]]
    tally: Tally
    checks: list[Check]


async def soak(minutes: float, streams: int, growth_kib: float, console: Console) -> Run:
    """Run it."""
    model = ModelServer()
    async with model.serving() as upstream:
        with lethe_process(upstream) as lethe:
            client = Client(lethe.base, lethe.key)
            traffic = Traffic(client, model, seed=round(time.time()))
            await traffic.prepare(ENTRIES)
            await asyncio.sleep(1.0)
            files = lethe.files()
            samples: list[tuple[float, int]] = []
            watching = asyncio.ensure_future(_watch(lethe, traffic.tally, samples, 60 * minutes, console))
            await traffic.run(streams, 60 * minutes)
            watching.cancel()
            await client.close()
            checks = [*_what_came(traffic.tally), _memory(samples, 60 * minutes, growth_kib)]
            checks += await _what_is_left(lethe, model, files)
            if lethe.process.status() == "zombie":
                checks.append(Check("the server still runs", "it ended", False))
            return Run(samples, traffic.tally, checks)


async def _watch(
    lethe: LetheProcess, tally: Tally, samples: list[tuple[float, int]], seconds: float, console: Console
) -> None:
    began = told = time.monotonic()
    columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("soak", total=seconds)
        while True:
            at = time.monotonic() - began
            samples.append((at, lethe.rss()))
            streams = sum(tally.done[kind] for kind in ("benign", "leaking", "aborting", "slow"))
            line = f"{streams} streams, {tally.done['add'] + tally.done['remove']} changes, "
            line += f"{samples[-1][1] / _MIB:.0f} MiB, {tally.wrong.total()} faults"
            progress.update(task, completed=min(at, seconds), description=line)
            if not console.is_terminal and time.monotonic() - told > 10:
                told = time.monotonic()
                console.print(f"{at:.0f} s: {line}")
            await asyncio.sleep(_SAMPLE_S)


def _what_came(tally: Tally) -> list[Check]:
    names = {
        "benign": "benign streams arrive byte for byte (SHA-256)",
        "slow": "streams of slow readers arrive byte for byte",
        "leaking": "streams that leak are stopped, each well-formed",
        "aborting": "what clients that left had received was said",
        "add": "additions answered",
        "remove": "removals answered",
    }
    checks = [
        Check(name, f"{tally.done[kind]}, {tally.wrong[kind]} not", not tally.wrong[kind] and tally.done[kind] > 0)
        for kind, name in names.items()
    ]
    stale = tally.wrong["stale after add"] + tally.wrong["stale after removal"]
    probes = tally.done["probes"]
    name = "no verdict from a revision older than 1 s (none once a change was waited for)"
    checks.append(Check(name, f"{stale} of {probes} streams", not stale and probes > 0))
    shed, done = tally.done["shed"], sum(tally.done[kind] for kind in names)
    return [
        *checks,
        Check(f"requests that were shed (429), at most {MOST_SHED:.0%}", f"{shed}", shed <= MOST_SHED * done),
    ]


def _memory(samples: Sequence[tuple[float, int]], seconds: float, growth_kib: float) -> Check:
    later = [sample for sample in samples if seconds / 4 <= sample[0] <= seconds]
    found = slope(later)
    figure = f"{found.middle:+.0f} KiB/min [{found.low:+.0f}, {found.high:+.0f}]"
    name = f"memory does not grow after the first quarter (fails when surely above {growth_kib:.0f} KiB/min)"
    return Check(name, figure, found.low <= growth_kib)


async def _what_is_left(lethe: LetheProcess, model: ModelServer, files: int) -> list[Check]:
    """Connections, streams and files once everybody has left."""
    deadline = time.monotonic() + _IDLE_S
    while True:
        inflight, now = await lethe.metric("lethe_inflight_streams"), lethe.files()
        checks = [
            Check("the model server's answers that are still written", str(model.open), model.open == 0),
            Check("the model server's open connections", str(model.connections), model.connections == 0),
            Check("lethe_inflight_streams", f"{inflight:.0f}", inflight == 0),
            Check(f"file descriptors beyond the {files} of the idle server", f"{now - files}", now - files <= FILES),
        ]
        if all(check.passed for check in checks) or time.monotonic() > deadline:
            return checks
        await asyncio.sleep(0.5)


def plot(samples: Sequence[tuple[float, int]], path: Path) -> None:
    """Memory over time, and the line that was fitted."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    minutes = [at / 60 for at, _ in samples]
    figure, axes = plt.subplots(figsize=(7, 3))
    axes.plot(minutes, [size / _MIB for _, size in samples], linewidth=0.8)
    axes.axvspan(0, minutes[-1] / 4, alpha=0.1)
    axes.set(xlabel="minutes (shaded: not part of the fit)", ylabel="resident memory, MiB", ylim=(0, None))
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


BODY = """{minutes:g} minutes with {streams} streams at a time (one half benign, a quarter leaking, the rest clients
that leave in mid-stream and slow readers) of {rate:.0f} words a second each, {entries} entries that stay and {changes}
changes of others, ten a second. All texts are written by a seeded grammar. Memory is the resident size of the server;
the slope is fitted to the means of {blocks} stretches after the first quarter and given with its 95 % interval. Of the
streams that repeat a removed entry, {others} were stopped for another entry that resembles it: no stale verdict.

{table}

Median resident memory after the first quarter: {memory:.0f} MiB.

![resident memory over time](benchmarks/soak.png)
"""


def write(run: Run, minutes: float, streams: int) -> None:
    """The section and its plot."""
    plot(run.samples, PLOT)
    rows = [[check.name, check.figure, "yes" if check.passed else "**no**"] for check in run.checks]
    later = [size for at, size in run.samples if at >= 15 * minutes]
    body = BODY.format(
        minutes=minutes,
        streams=streams,
        rate=1 / PAUSE_S,
        entries=ENTRIES,
        changes=run.tally.done["add"] + run.tally.done["remove"],
        blocks=BLOCKS,
        others=run.tally.done["stopped for another entry"],
        table=table(["required", "found", "met"], rows),
        memory=statistics.median(later) / _MIB,
    )
    write_section("soak", "Soak", "make soak", body)


def main() -> None:
    """Soak, print every check, write the section of docs/benchmarks.md; exit code 1 when a check failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="length (%(default)s)")
    parser.add_argument("--streams", type=int, default=STREAMS, help="streams at a time (%(default)s)")
    parser.add_argument("--growth-kib", type=float, default=GROWTH_KIB, help="limit, KiB a minute (%(default)s)")
    parser.add_argument("--json", type=Path, help="write the checks there instead of into the documentation")
    parser.add_argument("--data", type=Path, help="not used: all texts are written for the run")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    run = asyncio.run(soak(arguments.minutes, arguments.streams, arguments.growth_kib, console))
    for check in run.checks:
        print(f"{'ok  ' if check.passed else 'FAIL'} {check.name}: {check.figure}")
    for fault in run.tally.faults:
        print(f"     {fault}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"checks": [asdict(c) for c in run.checks], "samples": run.samples}))
    else:
        write(run, arguments.minutes, arguments.streams)
    sys.exit(0 if all(check.passed for check in run.checks) else 1)


if __name__ == "__main__":
    main()
