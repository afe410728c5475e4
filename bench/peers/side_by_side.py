"""Requests per second, delays and processor time of Lethe and of other proxies, each beside a direct run.

The mock model server and the load generator share one core, the proxy in question has the other. Every proxy is
installed by this benchmark, in an environment of its own, and gets the same requests. What was measured is kept as
JSON (`--again FILE` writes the section from it without measuring).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.dataset import add_data_option
from bench.harness.exchanges import write
from bench.harness.lethe import CACHE
from bench.harness.load import Plan, Scenario, Target
from bench.harness.processes import NotStarted, load, mock_upstream
from bench.peers.catalog import PEERS, Peer, Place
from bench.peers.environments import NotInstalled
from bench.peers.figures import Figures
from bench.peers.plot import draw
from bench.peers.tables import body
from bench.report import DOCS, write_section
from server.demo.local_http import free_port

UPSTREAM_PORT = 9000
"""Where the mock model server listens, if it is free."""
SCENARIOS = (
    Scenario(False, 16),
    Scenario(True, 16, 10),
    Scenario(True, 64, 10),
)
WARMING = (Scenario(False, 4), Scenario(True, 4))
Results = dict[str, dict[str, Any]]


@contextmanager
def _upstream(data: Path) -> Iterator[tuple[str, Path, int, int]]:
    """The mock model server: its URL, the file of its texts, how many they are, its process id."""
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
        texts = Path(folder) / "texts.json"
        count = write(data, texts)
        with mock_upstream(port := free_port(UPSTREAM_PORT), texts, Path(folder) / "upstream.log") as pid:
            yield f"http://127.0.0.1:{port}", texts, count, pid


def measured(peer: Peer, arguments: argparse.Namespace, upstream: str, texts: Path, pid: int) -> dict[str, Any]:
    """All runs of one proxy: `{"runs": [...]}`, or why there are none."""
    direct = Target(f"{upstream}/v1/chat/completions", pid=pid)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix=f"bench-{peer.name}-") as folder:
        place = Place(upstream, Path(folder) / "server", arguments.cache, arguments.data)
        place.folder.mkdir()
        try:
            with peer.start(place) as target:
                both = {"direct": direct, "peer": target}
                warming = Plan(str(texts), upstream, pid, {"peer": target}, list(WARMING), 1.0)
                first = _after(load(warming, Path(folder)))
                for _ in range(arguments.runs):
                    plan = Plan(str(texts), upstream, pid, both, list(SCENARIOS), arguments.secs, first)
                    runs.append(load(plan, Path(folder)))
                    first = _after(runs[-1])
                    _tell(peer, runs[-1])
        except (NotInstalled, NotStarted) as cause:
            return {"runs": runs, "fault": str(cause)}
    return {"runs": runs}


def _after(results: Results) -> int:
    """The number of the request after the last that a proxy got: no text comes again before all others have."""
    return max(int(figures["peer"]["last"]) for figures in results.values())


def _tell(peer: Peer, results: Results) -> None:
    parts = []
    for name, both in results.items():
        one, direct = both["peer"], both["direct"]
        told = f"{one['per_s']:.0f}/s"
        if one.get("first_p50") is not None and direct.get("first_p50") is not None:
            told = f"added TTFT {one['first_p50'] - direct['first_p50']:.1f} ms"
            told += f", CPU {1e6 * one['cpu_s'] / max(1, one['tokens']):.0f} s/M"
        parts.append(f"{name}: {told}, faults {sum(one['faults'].values())}, others {one['foreign']:.1f} cores")
    print(f"{peer.name}: {'; '.join(parts)}", file=sys.stderr, flush=True)


def measure(arguments: argparse.Namespace, kept: Path) -> dict[str, Any]:
    """Every proxy that is wanted. What there is by then is kept after each."""
    wanted = arguments.only.split(",") if arguments.only else [peer.name for peer in PEERS]
    if unknown := set(wanted) - {peer.name for peer in PEERS}:
        raise SystemExit(f"no proxy is called {', '.join(sorted(unknown))}: {', '.join(p.name for p in PEERS)}")
    found: dict[str, Any] = {"peers": {}, "secs": arguments.secs}
    kept.parent.mkdir(parents=True, exist_ok=True)
    with _upstream(arguments.data) as (upstream, texts, count, pid):
        found["texts"] = count
        for peer in PEERS:
            if peer.name in wanted:
                print(f"{peer.name}:", file=sys.stderr, flush=True)
                found["peers"][peer.name] = measured(peer, arguments, upstream, texts, pid) | {"title": peer.title}
                kept.write_text(json.dumps(found))
    return found


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md when every proxy had its turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--only", default="", help="some of " + ",".join(peer.name for peer in PEERS))
    parser.add_argument("--runs", type=int, default=3, help="runs of each proxy (%(default)s)")
    parser.add_argument("--secs", type=float, default=2.0, help="seconds in which requests begin (%(default)s)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where proxies and stores are kept (%(default)s)")
    parser.add_argument("--again", type=Path, help="what an earlier run kept, instead of measuring")
    parser.add_argument("--dry", action="store_true", help="print the figures and write nothing into the docs")
    arguments = parser.parse_args()
    arguments.data = arguments.data.resolve()
    kept = arguments.again or arguments.cache / "peers" / "runs" / f"{datetime.now():%Y%m%d-%H%M%S}.json"
    found = json.loads(kept.read_text()) if arguments.again else measure(arguments, kept)
    text = body(Figures(found))
    print(f"{text}\n\nThe figures are kept in {kept}.")
    if not arguments.dry and not arguments.only and len(found["peers"]) == len(PEERS):
        draw(Figures(found), DOCS / "benchmarks" / "peers.png")
        write_section("peers", "Beside other proxies", "make bench-peers", text)
