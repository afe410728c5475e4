"""Lethe as a process of its own, as operators run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
ADMIN = "bootstrap-key-of-the-tests"
_WARM = """
import sys
import index.transformer, server.serving
sys.stdin.readline()
from server.cli import main
sys.exit(main(sys.argv[1:]))
"""


def environment(**changes: str) -> dict[str, str]:
    """The environment without variables of ours, except these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LETHE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


@dataclass
class Ran:
    """What a command answered."""

    code: int
    out: str
    err: str


def lethe(*arguments: str, cwd: Path, text: str = "", env: Mapping[str, str] | None = None) -> Ran:
    """Run a command to its end."""
    command = [sys.executable, "-m", "server", *arguments]
    done = subprocess.run(
        command, cwd=cwd, env=environment(**(env or {})), input=text, capture_output=True, text=True, timeout=120
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass
class ServerProcess:
    """`lethe serve` in `cwd`. A prepared one has loaded its modules and starts when `go` is called."""

    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    prepared: bool = False

    def __post_init__(self) -> None:
        how = ["-c", _WARM] if self.prepared else ["-m", "server"]
        options = ["serve", "--port", "0", "--metrics-port", "0", "--upstream", "http://127.0.0.1:9", *self.arguments]
        self.log = self.cwd / f"log-{time.monotonic_ns()}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *how, *options],
                cwd=self.cwd,
                env=environment(**self.env),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def go(self) -> None:
        """Let a prepared process start; then wait until the server serves."""
        if self.prepared:
            assert self.process.stdin is not None
            self.process.stdin.write(b"go\n")
            self.process.stdin.flush()
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            if serving := [event for event in self.events() if event.get("event") == "serving"]:
                self.url, self.metrics_url = serving[0]["url"], serving[0]["metrics"]
                return
            time.sleep(0.02)
        raise AssertionError(f"the server did not start: {self.log.read_text()}")

    def events(self) -> list[dict[str, Any]]:
        """The lines of the log that are JSON."""
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    def client(self, key: str | None = ADMIN) -> httpx.Client:
        """A client of both sides."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM; answers the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def serving(cwd: Path, *arguments: str, **env: str) -> Iterator[ServerProcess]:
    """A server that serves."""
    server = ServerProcess(cwd, env, arguments)
    try:
        server.go()
        yield server
    finally:
        server.kill()
