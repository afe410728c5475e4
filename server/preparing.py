"""Tells whoever waits that something is made for the first time: a bar for a person, a line in the log for others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import TaskID

from index.instruments import Progress
from server.commands.console import progress_bar
from server.logs import record


@contextmanager
def preparing() -> Iterator[Progress]:
    """Gives the callback that `index.instruments.prepared` tells its progress."""
    with progress_bar() as bar:
        tasks: dict[str, TaskID] = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
                record("preparing", fields={"what": what})
            bar.update(tasks[what], completed=done, total=total)

        yield told
