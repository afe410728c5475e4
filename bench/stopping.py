"""What stopping a stream costs and gives away: how soon the model server is left, and what the ending's delay tells.

A `lethe serve` of its own stands before a model server that says invented texts, a word every 10 ms. Half of the
streams repeat a forgotten passage (found by its fingerprint, at a word), half state a forgotten fact (found by
meaning). The attacker knows both kinds and has half of the measured streams with their labels to learn from.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import Progress
from scipy.stats import rankdata

from bench.report import table, write_section
from bench.soaking.client import REFUSAL, Client, Got
from bench.soaking.lethe_process import lethe_process
from bench.soaking.model_server import ModelServer, Speech
from bench.soaking.texts import Author, Forgotten

PAUSE_S = 0.01
RUN_WORDS = 8
"""Words of a passage that are enough to convict (k of the default policy)."""

BIN_S = 0.005
GRIDS_MS = (0, 50, 100)


@dataclass(frozen=True, slots=True)
class Stop:
    """One stopped stream. Seconds: from the last text to the ending, and, for a passage, from the word that completed
    the match being written to the connection being seen closed. `leaked`: characters of the entry that had left."""

    kind: str
    delay_s: float
    cancel_s: float | None
    leaked: int


def times(got: Got) -> tuple[float, float]:
    """When the last text of the model and the ending arrived. Raises `ValueError` when the stream was not stopped."""
    last = began = got.arrived[0][0]
    at = size = read = 0
    for event in got.raw.split(b"\n\n"):
        at += len(event) + 2
        while read < len(got.arrived) and size < at:
            size += got.arrived[read][1]
            began = got.arrived[read][0]
            read += 1
        if not event.startswith(b"data: {"):
            continue
        said = json.loads(event[6:])["choices"][0]["delta"].get("content") or ""
        if REFUSAL in said:
            return last, began
        if said:
            last = began
    raise ValueError("not stopped")


class Trial:
    """Streams and whole answers of both kinds, through one Lethe."""

    def __init__(self, client: Client, model: ModelServer, count: int) -> None:
        self._client, self._model = client, model
        self._author, self._random = Author(1), random.Random(1)
        kinds = [self._author.passage, self._author.fact] * count
        self.entries = [write() for write in kinds]

    async def stop(self, entry: Forgotten) -> Stop | None:
        """One stream; None when it was not stopped."""
        before = self._author.answer(self._random.randint(1, 3))
        speech = Speech(f"{before} {entry.text} {self._author.answer(4)}", PAUSE_S)
        got = await self._client.stream(self._model.will_say(speech))
        if not got.stopped:
            return None
        await asyncio.sleep(2 * PAUSE_S)
        text, ending = times(got)
        cancel = None
        # the first event opens the message, and a word is complete when the next one begins
        at = 1 + len(before.split()) + RUN_WORDS
        if entry.kind == "passage" and speech.left is not None and at < len(speech.said):
            cancel = speech.left - speech.said[at]
        shown = len(got.text.removesuffix(REFUSAL).rstrip())
        return Stop(entry.kind, ending - text, cancel, max(0, shown - len(before)))

    async def whole(self, entry: Forgotten) -> tuple[str, float] | None:
        """The seconds that one whole answer took; None when it was not suppressed."""
        speech = Speech(f"{self._author.answer(1)} {entry.text}", 0.02)
        seconds, finish = await self._client.whole(self._model.will_say(speech))
        return (entry.kind, seconds) if finish == "content_filter" else None


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured with one grid."""

    stops: list[Stop]
    wholes: list[tuple[str, float]]


async def measure(grid_ms: int, count: int, at_once: int, progress: Progress) -> Measured:
    """`count` streams and whole answers of each kind."""
    model = ModelServer()
    task = progress.add_task(f"grid {grid_ms} ms", total=4 * count)
    limit = asyncio.Semaphore(at_once)
    async with model.serving() as upstream:
        with lethe_process(upstream, "--ending-grid-ms", str(grid_ms)) as lethe:
            client = Client(lethe.base, lethe.key)
            trial = Trial(client, model, count)
            for at in range(0, len(trial.entries), 200):
                drafts = [entry.draft() for entry in trial.entries[at : at + 200]]
                await client.call("POST", "/entries/batch?wait=applied&timeout_s=60", {"entries": drafts})

            async def stop(entry: Forgotten) -> Stop | None:
                async with limit:
                    found = await trial.stop(entry)
                    progress.advance(task)
                    return found

            stops = await asyncio.gather(*map(stop, trial.entries))
            wholes = []
            for entry in trial.entries:  # one at a time: what others do at the same moment hides the difference
                wholes.append(await trial.whole(entry))
                progress.advance(task)
            await client.close()
    return Measured([s for s in stops if s is not None], [w for w in wholes if w is not None])


