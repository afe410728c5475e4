"""`python -m bench.fuzz --minutes 10`: bytes that no model server should send, until time is up or something breaks.

The grammar and the properties are those of `tests/fuzz`, with a new seed every round. A failure is told with the seed
that repeats it: `python -m bench.fuzz --seed SEED`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from random import Random

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tests.fuzz.properties import (
    check_events_do_not_depend_on_cuts,
    check_nothing_forgotten_leaves_and_nothing_breaks,
    check_the_fast_path_reads_what_the_full_one_reads,
)

CHECKS: tuple[Callable[[Random], Awaitable[None] | None], ...] = (
    check_events_do_not_depend_on_cuts,
    check_the_fast_path_reads_what_the_full_one_reads,
    check_nothing_forgotten_leaves_and_nothing_breaks,
)
LONGEST_S = 60.0
"""More than any stream of the grammar may take: longer is a hang."""


def checked(seed: int) -> None:
    """Every property, on what this seed makes up."""
    for check in CHECKS:
        held = check(Random(seed))
        if held is not None:
            asyncio.run(_bounded(held))


async def _bounded(held: Awaitable[None]) -> None:
    async with asyncio.timeout(LONGEST_S):
        await held


def main() -> int:
    """0 when nothing broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, help="one round, of this seed")
    options = parser.parse_args()
    if options.seed is not None:
        checked(options.seed)
        return 0
    logging.disable(logging.ERROR)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    begun, rounds, broken = time.monotonic(), 0, []
    end = begun + options.minutes * 60
    with Progress(*columns) as progress:
        task = progress.add_task("fuzz", total=options.minutes * 60)
        while time.monotonic() < end:
            seed = secrets.randbits(48)
            try:
                checked(seed)
            except Exception as fault:  # noqa: BLE001  # whatever breaks is told
                broken.append(seed)
                progress.console.print(f"seed {seed}: {type(fault).__name__} {str(fault)[:200]}")
            rounds += 1
            told = f"fuzz: {rounds} rounds, {len(broken)} broken"
            progress.update(task, completed=time.monotonic() - begun, description=told)
    print(f"{rounds} rounds in {time.monotonic() - begun:.0f} s, {len(broken)} broken {broken}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
