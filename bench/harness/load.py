"""A closed-loop load generator: each of N connections sends its next request when its last answer is complete.

    python -m bench.harness.load SPECIFICATION.json OUT.json

The specification is a `Plan` as JSON. Every scenario is measured on the mock model server itself (*direct*) and right
after on the server in question, with the same requests; each answer's text is compared with what was to be sent. What
arrives is read when the measurement is over.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil
import uvloop

from bench.harness.client import Connection, Reply, said
from bench.harness.exchanges import Exchange, read
from bench.harness.upstream import PIECE

PATIENCE_S = 120.0
MOST_FAULTS = 100
MOST_EXAMPLES = 5
"""Changed answers that are shown: number, characters up to the first difference, and what follows, sent and read."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Whole answers or streams with a pause between pieces, over so many connections at once."""

    stream: bool
    connections: int
    pause_ms: float = 0.0
    arrivals: str = "together"
    """Streams begin `together`, or are `spread` evenly over the first two seconds (which are not counted)."""

    @property
    def name(self) -> str:
        """A short name, the same for the same scenario."""
        kind = f"stream {self.pause_ms:g} ms" if self.stream else "whole"
        return f"{kind} x{self.connections}" + (" spread" if self.arrivals == "spread" else "")


@dataclass(frozen=True, slots=True)
class Target:
    """A server to measure: URL of its chat completions, model name, more headers, its process (0: unknown)."""

    url: str
    model: str = "mock"
    headers: dict[str, str] = field(default_factory=dict)
    pid: int = 0
    needs_done: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process measures. `first` is the number of the first request; `detail` keeps every stream's times."""

    texts: str
    upstream: str
    upstream_pid: int
    targets: dict[str, Target]
    scenarios: list[Scenario]
    seconds: float
    first: int = 0
    detail: bool = False

    @staticmethod
    def read(path: Path) -> Plan:
        """The plan in a JSON file."""
        raw = json.loads(path.read_text())
        targets = {name: Target(**one) for name, one in raw.pop("targets").items()}
        return Plan(targets=targets, scenarios=[Scenario(**one) for one in raw.pop("scenarios")], **raw)

    def write(self, path: Path) -> None:
        """Put the plan into a JSON file."""
        path.write_text(json.dumps(asdict(self)))


def processor_seconds(pid: int) -> dict[int, float]:
    """User and system seconds of a process and of each of its descendants, by process id."""
    found: dict[int, float] = {}
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            times = process.cpu_times()
            found[process.pid] = times.user + times.system
    except psutil.NoSuchProcess:
        pass
    return found


def spent(before: dict[int, float], after: dict[int, float]) -> float:
    """Seconds between two calls of `processor_seconds`; processes that were not there before count in full."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def busy_seconds() -> float:
    """Busy seconds of all cores since the machine started, those of other guests included."""
    ticks = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def request(target: Target, exchange: Exchange, number: int, stream: bool) -> bytes:
    """The bytes of one request."""
    content = f"{exchange.prompt}\n(request {number})"
    body = {"model": target.model, "messages": [{"role": "user", "content": content}], "max_tokens": 256}
    data = orjson.dumps({**body, "stream": True} if stream else body)
    parts = urlsplit(target.url)
    heads = {"Host": parts.netloc, "Content-Type": "application/json", "Accept": "*/*", "User-Agent": "bench"}
    heads |= {"Authorization": "Bearer sk-none", "Content-Length": str(len(data)), **target.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in heads.items())
    return f"POST {parts.path} HTTP/1.1\r\n{lines}\r\n".encode() + data


def percentile(values: list[float], share: float) -> float | None:
    """The value below which this share of the values lies; None of nothing."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else None


