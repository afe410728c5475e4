"""A real server process: ports, signals, notices, and what it does not load."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.server.operators import FACT, LEAK
from tests.server.processes import ADMIN, environment, lethe, serving


def test_a_server_serves_both_ports_logs_json_and_ends_in_order(tmp_path: Path) -> None:
    with serving(tmp_path, "--store", "sqlite:///kept.db", LETHE_ADMIN_KEY=ADMIN) as server:
        with server.client() as client:
            assert client.get("/healthz").status_code == 200
            assert client.post("/lethe/v1/entries?wait=applied", json=FACT).status_code == 201
            assert client.post("/lethe/v1/check", json=LEAK).json()["action"] == "block"
            assert "server" not in client.get("/lethe/docs").headers
            lines = b'{"kind":"fact","text":"Resident number one keeps grey geese."}\n' * 40
            job = client.post("/lethe/v1/imports", content=(lines[i : i + 9] for i in range(0, len(lines), 9))).json()
            with client.stream("GET", f"/lethe/v1/jobs/{job['job']}/events") as events:
                assert events.headers["content-type"].startswith("text/event-stream")
                states = [json.loads(line[6:]) for line in events.iter_lines() if line.startswith("data: ")]
            assert (states[-1]["state"], states[-1]["done"]) == ("done", 40)
        metrics = httpx.get(server.metrics_url).text
        assert 'lethe_index_entries{kind="fact",namespace="default"} 41.0' in metrics
        assert httpx.get(server.metrics_url.replace("/metrics", "/readyz")).status_code == 200
        assert httpx.get(server.metrics_url.replace("/metrics", "/lethe/v1/entries")).status_code == 404
        key = tmp_path / "kept.key"
        assert key.stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "kept.db").stat().st_mode & 0o077 == 0
        assert any("NEW KEY-ENCRYPTION KEY" in event["event"] for event in server.events())
        assert server.terminate() == 0
        assert server.events()[-1]["event"] == "stopped"
        assert "Vellmar" not in server.log.read_text()
        assert ADMIN not in server.log.read_text()


def test_a_server_without_keys_prints_its_admin_key_once(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        shown = [line.strip() for line in server.log.read_text().splitlines() if "lethe_admin_" in line]
        assert len(shown) == 1
        with server.client(shown[0]) as client:
            assert client.get("/lethe/v1/status").json()["access"] == "open_on_loopback"
        with server.client(None) as nobody:
            assert nobody.get("/lethe/v1/status").status_code == 401
            assert nobody.get("/v1/models").status_code == 503


@pytest.mark.parametrize(
    ("arguments", "env", "code", "words"),
    [
        (["--workers", "0"], {}, 2, "--workers"),
        (["--workers", "2", "--store", "sqlite:///:memory:"], {}, 2, "one process"),
        (["--port", "x"], {}, 2, "--port"),
        ([], {"LETHE_PROT": "1"}, 2, "LETHE_PROT"),
        (["--nonsense"], {}, 2, "--nonsense"),
        (["--host", "0.0.0.0"], {}, 1, "LETHE_ADMIN_KEY"),
        (["--store", "sqlite:////proc/nowhere/x.db"], {}, 1, "cannot be"),
        ([], {"LETHE_KEY_ENCRYPTION_KEY": "too-short", "LETHE_ADMIN_KEY": ADMIN}, 1, "key-encryption key"),
    ],
)
def test_a_server_that_may_not_start_says_why_in_one_sentence(
    tmp_path: Path, arguments: list[str], env: dict[str, str], code: int, words: str
) -> None:
    ran = lethe("serve", "--port", "0", "--metrics-port", "0", *arguments, cwd=tmp_path, env=env)
    assert (ran.code, ran.out) == (code, "")
    last = ran.err.strip().splitlines()[-1]
    assert words in last
    assert "Traceback" not in ran.err
    assert "too-short" not in ran.err


def test_a_port_in_use_is_told_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = lethe("serve", "--port", str(taken.getsockname()[1]), "--metrics-port", "0", cwd=tmp_path)
    assert ran.code == 1
    assert "cannot be listened on" in ran.err
    assert not (tmp_path / "lethe.db").exists()


def test_the_server_loads_no_extra(tmp_path: Path) -> None:
    """`tests/test_wheel.py` shows that it serves where they are not installed at all."""
    code = (
        "import sys, server.app, server.serving, index.transformer\n"
        "print([m for m in ('unlearn', 'redteam', 'matplotlib', 'vllm', 'openai') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, cwd=tmp_path)
    assert (ran.stdout.strip(), ran.returncode) == ("[]", 0), ran.stderr


def test_the_command_line_loads_no_model_where_none_is_needed(tmp_path: Path) -> None:
    code = (
        "import sys, server.cli\n"
        "server.cli.main(['keys', 'list'])\n"
        "print([m for m in ('torch', 'faiss', 'fastapi', 'sentence_transformers', 'uvicorn') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, cwd=tmp_path)
    assert (ran.stdout.strip(), ran.returncode) == ("[]", 0), ran.stderr
