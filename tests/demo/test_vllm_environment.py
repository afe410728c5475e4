"""The environment counts as built only when every step came to its end, and a half-built one is built again."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from server.demo.errors import EnvironmentUnavailable
from server.demo.vllm_environment import VllmEnvironment, default_place

GOOD = (("vllm", ("-c", "import sys, pathlib; pathlib.Path(sys.prefix, 'bin', 'vllm').write_text('')")),)
BAD = (("torch", ("-c", "print('ERROR: no wheel for this machine'); raise SystemExit(1)")),)


def test_a_failed_step_says_why_and_the_next_build_starts_again(tmp_path: Path, console: Console) -> None:
    place = tmp_path / "env"
    failing, working = VllmEnvironment(place, BAD), VllmEnvironment(place, GOOD)
    with pytest.raises(EnvironmentUnavailable, match="no wheel for this machine"):
        failing.build(console)
    assert place.is_dir() and not failing.is_built() and not working.is_built()
    left_over = place / "left-over"
    left_over.touch()
    working.build(console)
    assert working.is_built() and not left_over.exists()
    built = working.executable.stat().st_mtime_ns
    working.build(console)
    assert working.executable.stat().st_mtime_ns == built
    assert not failing.is_built(), "an environment made by other steps is another environment"


def test_it_answers_for_the_distribution_name_that_vllm_asks_for(tmp_path: Path, console: Console) -> None:
    environment = VllmEnvironment(tmp_path / "env", GOOD)
    environment.build(console)
    import subprocess

    question = "import importlib.metadata as m; print(m.version('vllm'))"
    said = subprocess.run([environment.python, "-c", question], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "0.32.0+cpu"


def test_its_place_is_beside_the_checkout(tmp_path: Path) -> None:
    assert default_place(tmp_path) == Path(__file__).resolve().parents[2] / ".venv-vllm"
