"""How much judging may be done on the event loop: little enough that nobody notices.

A few short windows are judged where they are asked for as long as the quick stages are known to take next to no time
for them. What would take longer, or comes too soon after the last, goes to the threads. And whoever goes on and on
without ever having to wait lets the others have a turn in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final
from weakref import WeakKeyDictionary

from guard.cascade import Cascade
from guard.detector import Detector, Window

MOST_S: Final = 0.002
"""Seconds of judging that may come in a row on the event loop."""

SHARE: Final = 0.5
"""Share of the event loop's time that judging may take there."""

MOST_WINDOWS: Final = 16
MOST_CHARACTERS: Final = 6_000

_NEWEST: Final = 0.2  # weight of the last measurement where it is higher than those before it


class Allowance:
    """For one event loop; costs may be told from any thread. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left, self._since = MOST_S, clock()
        self._window_s: WeakKeyDictionary[Detector, float] = WeakKeyDictionary()
        self._latest: float | None = None
        self._turn: float | None = None  # since when the event loop has not looked around

    def covers(self, cascade: Cascade, windows: Sequence[Window]) -> bool:
        """True when the quick stages may judge these windows here and now."""
        quick = cascade.quick
        if not quick or len(windows) > MOST_WINDOWS or sum(len(w.text) for w in windows) > MOST_CHARACTERS:
            return False
        each = self._window_s.get(cascade.stages[quick - 1].detector, self._latest)
        now = self._clock()
        self._left = min(MOST_S, self._left + SHARE * (now - self._since))
        self._since = now
        return each is not None and each * len(windows) <= self._left

    def spend(self, seconds: float) -> None:
        """So much was used."""
        self._left -= seconds
        self._since += seconds

    async def pause(self) -> None:
        """Let others have their turn when there was none for long."""
        now = self._clock()
        if self._turn is None:
            self._turn = now
            asyncio.get_running_loop().call_soon(self._others_had_theirs)
        elif now - self._turn >= MOST_S:
            await asyncio.sleep(0)

    def _others_had_theirs(self) -> None:
        self._turn = None

    def learn(self, cascade: Cascade, windows: int, seconds: float) -> None:
        """The quick stages took so long for so many windows. Less is believed at once, more only slowly: a thread may
        have had to wait in between."""
        quick = cascade.quick
        if not quick or not windows:
            return
        detector, each = cascade.stages[quick - 1].detector, seconds / windows
        known = self._window_s.get(detector, self._latest)
        if known is not None and each > known:
            each = known + _NEWEST * (each - known)
        self._window_s[detector] = self._latest = each
