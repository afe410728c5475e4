"""A child is ready when it answers, ends with everything it started, and explains its failure with its own words."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from server.demo.child_process import ChildProcess
from server.demo.errors import ServerNotStarted
from server.demo.local_http import free_port, get

GRANDCHILD = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_it_is_ready_when_it_answers_and_gone_when_it_is_stopped(tmp_path: Path, console: Console) -> None:
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    child = ChildProcess("files", command, {}, tmp_path / "log" / "files.log")
    url = f"http://127.0.0.1:{port}/"
    assert child.wait_ready(url, 20, console) < 20
    assert get(url).status == 200
    child.stop()
    child.stop()
    assert not child.is_running()
    with pytest.raises(OSError):
        get(url)


def test_a_child_that_ends_says_why(tmp_path: Path, console: Console) -> None:
    child = ChildProcess("broken", [sys.executable, "-c", "raise SystemExit('no such model')"], {}, tmp_path / "log")
    with pytest.raises(ServerNotStarted, match="no such model"):
        child.wait_ready("http://127.0.0.1:9/", 20, console)


def test_a_child_that_is_never_ready_is_ended(tmp_path: Path, console: Console) -> None:
    child = ChildProcess("slow", ["sleep", "600"], {}, tmp_path / "log")
    with pytest.raises(ServerNotStarted, match="not ready after"):
        child.wait_ready(f"http://127.0.0.1:{free_port()}/", 0.5, console)
    assert not child.is_running()


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    child = ChildProcess("parent", [sys.executable, "-c", GRANDCHILD], {}, tmp_path / "log")
    deadline = time.monotonic() + 20
    while not (said := (tmp_path / "log").read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(int(said))
    child.stop()
    deadline = time.monotonic() + 5
    while alive(int(said)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(int(said))


def test_it_inherits_the_environment_with_what_is_added_and_without_what_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMO_KEPT", "kept")
    monkeypatch.setenv("DEMO_REMOVED", "removed")
    child = ChildProcess("env", ["env"], {"DEMO_ADDED": "added"}, tmp_path / "log", unset=["DEMO_REMOVED"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    lines = (tmp_path / "log").read_text().splitlines()
    assert {"DEMO_KEPT=kept", "DEMO_ADDED=added"} <= set(lines)
    assert not [line for line in lines if line.startswith("DEMO_REMOVED")]
    child.stop()


def test_a_free_port_is_the_preferred_one_or_another() -> None:
    port = free_port()
    assert free_port(port) == port
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert free_port(port) != port
