"""OpenAI's client for Node, installed once in the locked version."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from server.demo.command import default_cache

NODE = Path(__file__).with_name("node")
LEAST_NODE = 20


@pytest.fixture(scope="session")
def node_client() -> Path:
    """A folder with the client and the script that calls it. Skips where there is no Node to run it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs Node: apt-get install nodejs npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < LEAST_NODE:
        pytest.skip(f"needs Node {LEAST_NODE} or newer, and this is {version.strip()}")
    place = default_cache() / "conformance-node"
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        installed = place / "node_modules" / "openai"
        lock = place / "package-lock.json"
        if not installed.is_dir() or lock.read_bytes() != (NODE / "package-lock.json").read_bytes():
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(NODE / name, place / name)
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            ran = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=300)
            assert ran.returncode == 0, ran.stderr
        shutil.copyfile(NODE / "calls.mjs", place / "calls.mjs")
    return place
