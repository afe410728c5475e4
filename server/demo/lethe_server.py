"""Lethe itself, started in front of the model server as an operator would start it."""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console

from server.demo.child_process import ChildProcess, log_file
from server.demo.local_http import free_port
from server.settings import Settings, variable

METRICS_PORT: Final = 9464
_READY_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class LetheServer:
    """A running Lethe. URLs are without a trailing slash; stopped at the end of a `with`."""

    base_url: str
    metrics_url: str
    admin_key: str
    ready_after_s: float
    process: ChildProcess

    def stop(self) -> None:
        """Ends the server."""
        self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_lethe(upstream: str, directory: Path, logs: Path, port: int, console: Console) -> LetheServer:
    """Starts Lethe with its store in `directory`, on `port` if that is free. Raises `ServerNotStarted`."""
    port, metrics_port = free_port(port), free_port(METRICS_PORT)
    admin_key = secrets.token_urlsafe(24)
    key_file = directory / "admin.key"
    key_file.touch(mode=0o600)
    key_file.write_text(admin_key)
    command = [sys.executable, "-m", "server", "serve", "--upstream", upstream, "--host", "127.0.0.1"]
    options = ["--port", str(port), "--metrics-port", str(metrics_port), "--log-level", "warning"]
    stored = ["--store", f"sqlite:///{directory / 'lethe.db'}", "--admin-key-file", str(key_file)]
    inherited = [variable(name) for name in Settings.model_fields]  # what is set for another Lethe is not meant for us
    process = ChildProcess("Lethe", [*command, *options, *stored], {}, log_file(logs, "lethe"), inherited)
    base_url = f"http://127.0.0.1:{port}"
    ready = process.wait_ready(f"{base_url}/readyz", _READY_TIMEOUT_S, console)
    return LetheServer(base_url, f"http://127.0.0.1:{metrics_port}/metrics", admin_key, ready, process)
