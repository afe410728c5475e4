"""`lethe serve --workers 2` with real processes: one port, one forget list, one page of metrics, and no single end."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.server.operators import FACT, LEAK, PASSAGE
from tests.server.processes import ADMIN, ServerProcess, lethe, serving

CHAT = {"model": "m", "messages": [{"role": "user", "content": "How do I cook soup?"}]}
CONNECTIONS = 24
"""So many fresh connections reach both of two workers: all reach one alone once in eight million tries."""


class Model(BaseHTTPRequestHandler):
    """A model server: a short answer, or a stream that never ends."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer a chat request."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked.get("stream"):
            self._stream()
            return
        message = {"role": "assistant", "content": "With salt."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._send({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})

    def do_GET(self) -> None:
        """Be reachable, with one model."""
        self._send({"object": "list", "data": [{"id": CHAT["model"], "object": "model"}]})

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _send(self, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        choice = {"index": 0, "delta": {"content": "Stir it well. "}, "finish_reason": None}
        event = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        with suppress(OSError):
            while True:
                self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
                time.sleep(0.05)


@pytest.fixture(scope="module")
def model() -> Iterator[str]:
    """The address of a model server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, model: str) -> Iterator[ServerProcess]:
    """A server with two workers; the tests of this file use it one after the other, the last one ends it."""
    folder = tmp_path_factory.mktemp("workers")
    with serving(folder, "--workers", "2", "--upstream", model, LETHE_ADMIN_KEY=ADMIN) as server:
        yield server


def events(server: ServerProcess, name: str) -> list[dict[str, Any]]:
    """What was logged under that name."""
    return [event for event in server.events() if event.get("event") == name]


def until(true: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    """Wait until a function answers something true."""
    deadline = time.monotonic() + timeout_s
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.05)
    return found


def processes(server: ServerProcess) -> list[int]:
    """The processes of the workers that serve now, by slots."""
    latest = {event["slot"]: int(event["pid"]) for event in events(server, "worker_serves")}
    return [pid for _, pid in sorted(latest.items())]


def series(server: ServerProcess) -> dict[str, float]:
    """The page of metrics."""
    lines = httpx.get(server.metrics_url).text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def requests_counted(server: ServerProcess) -> float:
    return sum(value for name, value in series(server).items() if name.startswith("lethe_requests_total{"))


def ready(server: ServerProcess) -> httpx.Response:
    return httpx.get(server.metrics_url.replace("/metrics", "/readyz"))


def on_fresh_connections(server: ServerProcess, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers to the same call on many connections, one after the other."""
    answers = []
    for _ in range(CONNECTIONS):
        with server.client() as client:
            answer = client.post(path, json=body)
            assert answer.status_code == 200, answer.text
            answers.append(answer.json())
    return answers


@contextmanager
def endless_stream(server: ServerProcess) -> Iterator[tuple[str, Iterator[str]]]:
    """A stream that goes on: its request id and its lines."""
    with server.client() as client, client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as got:
        assert got.status_code == 200
        yield got.headers["x-request-id"], got.iter_lines()


def test_both_workers_serve_the_port_and_are_announced_once(both: ServerProcess) -> None:
    on_fresh_connections(both, "/v1/chat/completions", CHAT)
    assert {event["worker"] for event in events(both, "request")} == {1, 2}
    assert [event["workers"] for event in events(both, "serving")] == [2]
    with both.client() as client:
        replicas = client.get("/lethe/v1/status").json()["replicas"]
    assert {replica["name"] for replica in replicas if replica["live"]} == {"lethe-1/1", "lethe-1/2"}
    assert ready(both).json()["workers"] == {"ready": 2, "of": 2}
    assert ADMIN not in " ".join(psutil.Process(processes(both)[0]).cmdline())


def test_a_write_through_one_worker_is_enforced_by_both_within_a_second(both: ServerProcess) -> None:
    for number, body in enumerate((FACT, PASSAGE), start=1):
        with both.client() as client:
            answer = client.post("/lethe/v1/entries?wait=applied&timeout_s=1", json=body)
            assert answer.status_code == 201, answer.text
        found = on_fresh_connections(both, "/lethe/v1/check", LEAK)
        assert {(one["action"], one["revision"]) for one in found} == {("block", number)}
    assert series(both)["lethe_index_revision"] == 2


def test_the_metrics_are_those_of_both_workers(both: ServerProcess) -> None:
    before = requests_counted(both)
    on_fresh_connections(both, "/v1/chat/completions", CHAT)
    until(lambda: requests_counted(both) == before + CONNECTIONS, 5)
    logged = events(both, "request")
    assert len(logged) == before + CONNECTIONS
    assert {event["worker"] for event in logged[-CONNECTIONS:]} == {1, 2}
    assert series(both)['lethe_index_entries{kind="fact",namespace="default"}'] == 1


def test_a_second_server_does_not_slip_in_at_the_same_port(both: ServerProcess, tmp_path: Path) -> None:
    port = both.url.rsplit(":", 1)[1]
    for workers in ("1", "2"):
        ran = lethe("serve", "--port", port, "--metrics-port", "0", "--workers", workers, cwd=tmp_path)
        assert ran.code == 1
        assert ran.err.count("cannot be listened on") == 1
        assert "Traceback" not in ran.err


def test_a_worker_that_is_killed_comes_back_and_the_other_goes_on(both: ServerProcess) -> None:
    leader, other = processes(both)
    until(lambda: series(both)["lethe_inflight_streams"] == 0, 10)
    before = requests_counted(both)
    with endless_stream(both) as (_, lines):
        assert next(line for line in lines if "Stir" in line)
        until(lambda: series(both)["lethe_inflight_streams"] == 1, 10)
        os.kill(leader, signal.SIGKILL)
        until(lambda: ready(both).status_code == 503)
        assert [event["slot"] for event in events(both, "worker_leads")] == [2]
        assert {one["action"] for one in on_fresh_connections(both, "/lethe/v1/check", LEAK)} == {"block"}
    assert requests_counted(both) >= before
    until(lambda: ready(both).status_code == 200, 60)
    assert processes(both)[0] != leader
    assert processes(both)[1] == other
    assert series(both)["lethe_worker_restarts_total"] == 1
    with both.client() as client:
        answer = client.post("/lethe/v1/entries?wait=applied&timeout_s=5", json={**FACT, "label": "again"})
        assert answer.status_code == 201, answer.text
    found = on_fresh_connections(both, "/lethe/v1/check", LEAK)
    assert {(one["action"], one["revision"]) for one in found} == {("block", 3)}


def test_a_signal_ends_all_in_order(both: ServerProcess) -> None:
    workers = processes(both)
    assert both.terminate() == 0
    assert not any(psutil.pid_exists(pid) for pid in workers)
    assert both.events()[-1]["event"] == "stopped"
    assert len(events(both, "worker_ended")) == 1
    log = both.log.read_text()
    assert "Traceback" not in log
    assert "Vellmar" not in log


def test_workers_share_one_generated_key_and_do_not_outlive_their_supervisor(tmp_path: Path, model: str) -> None:
    with serving(tmp_path, "--workers", "2", "--upstream", model, "--shutdown-grace-s", "1") as server:
        shown = [line.strip() for line in server.log.read_text().splitlines() if "lethe_admin_" in line]
        assert len(shown) == 1
        for _ in range(CONNECTIONS):
            with server.client(shown[0]) as client:
                assert client.get("/lethe/v1/status").json()["access"] == "open_on_loopback"
        workers = processes(server)
        server.kill()
        until(lambda: not any(psutil.pid_exists(pid) and _runs(pid) for pid in workers), 15)
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url + "/healthz")


def _runs(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return str(psutil.Process(pid).status()) != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        (["--host", "0.0.0.0"], {}, "LETHE_ADMIN_KEY"),
        ([], {"LETHE_KEY_ENCRYPTION_KEY": "too-short", "LETHE_ADMIN_KEY": ADMIN}, "key-encryption key"),
    ],
)
def test_what_no_worker_can_start_with_is_said_once(
    tmp_path: Path, arguments: list[str], env: dict[str, str], words: str
) -> None:
    ran = lethe("serve", "--port", "0", "--metrics-port", "0", "--workers", "2", *arguments, cwd=tmp_path, env=env)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count(words) == 1
    assert "Traceback" not in ran.err
    assert "too-short" not in ran.err
