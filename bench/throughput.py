"""Lethe's own rates and processor time by the size of the forget list, each beside a direct run (`bench.harness`).

`bench.peers` measures the same beside other proxies; this one also has streams without pauses and more connections.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.dataset import add_data_option
from bench.harness.exchanges import write
from bench.harness.lethe import CACHE, copied, serving
from bench.harness.load import Plan, Scenario, Target
from bench.harness.processes import load, mock_upstream
from bench.peers.figures import Figures, Spread, added, own, per, ratio
from bench.report import table, write_section
from server.demo.local_http import free_port

UPSTREAM_PORT, PORT = 9020, 9120
"""Where the servers listen, if these are free."""
PATH = "/v1/chat/completions"
SCENARIOS = [Scenario(False, 16), Scenario(False, 64), *(Scenario(True, n, ms) for ms in (0, 10) for n in (16, 64))]


def measure(arguments: argparse.Namespace, entries: int, texts: Path, pid: int) -> list[dict[str, Any]]:
    """The runs with a forget list of one size, direct and through Lethe in turn."""
    runs: list[dict[str, Any]] = []
    folder, upstream = texts.parent, f"http://127.0.0.1:{arguments.upstream_port}"
    with (
        copied(arguments.data, entries, arguments.cache) as store,
        serving(store, upstream, PORT) as lethe,
    ):
        target = Target(lethe.base + PATH, headers={"Authorization": f"Bearer {lethe.key}"}, pid=lethe.pid)
        both, first = {"direct": Target(upstream + PATH, pid=pid), "peer": target}, 0
        warming = [Scenario(False, 4), Scenario(True, 4)]
        for number in range(arguments.runs + 1):
            plan = Plan(str(texts), upstream, pid, both, SCENARIOS if number else warming, arguments.secs, first)
            results = load(plan, folder)
            first = max(figures["peer"]["last"] for figures in results.values())
            if number:
                runs.append(results)
                print(f"{entries:,} entries, run {number} of {arguments.runs}", file=sys.stderr, flush=True)
    return runs


def _cell(spread: Spread | None, digits: int = 0) -> str:
    return spread.shown(digits) if spread else "-"


def rows_of(figures: Figures, size: str) -> list[list[str]]:
    """One row per scenario."""
    rows = []
    for scenario in SCENARIOS:
        name = scenario.name
        cost = per("tokens", 1e6) if scenario.stream else per("answers", 1e3)
        sides = [run[name]["peer"] for run in figures.peers[size]["runs"]]
        altered = sum(s["changed"] + s["suppressed"] + sum(s["faults"].values()) for s in sides)
        cells = [
            _cell(figures.of(size, name, own("per_s", "direct"))),
            _cell(figures.of(size, name, own("per_s"))),
            _cell(figures.of(size, name, ratio("per_s")), 3),
            _cell(figures.of(size, name, cost), 1),
            _cell(figures.of(size, name, added("first_p50")), 1) if scenario.stream else "-",
            f"{altered:,}/{sum(s['answers'] for s in sides):,}",
        ]
        rows.append([size, name, *cells])
    return rows


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--entries", default="0,10000", help="sizes of the forget list (%(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each size (%(default)s)")
    parser.add_argument("--secs", type=float, default=2.0, help="seconds in which requests begin (%(default)s)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where filled stores are kept (%(default)s)")
    arguments = parser.parse_args()
    arguments.data, arguments.upstream_port = arguments.data.resolve(), free_port(UPSTREAM_PORT)
    found: dict[str, Any] = {"peers": {}, "secs": arguments.secs}
    with tempfile.TemporaryDirectory(prefix="bench-throughput-") as folder:
        texts = Path(folder) / "texts.json"
        found["texts"] = write(arguments.data, texts)
        with mock_upstream(arguments.upstream_port, texts, Path(folder) / "upstream.log") as pid:
            for entries in map(int, arguments.entries.split(",")):
                found["peers"][f"{entries:,}"] = {"runs": measure(arguments, entries, texts, pid), "title": ""}
    figures = Figures(found)
    rows = [row for size in figures.peers for row in rows_of(figures, size)]
    head = ["entries", "scenario", "direct, /s", "Lethe, /s", "ratio", "CPU s", "added TTFT, ms", "altered answers"]
    measured = table(head, rows)
    body = BODY.format(measured=measured, texts=figures.texts, runs=figures.runs)
    write_section("throughput", "Throughput beside a direct run", "make bench-throughput", body)
    print(measured)


BODY = """A mock model server that costs next to nothing ({texts:,} different benign texts of 600 characters; streams of
150 pieces with 0 or 10 ms between them), a closed-loop load generator, N connections (`xN`). Rates are answers per
second, as median [least..greatest] of {runs} runs; the ratio is to the direct run right before. CPU is Lethe's own:
seconds per 1,000 whole answers, or per million tokens of four characters (streams). With 0 entries Lethe passes
through (fields are filtered, nothing is judged); else the default policy applies (adaptive). An altered answer ended
as filtered, failed, or differs in any byte.

{measured}

Model server and load share one core, Lethe has the other.
"""


if __name__ == "__main__":
    main()
