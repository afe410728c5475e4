"""Servers and load generators as child processes, each on a core of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.harness.load import Plan

LOAD_CORE, SERVER_CORE = 0, 1
"""The mock model server and the load share a core; the server that is measured has the other."""


class NotStarted(Exception):
    """A server ended, or never answered. The message ends with the last lines of its output."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server. `environment` is added to ours; `core` is None where it may use them all."""

    command: Sequence[str]
    log: Path
    core: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    patience_s: float = 180.0


def answers(url: str, headers: Mapping[str, str], body: object) -> bool:
    """Whether a URL answers with 200; a GET without a body."""
    data = None if body is None else json.dumps(body).encode()
    heads = {"content-type": "application/json", **headers}
    request = urllib.request.Request(url, data, heads)
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=20) as answer:  # HTTPError is an OSError
        return bool(answer.status == 200)
    return False


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started in this block stays on a core; None: on any."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(launch: Launch, url: str, headers: Mapping[str, str] | None = None, body: object = None) -> Iterator[int]:
    """A server, from the moment `url` answers to the end of the block. Gives its process id. Raises `NotStarted`."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LETHE_")} | dict(launch.environment)
    launch.log.parent.mkdir(parents=True, exist_ok=True)
    with launch.log.open("wb") as output, on_core(launch.core):
        process = subprocess.Popen(
            launch.command,
            env=environment,
            cwd=launch.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + launch.patience_s
        while not answers(url, headers or {}, body):
            if process.poll() is not None or time.monotonic() > until:
                said = launch.log.read_text("utf-8", "replace")[-1500:]
                state = "never answered" if process.poll() is None else f"ended with status {process.returncode}"
                raise NotStarted(f"{Path(launch.command[0]).name} {state}: {said}")
            time.sleep(0.3)
        yield process.pid
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started: they are a process group of their own."""
    for number, patience in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 20.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            if number == signal.SIGKILL:
                return


@contextlib.contextmanager
def mock_upstream(port: int, texts: Path, log: Path) -> Iterator[int]:
    """The mock model server, on the core of the load. Gives its process id."""
    command = [sys.executable, "-m", "bench.harness.upstream", "--port", str(port), "--texts", str(texts)]
    with running(Launch(command, log, LOAD_CORE), f"http://127.0.0.1:{port}/health") as pid:
        yield pid


def load(plan: Plan, folder: Path) -> dict[str, dict[str, Any]]:
    """Run a plan in a process of its own, on the core of the load. Raises `NotStarted` when that fails."""
    wanted, result = folder / "plan.json", folder / "result.json"
    plan.write(wanted)
    command = [sys.executable, "-m", "bench.harness.load", str(wanted), str(result)]
    with on_core(LOAD_CORE):
        done = subprocess.run(command, stderr=subprocess.PIPE, check=False, text=True)
    if done.returncode:
        raise NotStarted(f"the load generator failed: {done.stderr[-1500:]}")
    found: dict[str, dict[str, Any]] = json.loads(result.read_text())
    return found
