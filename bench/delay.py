"""What Lethe's checking delays in streams: benign answers at 10 ms per token, 16 streams at once, 10,000 entries.

Every request goes to the mock model server directly and through Lethe (`bench.harness`), with the same text. The model
server keeps when it sent each token; all processes read the same monotonic clock.
"""

from __future__ import annotations

import argparse
import bisect
import itertools
import re
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.dataset import add_data_option
from bench.harness.exchanges import Exchange, read, write
from bench.harness.lethe import CACHE, Lethe, copied, serving
from bench.harness.load import Plan, Scenario, Target, percentile
from bench.harness.processes import load, mock_upstream
from bench.harness.upstream import PIECE
from bench.report import DOCS, table, write_section
from server.demo.local_http import free_port

UPSTREAM_PORT, PORT = 9010, 9110
"""Where the servers listen, if these are free."""
PAUSE_MS = 10.0
WORD = re.compile(r"[^\W_]+")
MODES, ARRIVALS = ("adaptive", "strict"), ("spread", "together")
LAG = "lethe_event_loop_lag_seconds"


@dataclass(slots=True)
class Side:
    """Figures of one way, direct or through Lethe, over all runs. Times in milliseconds."""

    first: dict[int, float] = field(default_factory=dict)
    gaps: list[float] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    answers: int = 0
    altered: int = 0
    cpu_s: float = 0.0
    tokens: int = 0

    def add(self, figures: dict[str, Any], exchanges: Sequence[Exchange]) -> None:
        """Take a run in."""
        self.answers += figures["answers"]
        self.altered += figures["changed"] + figures["suppressed"] + sum(figures["faults"].values())
        self.cpu_s, self.tokens = self.cpu_s + figures["cpu_s"], self.tokens + figures["tokens"]
        for stream in figures["streams"]:
            times = [when for when, _ in stream["pieces"]]
            self.first[stream["number"]] = 1e3 * (times[0] - stream["began"])
            self.gaps += [1e3 * (b - a) for a, b in itertools.pairwise(times)]
            text = exchanges[stream["number"] % len(exchanges)].text
            held, left = words_held(text, stream)
            self.held += held
            self.left += left


