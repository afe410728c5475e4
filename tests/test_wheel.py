"""A wheel that is built from this checkout installs into an empty environment and serves there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
KEY = "wheel-test-admin-key-0123456789"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(ROOT)], check=True)
    (built,) = out.glob("lethe_guard-*.whl")
    return built


def test_the_wheel_holds_the_packages_and_their_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"guard", "index", "server"}
    for needed in ("index/calibrations/", "server/demo/corpus.json", "server/demo/vllm-constraints.txt"):
        assert any(name.startswith(needed) for name in names), needed


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call(url: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        url,
        None if body is None else json.dumps(body).encode(),
        {"authorization": f"Bearer {KEY}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_the_wheel_installs_and_serves_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    install = [str(venv / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*install, "-c", str(ROOT / "constraints.txt"), str(wheel)], check=True)
    absent = "import importlib.util as u; print([m for m in ('peft', 'accelerate', 'vllm') if u.find_spec(m)])"
    listed = subprocess.run([str(venv / "bin" / "python"), "-c", absent], check=True, capture_output=True, text=True)
    assert listed.stdout.strip() == "[]", "the server must not need what trains or serves models"
    port, metrics_port = free_port(), free_port()
    base = f"http://127.0.0.1:{port}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LETHE_", "PYTHON"))}
    command = [str(venv / "bin" / "lethe"), "serve", "--upstream", "http://127.0.0.1:9", "--port", str(port)]
    server = subprocess.Popen(
        [*command, "--metrics-port", str(metrics_port)],
        cwd=tmp_path,
        env={**environment, "LETHE_ADMIN_KEY": KEY},
    )
    try:
        _wait(f"{base}/readyz", server)
        fact = {"kind": "fact", "text": "Ada Quill was born in Orsk in 1958.", "prompt": "When was Ada Quill born?"}
        call(f"{base}/lethe/v1/entries?wait=applied&timeout_s=20", fact)
        told = {"text": "It was in Orsk, in 1958, that Ada Quill was born.", "prompt": "When was Ada Quill born?"}
        assert call(f"{base}/lethe/v1/check", told)["action"] == "block"
        assert call(f"{base}/lethe/v1/check", {"text": "Rain is expected all week."})["action"] == "allow"
    finally:
        server.terminate()
        assert server.wait(20) == 0


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"{url} never answered")
