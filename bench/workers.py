"""What a second worker brings and costs: throughput of one and of two, memory of the second, how connections spread.

Mock model server, load and workers share the cores of this machine: what two workers could do on a machine with a core
for each is more than what is measured where there are two cores for all.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.dataset import add_data_option
from bench.harness.exchanges import write
from bench.harness.lethe import Lethe, copied, serving
from bench.harness.load import Plan, Scenario, Target
from bench.harness.processes import load, mock_upstream
from bench.report import table, write_section
from bench.scale import ROWS_PER_ENTRY
from bench.scale_index import NAMESPACE, stored
from bench.scale_vectors import HOW, mixtures, sentence_vectors
from guard.verdict import Kind
from index.embedder import load_embedder
from index.vectors import Row, VectorTable
from server.service import open_index, open_store
from server.settings import load_settings

UPSTREAM_PORT = 9000
UPSTREAM = f"http://127.0.0.1:{UPSTREAM_PORT}"
PORTS = {1: 9180, 2: 9190}
SCENARIOS = (Scenario(False, 32), Scenario(True, 32))
WARMING = (Scenario(False, 8),)
TRIALS = 20
CONNECTIONS = (16, 64)
MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Memory:
    """Of the second of two workers, in MiB: what is its own, and what it shares with others."""

    own: float
    shared: float


def target(lethe: Lethe) -> Target:
    """Where the load goes."""
    return Target(f"{lethe.base}/v1/chat/completions", headers={"Authorization": f"Bearer {lethe.key}"}, pid=lethe.pid)


def throughput(data: Path, entries: int, runs: int, secs: float) -> list[dict[str, Any]]:
    """Runs of all scenarios with one worker and with two, in turn, with the same requests."""
    found: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lethe-bench-")))
        texts = folder / "texts.json"
        write(data, texts)
        pid = stack.enter_context(mock_upstream(UPSTREAM_PORT, texts, folder / "upstream.log"))
        targets: dict[str, Target] = {}
        for workers, port in PORTS.items():
            store = stack.enter_context(copied(data, entries)) if entries else folder / f"store-{workers}"
            store.mkdir(exist_ok=True)
            lethe = stack.enter_context(serving(store, UPSTREAM, port, None, workers))
            targets[str(workers)] = target(lethe)
        first = _after(load(Plan(str(texts), UPSTREAM, pid, targets, list(WARMING), 2.0), folder))
        for _ in range(runs):
            found.append(load(Plan(str(texts), UPSTREAM, pid, targets, list(SCENARIOS), secs, first), folder))
            first = _after(found[-1])
    return found


def _after(results: dict[str, dict[str, Any]]) -> int:
    return max(int(figures["last"]) for both in results.values() for figures in both.values())


def throughput_rows(name: str, runs: list[dict[str, Any]]) -> list[list[str]]:
    """One row per scenario: rates of one worker and of two, their ratio, and the processor time of either."""
    rows = []
    for scenario in SCENARIOS:
        both = [run[scenario.name] for run in runs]
        ratios = sorted(one["2"]["per_s"] / one["1"]["per_s"] for one in both)
        faults = sum(sum(figures["faults"].values()) for one in both for figures in one.values())
        rows.append(
            [
                name,
                scenario.name,
                *(_spread([one[n]["per_s"] for one in both]) for n in ("1", "2")),
                f"{ratios[len(ratios) // 2]:.2f} [{ratios[0]:.2f}..{ratios[-1]:.2f}]",
                *(_spread([1e3 * one[n]["cpu_s"] / max(1, one[n]["answers"]) for one in both], 1) for n in ("1", "2")),
                str(faults),
            ]
        )
    return rows


def _spread(values: list[float], digits: int = 0) -> str:
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 2]:,.{digits}f} [{ordered[0]:,.{digits}f}..{ordered[-1]:,.{digits}f}]"


@contextlib.contextmanager
def _two_workers(folder: Path) -> Iterator[tuple[Lethe, psutil.Process]]:
    """A server with two workers on the store in `folder`, and the second worker."""
    with serving(folder, "http://127.0.0.1:9", PORTS[2], None, 2) as lethe:
        workers = sorted(psutil.Process(lethe.pid).children(), key=psutil.Process.create_time)
        yield lethe, workers[1]


def _memory(worker: psutil.Process) -> Memory:
    info = worker.memory_full_info()
    return Memory(info.uss / MEBIBYTE, (info.rss - info.uss) / MEBIBYTE)


def memory(data: Path, vectors: int) -> tuple[Memory, Memory, float, str]:
    """Of the second worker without and with a large index; the index's size in MiB; how its vectors were made."""
    with tempfile.TemporaryDirectory(prefix="lethe-bench-") as place:
        folder = Path(place) / "large"
        folder.mkdir()
        size, how = _large(data, vectors, folder)
        (Path(place) / "empty").mkdir()
        with _two_workers(Path(place) / "empty") as (_, worker):
            without = _memory(worker)
        with _two_workers(folder) as (lethe, worker):
            entries = lethe.metric("lethe_index_entries")
            if entries.get(f'lethe_index_entries{{kind="fact",namespace="{NAMESPACE}"}}', 0) * ROWS_PER_ENTRY < vectors:
                raise SystemExit("the workers did not start from the stored snapshot")
            lethe.call("POST", f"/lethe/v1/check?namespace={NAMESPACE}", {"text": "The harbour was quiet that year."})
            return without, _memory(worker), size / MEBIBYTE, how


