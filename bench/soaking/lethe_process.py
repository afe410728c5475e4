"""`lethe serve` as a process of its own, on a fresh store, in front of a given model server."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from server.settings import PREFIX

_READY_S = 180.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class LetheProcess:
    """A Lethe that serves. `metrics` is the URL of its metrics page."""

    base: str
    metrics: str
    key: str
    process: psutil.Process
    log: Path

    def rss(self) -> int:
        """Resident bytes of it and of its children."""
        return sum(process.memory_info().rss for process in self._all())

    def files(self) -> int:
        """Open file descriptors."""
        return sum(process.num_fds() for process in self._all())

    def _all(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    async def metric(self, name: str) -> float:
        """The sum of all series of a metric; 0 when it has none."""
        async with aiohttp.ClientSession() as session, session.get(self.metrics) as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


@contextmanager
def lethe_process(upstream: str, *options: str) -> Iterator[LetheProcess]:
    """Start it, wait until it is ready, and end it with the block."""
    key = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="lethe-bench-") as folder:
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "server", "serve", "--upstream", upstream]
        command += ["--port", "0", "--metrics-port", "0", "--store", f"sqlite:///{folder}/lethe.db", *options]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        with log.open("wb") as output:
            child = subprocess.Popen(command, env={**clean, f"{PREFIX}ADMIN_KEY": key}, stdout=output, stderr=output)
        try:
            told = _announced(child, log)
            yield LetheProcess(str(told["url"]), str(told["metrics"]), key, psutil.Process(child.pid), log)
        finally:
            child.terminate()
            child.wait(30)


def _announced(child: subprocess.Popen[bytes], log: Path) -> dict[str, object]:
    for _ in range(round(_READY_S / _POLL_S)):
        for line in log.read_text().splitlines():
            if '"serving"' in line:
                told: dict[str, object] = json.loads(line)
                return told
        if child.poll() is not None:
            break
        time.sleep(_POLL_S)
    raise SystemExit(f"lethe serve did not start:\n{log.read_text()[-2000:]}")