class Measurement:
    """One scenario on one server."""

    def __init__(self, plan: Plan, exchanges: list[Exchange], target: Target, scenario: Scenario) -> None:
        self.plan, self.exchanges, self.target, self.scenario = plan, exchanges, target, scenario
        self.replies: list[Reply] = []
        self.faults = 0

    async def run(self, first: int) -> dict[str, Any]:
        """Measure, with requests numbered from `first` on."""
        self.number = first
        parts = urlsplit(self.target.url)
        count, warm = self.scenario.connections, 2.0 if self.scenario.arrivals == "spread" else 0.0
        connections = [Connection(parts.hostname or "", parts.port or 80) for _ in range(count)]
        pids = (os.getpid(), self.plan.upstream_pid, self.target.pid)
        began, machine = time.monotonic(), busy_seconds()
        before = [processor_seconds(pid) for pid in pids]
        ends = began + warm + self.plan.seconds
        await asyncio.gather(*(self._work(c, warm * i / count, ends) for i, c in enumerate(connections)))
        wall, load = time.monotonic() - began, busy_seconds() - machine
        after = [processor_seconds(pid) for pid in pids]
        for connection in connections:
            connection.end()
        own, upstream, server = (spent(a, b) for a, b in zip(before, after, strict=True))
        known = own + upstream + (server if self.target.pid != self.plan.upstream_pid else 0.0)
        figures = self._figures(began + warm)
        return {
            **figures,
            "wall_s": wall,
            "per_s": figures["answers"] / wall,
            "cpu_s": server,
            "harness": (own + upstream) / wall,
            "foreign": max(0.0, load - known) / wall,
            "last": self.number,
        }

    async def _work(self, connection: Connection, delay: float, ends: float) -> None:
        await asyncio.sleep(delay)
        while time.monotonic() < ends and self.faults < MOST_FAULTS:
            number, self.number = self.number, self.number + 1
            exchange = self.exchanges[number % len(self.exchanges)]
            data = request(self.target, exchange, number, self.scenario.stream)
            reply = await connection.ask(number, data, PATIENCE_S)
            self.replies.append(reply)
            if reply.fault or reply.status != 200:
                self.faults += 1
                await asyncio.sleep(0.01)

    def _figures(self, counted_from: float) -> dict[str, Any]:
        """Read what arrived. Latencies in milliseconds; those of answers begun before `counted_from` do not count."""
        faults, tokens, answers, suppressed, changed = Counter[str](), 0, 0, 0, 0
        total, first, gaps = list[float](), list[float](), list[float]()
        streams: list[dict[str, Any]] = []
        examples: list[list[Any]] = []
        for reply in self.replies:
            wanted = self.exchanges[reply.number % len(self.exchanges)].text
            found = said(reply, self.scenario.stream, self.target.needs_done)
            if found.fault:
                faults[found.fault] += 1
                continue
            answers += 1
            tokens += -(-len(wanted) // PIECE)
            if found.text != wanted:
                suppressed += found.finish == "content_filter"
                changed += found.finish != "content_filter"
                if found.finish != "content_filter" and len(examples) < MOST_EXAMPLES:
                    pairs = zip(found.text, wanted, strict=False)
                    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
                    rest = [text[same : same + 60] for text in (wanted, found.text)]
                    examples.append([reply.number, same, *rest])
            elif reply.began >= counted_from:
                times = [when for when, _ in found.pieces]
                total.append(1e3 * (reply.ended - reply.began))
                first.append(1e3 * (times[0] - reply.began))
                gaps += [1e3 * (b - a) for a, b in itertools.pairwise(times)]
                if self.plan.detail:
                    pieces = [(when, len(text)) for when, text in found.pieces]
                    streams.append({"number": reply.number, "began": reply.began, "pieces": pieces})
        figures: dict[str, Any] = {"answers": answers, "tokens": tokens, "faults": dict(faults)}
        figures |= {"suppressed": suppressed, "changed": changed, "examples": examples}
        for name, values in (("total", total), ("first", first), ("gap", gaps)):
            if self.scenario.stream or name == "total":
                figures |= {f"{name}_p{int(100 * p)}": percentile(values, p) for p in (0.5, 0.95, 0.99)}
        return figures | ({"streams": streams} if self.plan.detail else {})


def get(url: str) -> Any:
    """A JSON answer."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


async def measure(plan: Plan) -> dict[str, dict[str, Any]]:
    """All scenarios on all targets, in turn: `{scenario: {target: figures}}`. Every target gets the same requests."""
    exchanges = read(Path(plan.texts))
    results: dict[str, dict[str, Any]] = {}
    first = plan.first
    for scenario in plan.scenarios:
        results[scenario.name], last = {}, first
        for name, target in plan.targets.items():
            get(f"{plan.upstream}/_ctl?pause_ms={scenario.pause_ms}&log={int(plan.detail)}")
            figures = await Measurement(plan, exchanges, target, scenario).run(first)
            if plan.detail:
                sent = get(f"{plan.upstream}/_sent")
                for stream in figures["streams"]:
                    stream["sent"] = sent.get(str(stream["number"]), [])
            results[scenario.name][name] = figures
            last = max(last, figures["last"])
        first = last
    return results


def main() -> None:
    """Measure as the plan says."""
    plan = Plan.read(Path(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps(uvloop.run(measure(plan))))


if __name__ == "__main__":
    main()
