"""How late the event loop is: what is ready to run, a token among it, waits that long for its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

EVERY_S: Final = 0.02
"""Seconds between two looks: often enough to meet what is seldom, and next to nothing to do."""


async def watch_lag(told: Callable[[float], None], every_s: float = EVERY_S) -> None:
    """Tell again and again how many seconds after its time a sleeping task was woken. Runs until it is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        told(max(0.0, loop.time() - due))