def _large(data: Path, vectors: int, folder: Path) -> tuple[int, str]:
    """A store with a stored snapshot of so many vectors; its bytes, and how the vectors were made."""
    real = sentence_vectors(data, load_embedder())
    entries = [f"ent_{i // ROWS_PER_ENTRY:032x}" for i in range(vectors)]
    whole = VectorTable.built([Row(entry, Kind.FACT) for entry in entries], mixtures(real, vectors, seed=1)).folded()
    settings = load_settings({"store": f"sqlite:///{folder / 'lethe.db'}"}, {})
    store = open_store(settings.store)
    try:
        index = open_index(settings, store, "bench")
        size = stored(index, folder / "lethe.db", whole, list(dict.fromkeys(entries)))
    finally:
        store.close()
    return size, HOW.format(sentences=len(real), model=index.embedder.name)


def spread(connections: int) -> tuple[int, int]:
    """Of connections that arrive together: how many reach the busier of two listening sockets, median and most."""
    most = []
    for _ in range(TRIALS):
        with contextlib.ExitStack() as stack:
            listening = [stack.enter_context(_shared(0))]
            port: int = listening[0].getsockname()[1]
            listening.append(stack.enter_context(_shared(port)))
            for bound in listening:
                bound.listen(2 * connections)
                bound.setblocking(False)
            for _ in range(connections):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            found = Counter[int]()
            for number, bound in enumerate(listening):
                with contextlib.suppress(BlockingIOError):
                    while True:
                        stack.enter_context(bound.accept()[0])
                        found[number] += 1
            most.append(max(found.values()))
    return sorted(most)[len(most) // 2], max(most)


def _shared(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound


BODY = """One worker is a server without a supervisor. The mock model server, the load generator and all workers share
the cores of this machine, so two workers never have two cores to themselves here. Rates are answers of about 600
characters per second (`whole`; `stream 0 ms`: without pauses; `x32`: connections), as median [min..max] over the runs;
CPU is that of all processes of the server, in milliseconds per answer. With 0 entries Lethe passes through.

{throughput}

Memory of the second of two workers, in MiB: *own* is its unique set size (`Private_*` in `smaps_rollup`), *shared* is
what others have mapped too. The index holds {vectors:,} vectors ({how}), {size:,.0f} MiB in all; the aim is that
*own* does not include it. The difference is {growth:,.0f} MiB.

{memory}

Connections that arrive together, {trials} trials: how many the busier of two workers gets.

{spread}
"""


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--entries", type=int, default=10_000, help="entries of the cascade (%(default)s)")
    parser.add_argument("--vectors", type=int, default=1_000_000, help="vectors of the large index (%(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each scenario (%(default)s)")
    parser.add_argument("--secs", type=float, default=3.0, help="seconds in which requests begin (%(default)s)")
    given = parser.parse_args()
    rows: list[list[str]] = []
    for entries in (0, given.entries):
        rows += throughput_rows(f"{entries:,}", throughput(given.data, entries, given.runs, given.secs))
    without, with_index, size, how = memory(given.data, given.vectors)
    spreads = [[str(count), *map(str, spread(count))] for count in CONNECTIONS]
    head = ["entries", "scenario", "1 worker, /s", "2 workers, /s", "ratio", "CPU of 1, ms", "CPU of 2, ms", "faults"]
    body = BODY.format(
        throughput=table(head, rows),
        vectors=given.vectors,
        how=how,
        size=size,
        growth=with_index.own - without.own,
        memory=table(
            ["index", "own", "shared"],
            [
                ["empty", f"{without.own:,.0f}", f"{without.shared:,.0f}"],
                [f"{given.vectors:,} vectors", f"{with_index.own:,.0f}", f"{with_index.shared:,.0f}"],
            ],
        ),
        trials=TRIALS,
        spread=table(["connections", "median", "most"], spreads),
    )
    write_section("workers", "Workers", "make bench-workers", body)
    print(body)


if __name__ == "__main__":
    main()