def attack(sides: Sequence[Sequence[float]], width: float = BIN_S) -> float:
    """AUC of an attacker who learns both histograms from one half and tells the other half apart, both ways round."""
    aucs = []
    for learn, judge in ((0, 1), (1, 0)):
        bins = [np.bincount(_bins(side[learn::2], width), minlength=400) + 0.5 for side in sides]
        bins = [np.convolve(one, (0.25, 0.5, 0.25), "same") for one in bins]
        score = np.log(bins[0] / bins[0].sum()) - np.log(bins[1] / bins[1].sum())
        one, two = (score[_bins(side[judge::2], width)] for side in sides)
        ranks = rankdata(np.concatenate((one, two)))[: len(one)].sum()
        aucs.append((ranks - len(one) * (len(one) + 1) / 2) / (len(one) * len(two)))
    return float(statistics.mean(aucs))


def _bins(values: Sequence[float], width: float) -> np.ndarray:
    bins: np.ndarray = np.clip((np.array(values) / width).astype(int), 0, 399)
    return bins


def rows(grid_ms: int, measured: Measured) -> list[str]:
    """One row of the table of the attacker."""
    stops = measured.stops
    delays = [[s.delay_s for s in stops if s.kind == kind] for kind in ("passage", "fact")]
    wholes = [[seconds for k, seconds in measured.wholes if k == kind] for kind in ("passage", "fact")]
    leaks = [[float(s.leaked) for s in stops if s.kind == kind] for kind in ("passage", "fact")]
    shown = [f"{1000 * statistics.median(side):.1f}" for side in (*delays, *wholes)]
    return [
        f"{grid_ms} ms" if grid_ms else "off",
        f"{shown[0]} / {shown[1]}",
        f"{attack(delays):.2f}",
        f"{shown[2]} / {shown[3]}",
        f"{attack(wholes):.2f}",
        f"{attack(leaks, width=1.0):.2f}",
        f"{len(delays[0])} + {len(delays[1])}",
    ]


BODY = """A word every {pause:.0f} ms, {at_once} streams at a time. **Leaving the model server**: from the moment at
which it wrote the word that completed a match with a passage to the moment at which it saw the connection closed, the
way there and the verdict included: {cancel} (aim: 50 ms).

**What the ending gives away**: AUC (0.5 = nothing) of an attacker who tells a passage from a fact by the delay between
the last text and the refusal of a stream, by the time that a suppressed whole answer took, and by the number of
characters of the entry that had left. Delays are medians in milliseconds, passage / fact.

{table}

The grid (`--ending-grid-ms`) hides how long a verdict took as long as verdicts take less than its step: that is what a
whole answer shows. It does not hide where in the text the match lies: a passage is stopped at a word, a sentence near a
fact is held from its beginning or stopped at its end, and the time until the ending is mostly the time that the model
needed for the words held back. So in streams, the delay tells the two kinds apart.
"""


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="streams of each kind and grid (%(default)s)")
    parser.add_argument("--at-once", type=int, default=4, help="streams at a time (%(default)s)")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    parser.add_argument("--data", type=Path, help="not used: all texts are written for the run")
    arguments = parser.parse_args()
    with Progress() as progress:
        found = {grid: asyncio.run(measure(grid, arguments.count, arguments.at_once, progress)) for grid in GRIDS_MS}
    cancels = [1000 * s.cancel_s for m in found.values() for s in m.stops if s.cancel_s is not None]
    tail = statistics.quantiles(cancels, n=100)[98]
    cancel = f"median {statistics.median(cancels):.1f} ms, 99th percentile {tail:.1f} ms, of {len(cancels)} streams"
    head = ["grid", "delay of the ending, ms", "AUC", "whole answer, ms", "AUC ", "AUC by what had left", "streams"]
    measured = table(head, [rows(grid, one) for grid, one in found.items()])
    body = BODY.format(pause=1000 * PAUSE_S, at_once=arguments.at_once, cancel=cancel, table=measured)
    if not arguments.dry:
        write_section("stopping", "Stopping a stream", "make bench-stopping", body)
    print(cancel)
    print(measured)


if __name__ == "__main__":
    main()
