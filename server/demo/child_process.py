"""A server that runs as a child of the demonstration and never outlives it."""

from __future__ import annotations

import atexit
import http.client
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from server.demo.errors import ServerNotStarted
from server.demo.local_http import get

_POLL_S: Final = 0.2
_SHOWN_LINES: Final = 12
_LOGS_KEPT: Final = 8


def log_file(directory: Path, name: str) -> Path:
    """Where a server called `name` is to write. Of earlier logs with that name, the newest stay."""
    earlier = sorted(directory.glob(f"{name}-*.log"), key=lambda path: path.stat().st_mtime)
    for path in earlier[: -_LOGS_KEPT + 1]:
        path.unlink(missing_ok=True)
    return directory / f"{name}-{time.time_ns():x}.log"


class ChildProcess:
    """Started at once, in a process group of its own, with its output in a log file.

    Start it from a thread that lives as long as it is needed: where the system can, it ends with that thread.
    """

    def __init__(
        self, name: str, command: Sequence[str], variables: Mapping[str, str], log: Path, unset: Sequence[str] = ()
    ) -> None:
        self.name, self.log = name, log
        self._stopped = False
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603  # our own command, no shell
                _command(command, variables, unset),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        """Of the child itself, the leader of its group."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the child has not ended."""
        return self._process.poll() is None

    def wait_ready(self, url: str, timeout_s: float, console: Console) -> float:
        """Waits until `url` answers 200; returns the seconds that took. Raises `ServerNotStarted` with its log."""
        start = time.monotonic()
        columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        with Progress(*columns, console=console) as progress:
            progress.add_task(f"starting {self.name}", total=None)
            while time.monotonic() - start < timeout_s:
                if not self.is_running():
                    raise ServerNotStarted(f"{self.name} ended with status {self._process.returncode}.\n{self._tail()}")
                if _answers(url):
                    return time.monotonic() - start
                time.sleep(_POLL_S)
        self.stop()
        raise ServerNotStarted(f"{self.name} was not ready after {timeout_s:.0f} s.\n{self._tail()}")

    def stop(self, grace_s: float = 10.0) -> None:
        """Asks the child to end, then ends whatever is left of its group. Does nothing the second time."""
        if self._stopped:
            return
        self._stopped = True
        atexit.unregister(self.stop)
        if self.is_running():
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def _tail(self) -> str:
        lines = self.log.read_text("utf-8", "replace").splitlines()[-_SHOWN_LINES:]
        return "\n".join([*lines, f"The whole output is in {self.log}."])


def _command(command: Sequence[str], variables: Mapping[str, str], unset: Sequence[str]) -> list[str]:
    """The command with variables added to the environment that it inherits; where possible, it ends with its parent."""
    tether = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    without = [part for name in unset for part in ("-u", name)]
    added = [f"{name}={value}" for name, value in variables.items()]
    return [*tether, "env", *without, *added, *command]


def _answers(url: str) -> bool:
    try:
        return get(url).status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
