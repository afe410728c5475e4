"""A short soak: mixed streams, clients that leave and read slowly, and an index that changes ten times a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.server.processes import ROOT, environment

MINUTES, STREAMS = 2.0, 12
GROWTH_KIB = 50 * 1024
"""A server that has just begun still prepares itself for every length of text: a leak shows in the long run only, so
that this limit merely catches memory that is never given back at all."""


def test_a_short_soak_loses_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "soak.json"
    options = [
        "--minutes",
        str(MINUTES),
        "--streams",
        str(STREAMS),
        "--growth-kib",
        str(GROWTH_KIB),
        "--json",
        str(out),
    ]
    command = [sys.executable, "-m", "bench.soak", *options, "--json", str(out)]
    ran = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)
    assert out.is_file(), ran.stderr
    checks = {check["name"]: check for check in json.loads(out.read_text())["checks"]}
    assert len(checks) >= 12
    failed = [f"{check['name']}: {check['figure']}" for check in checks.values() if not check["passed"]]
    assert not failed, "\n".join([*failed, ran.stdout])
    assert ran.returncode == os.EX_OK
