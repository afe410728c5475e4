"""What every command says and how: results on stdout, everything else on stderr."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class CommandFailed(Exception):
    """The command was refused or did not succeed; the message is one sentence for the person who typed it."""


def say(line: str = "") -> None:
    """A result."""
    sys.stdout.write(line + "\n")


def remark(line: str) -> None:
    """Something beside the result."""
    sys.stderr.write(line + "\n")


def progress_bar() -> Progress:
    """A bar on stderr; nothing where no person looks."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