def words_held(text: str, stream: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Whole words that were sent and had not arrived: whenever a token was sent, and whenever a piece arrived."""
    ends = [match.end() for match in WORD.finditer(text)]
    times = [when for when, _ in stream["pieces"]]
    arrived = [0, *itertools.accumulate(length for _, length in stream["pieces"])]

    def between(received: int, sent: int) -> int:
        return max(0, bisect.bisect_right(ends, sent) - bisect.bisect_right(ends, received))

    at_sends = [
        between(arrived[bisect.bisect_right(times, when)], min(len(text), PIECE * (i + 1)))
        for i, when in enumerate(stream["sent"])
    ]
    at_arrivals = [
        between(received, min(len(text), PIECE * bisect.bisect_right(stream["sent"], when)))
        for when, received in zip(times, arrived[1:], strict=True)
    ]
    return at_sends, at_arrivals


@dataclass(frozen=True, slots=True)
class Pair:
    """Both ways of one mode and one kind of arrivals."""

    mode: str
    arrivals: str
    direct: Side
    guarded: Side

    @property
    def added(self) -> list[float]:
        """Milliseconds that the first text of each request came later through Lethe."""
        return [self.guarded.first[n] - ms for n, ms in self.direct.first.items() if n in self.guarded.first]


def pairs(lethe: Lethe, pid: int, texts: Path, arguments: argparse.Namespace) -> Iterator[Pair]:
    """Measure every mode with every kind of arrivals."""
    path, exchanges = "/v1/chat/completions", read(texts)
    target = Target(lethe.base + path, headers={"Authorization": f"Bearer {lethe.key}"}, pid=lethe.pid)
    upstream = f"http://127.0.0.1:{arguments.upstream_port}"
    targets = {"direct": Target(upstream + path, pid=pid), "lethe": target}
    warming = Plan(str(texts), upstream, pid, targets, [Scenario(True, 4)], 2.0)
    first = int(load(warming, texts.parent)[warming.scenarios[0].name]["lethe"]["last"])
    for mode in MODES:
        lethe.use_streaming(mode)
        for arrivals in ARRIVALS:
            scenario = Scenario(True, arguments.streams, PAUSE_MS, arrivals)
            pair = Pair(mode, arrivals, Side(), Side())
            for _ in range(arguments.runs):
                plan = Plan(str(texts), upstream, pid, targets, [scenario], arguments.secs, first, True)
                results = load(plan, texts.parent)[scenario.name]
                pair.direct.add(results["direct"], exchanges)
                pair.guarded.add(results["lethe"], exchanges)
                first = max(side["last"] for side in results.values())
            yield pair


def lag(lethe: Lethe) -> str:
    """The 99th percentile of the event loop's lag, by the buckets of its metric, as a sentence; empty without it."""
    buckets = sorted(
        (float(found[1]), count)
        for sample, count in lethe.metric(f"{LAG}_bucket").items()
        if (found := re.search(r'le="([^"]+)"', sample))
    )
    if not buckets or not buckets[-1][1]:
        return ""
    limit = next(edge for edge, count in buckets if count >= 0.99 * buckets[-1][1])
    return f"In 99 % of {int(buckets[-1][1]):,} looks, Lethe's event loop was late by at most {1e3 * limit:g} ms."


def _p(values: Sequence[float], share: float, digits: int = 1) -> str:
    found = percentile(list(values), share)
    return "-" if found is None else f"{found:.{digits}f}"


def _row(pair: Pair) -> list[str]:
    direct, guarded = pair.direct, pair.guarded
    cpu = 1e6 * guarded.cpu_s / guarded.tokens if guarded.tokens else 0.0
    return [
        pair.mode,
        pair.arrivals,
        str(len(pair.added)),
        f"{_p(pair.added, 0.5)} / {_p(pair.added, 0.95)}",
        f"{_p(direct.gaps, 0.5)} / {_p(direct.gaps, 0.99)}",
        f"{_p(guarded.gaps, 0.5)} / {_p(guarded.gaps, 0.99)}",
        f"{_p(guarded.held, 0.5, 0)} / {_p(guarded.held, 0.95, 0)}",
        f"{_p(guarded.left, 0.5, 0)} / {_p(guarded.left, 0.95, 0)}",
        f"{cpu:.0f}",
        f"{guarded.altered}/{guarded.answers}",
    ]


HEAD = [
    "streaming",
    "streams begin",
    "streams",
    "added time to first text, ms: median / 95 %",
    "gaps direct, ms: median / 99 %",
    "gaps through Lethe, ms: median / 99 %",
    "words held at each token: median / 95 %",
    "words held at each arrival: median / 95 %",
    "CPU s per million tokens",
    "altered answers",
]


def aims(pair: Pair) -> str:
    """The aims of adaptive streaming, each met or not by these figures."""
    added, direct, guarded = pair.added, pair.direct.gaps, pair.guarded.gaps
    if not added or not direct or not guarded:
        return "No stream came through."
    moved = abs(statistics.median(guarded) - statistics.median(direct))
    tail = (percentile(guarded, 0.99) or 0.0) - (percentile(direct, 0.99) or 0.0)
    rows = [
        ("added time to first text, median, ms", statistics.median(added), 60.0),
        ("added time to first text, 95 %, ms", percentile(added, 0.95) or 0.0, 90.0),
        ("words held back, median (at each token)", float(statistics.median(pair.guarded.held)), 2.0),
        ("gaps between pieces, median, moved by, ms", moved, 1.0),
        ("gaps between pieces, 99 %, more than direct, ms", tail, 15.0),
    ]
    cells = [
        [what, f"{limit:g}", f"{value:.1f}", "met" if value <= limit else "**not met**"] for what, value, limit in rows
    ]
    return table(["aim (adaptive, spread)", "at most", "measured", ""], cells)


def plot(found: Sequence[Pair], path: Path) -> None:
    """Cumulative distributions: added time to first text, gaps, words held."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4))
    spread = [pair for pair in found if pair.arrivals == "spread"]
    panels = [[(p.mode, p.added) for p in spread], [(p.mode, p.guarded.gaps) for p in spread]]
    panels[1].append(("direct", spread[0].direct.gaps))
    panels.append([(p.mode, [float(n) for n in p.guarded.held]) for p in spread])
    labels = ("added time to first text, ms", "gap between pieces, ms", "words held back at each token")
    for axis, lines, label in zip(axes, panels, labels, strict=True):
        for name, values in lines:
            axis.ecdf(values or [0.0], label=name)
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
        axis.legend()
    axes[1].set_xscale("log")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--entries", type=int, default=10_000, help="size of the forget list (%(default)s)")
    parser.add_argument("--streams", type=int, default=16, help="streams at once (%(default)s)")
    parser.add_argument("--runs", type=int, default=2, help="runs of each mode (%(default)s)")
    parser.add_argument("--secs", type=float, default=6.0, help="seconds in which streams begin (%(default)s)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the filled store is kept (%(default)s)")
    parser.add_argument("--dry", action="store_true", help="print the figures and write nothing")
    arguments = parser.parse_args()
    arguments.upstream_port = free_port(UPSTREAM_PORT)
    data, console = arguments.data.resolve(), Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="bench-delay-") as folder:
        texts = Path(folder) / "texts.json"
        write(data, texts)
        with (
            copied(data, arguments.entries, arguments.cache) as store,
            mock_upstream(arguments.upstream_port, texts, Path(folder) / "upstream.log") as pid,
            serving(store, f"http://127.0.0.1:{arguments.upstream_port}", PORT) as lethe,
        ):
            found = []
            for pair in pairs(lethe, pid, texts, arguments):
                found.append(pair)
                console.print(" · ".join(_row(pair)))
            late = lag(lethe)
    body = BODY.format(
        streams=arguments.streams,
        entries=arguments.entries,
        measured=table(HEAD, [_row(pair) for pair in found]),
        aims=aims(found[0]),
        lag=late,
    )
    print(body)
    if not arguments.dry:
        plot(found, DOCS / "benchmarks" / "delay.png")
        write_section("delay", "Delay of streams", "make bench-delay", body)


BODY = """Benign answers (600 characters) replayed by a mock model server at 10 ms per token of four characters to
{streams} connections at once, directly and through Lethe with {entries:,} entries and the default policy, one right
after the other with the same requests. Streams begin *spread* evenly over their length, or *together*. A word is held
while the model server has sent all of it and the client has not got all of it. An altered answer ended as filtered,
failed, or differs in any byte.

{aims}

{measured}

{lag}

![distributions of the added time to first text, of gaps and of words held](benchmarks/delay.png)
"""


if __name__ == "__main__":
    main()
