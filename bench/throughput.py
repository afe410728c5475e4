"""Requests per second, and CPU seconds per million streamed tokens, beside a direct run on the same mock upstream.

Uses the mock upstream and the load generator of a harness folder (`--harness`): `upstream.py`, `load.py`, `prio.py`.
Upstream and load run on one core, Lethe on the other.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.dataset import Tofu, add_data_option
from bench.report import table, write_section

UPSTREAM_PORT, PORT, METRICS_PORT = 9000, 9180, 9181
UPSTREAM = f"http://127.0.0.1:{UPSTREAM_PORT}"
BASE = f"http://127.0.0.1:{PORT}"


@contextlib.contextmanager
def running(
    command: list[str], url: str, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server, from the moment it answers `url` to the end of the block."""
    process = subprocess.Popen(command, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
                break
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended with status {process.returncode}")
            time.sleep(0.2)
        else:
            raise SystemExit(f"{url} never answered")
        yield process
    finally:
        process.terminate()
        process.wait(20)


def call(method: str, path: str, key: str, body: object) -> Any:
    """One call of the operator API."""
    request = urllib.request.Request(
        BASE + path,
        json.dumps(body).encode(),
        {"authorization": f"Bearer {key}", "content-type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def fill(key: str, data: Path, entries: int) -> None:
    """Put TOFU facts into the index: the forget set first, then as many of the others as are wanted."""
    tofu = Tofu(data)
    facts = [*tofu.entries(), *tofu.retain()][:entries]
    drafts = [{"kind": "fact", "text": a.text, "prompt": a.prompt} for a in facts]
    for at in range(0, len(drafts), 250):
        path = "/lethe/v1/entries/batch?wait=applied&timeout_s=60"
        call("POST", path, key, {"entries": drafts[at : at + 250]})
        print(f"{min(at + 250, len(drafts))}/{len(drafts)} entries", file=sys.stderr, flush=True)


def measure(arguments: argparse.Namespace, entries: int) -> dict[str, Any]:
    """Load runs, direct and through Lethe in turn."""
    harness, key = arguments.harness, secrets.token_hex(16)
    pin = [sys.executable, str(harness / "prio.py")]
    with tempfile.TemporaryDirectory(prefix="lethe-bench-") as folder, contextlib.ExitStack() as stack:
        upstream = [*pin, "0", sys.executable, str(harness / "upstream.py"), "--port", str(UPSTREAM_PORT)]
        up = stack.enter_context(running(upstream, f"{UPSTREAM}/health"))
        serve = [*pin, "1", sys.executable, "-m", "server", "serve", "--upstream", UPSTREAM, "--port", str(PORT)]
        serve += [
            "--metrics-port",
            str(METRICS_PORT),
            "--store",
            f"sqlite:///{folder}/lethe.db",
            "--log-level",
            "warning",
        ]
        lethe = stack.enter_context(running(serve, f"{BASE}/readyz", {"LETHE_ADMIN_KEY": key}))
        fill(key, arguments.data, entries)
        out = Path(folder) / "result.json"
        load = [*pin, "0", sys.executable, str(harness / "load.py"), "--name", f"lethe {entries}", "--base", BASE]
        load += ["--pid", str(lethe.pid), "--upstream", UPSTREAM, "--upstream-pid", str(up.pid), "--out", str(out)]
        load += ["--headers", json.dumps({"Authorization": f"Bearer {key}"}), "--runs", str(arguments.runs)]
        load += ["--conc", arguments.conc, "--secs", str(arguments.secs), "--scenarios", "plain,sse0,sse10"]
        subprocess.run(load, check=True)
        result: dict[str, Any] = json.loads(out.read_text())
        return result


def spread(runs: list[dict[str, Any]], scenario: str, side: str, key: str, digits: int = 0) -> str:
    """Median [min..max] over the runs."""
    values = sorted(r[scenario][side][key] for r in runs if r[scenario].get(side, {}).get(key) is not None)
    if not values:
        return "-"
    middle = values[len(values) // 2]
    return f"{middle:,.{digits}f} [{values[0]:,.{digits}f}..{values[-1]:,.{digits}f}]"


def rows_of(name: str, result: dict[str, Any]) -> list[list[str]]:
    """One row per scenario."""
    runs = result["runs"]
    rows = []
    for scenario in runs[0]:
        stream = scenario.startswith("sse")
        key = "toks" if stream else "rps"
        ratios = sorted(r[scenario]["peer"][key] / r[scenario]["direct"][key] for r in runs)
        cpu = spread(runs, scenario, "peer", "cpu_per_1m_tok" if stream else "cpu_per_1k", 1)
        first = [r[scenario]["peer"]["ttft50"] - r[scenario]["direct"]["ttft50"] for r in runs] if stream else []
        errors = sum(sum(r[scenario]["peer"]["errors"].values()) for r in runs)
        rows.append(
            [
                name,
                scenario,
                spread(runs, scenario, "direct", key),
                spread(runs, scenario, "peer", key),
                f"{ratios[len(ratios) // 2]:.2f}",
                cpu,
                f"{sorted(first)[len(first) // 2]:.1f}" if first else "-",
                str(errors),
                " ".join(sorted({r[scenario]["peer"]["text_ok"] for r in runs})),
            ]
        )
    return rows


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    harness = os.environ.get("BENCH_HARNESS") or "../shared/bench"
    parser.add_argument("--harness", type=Path, default=Path(harness), help="folder of the load harness (%(default)s)")
    parser.add_argument("--entries", default="0,1000", help="sizes of the index (%(default)s)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--secs", type=float, default=4)
    parser.add_argument("--conc", default="16,64", help="concurrent connections (%(default)s)")
    arguments = parser.parse_args()
    if not (arguments.harness / "load.py").is_file():
        raise SystemExit(f"no load.py in {arguments.harness}: name the harness folder with --harness or BENCH_HARNESS")
    arguments.harness = arguments.harness.resolve()
    rows: list[list[str]] = []
    for entries in map(int, arguments.entries.split(",")):
        rows += rows_of(f"{entries:,}", measure(arguments, entries))
    head = [
        "entries",
        "scenario",
        "direct, /s",
        "Lethe, /s",
        "ratio",
        "CPU s",
        "added TTFT, ms",
        "errors",
        "text intact",
    ]
    measured = table(head, rows)
    write_section(
        "throughput", "Throughput beside a direct run", "make bench-throughput", BODY.format(measured=measured)
    )
    print(measured)


BODY = """A mock upstream that costs next to nothing (answers of 154 pieces of four characters; `sse0` without pauses,
`sse10` with 10 ms between pieces), a closed-loop load generator, N connections (`c=N`). Rates are requests per second
for `plain` and tokens per second for streams, as median [min..max] over the runs; the ratio is to the direct run right
before. CPU is Lethe's own: seconds per 1,000 requests (`plain`), per million tokens (streams). *Intact*: first answers
that arrived complete and unchanged. With 0 entries Lethe passes through (fields are filtered, nothing is judged); with
entries every answer is judged by all stages, and the embedder is the limit.

{measured}

At 64 connections without pauses 1,536 windows wait at once, longer than a text may wait for its verdict
(`--judge-timeout-s`, 10 s): some answers end with an error event there, as they should, and are not intact.
"""


if __name__ == "__main__":
    main()
