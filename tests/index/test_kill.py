"""An acknowledged write survives `kill -9`, and an unacknowledged one is there wholly or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KILLS = 200


def test_two_hundred_kills_lose_nothing_that_was_acknowledged(path: Path) -> None:
    storm = [sys.executable, "-m", "tests.index.kill_storm", str(path), str(KILLS)]
    ended = subprocess.run(storm, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    told = json.loads(ended.stdout)
    assert told["kills"] == KILLS
    assert told["writes"] > KILLS, "the storm hardly wrote: the kills prove nothing"
    assert told["undone"] + told["done"] > KILLS / 4, "the kills seldom met a write"
