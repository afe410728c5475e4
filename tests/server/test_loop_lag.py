"""The lag of the event loop is how late a sleeping task is woken."""

from __future__ import annotations

import asyncio
import time

from server.loop_lag import watch_lag


async def test_what_holds_up_the_event_loop_shows() -> None:
    seen: list[float] = []
    watching = asyncio.ensure_future(watch_lag(seen.append, 0.001))
    await asyncio.sleep(0.01)
    quiet = len(seen)
    time.sleep(0.05)  # holds up the loop on purpose
    await asyncio.sleep(0.01)
    watching.cancel()
    assert quiet
    assert max(seen[quiet:]) >= 0.03
    assert min(seen) >= 0.0
