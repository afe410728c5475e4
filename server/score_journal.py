"""Keeps the scores of passing traffic: counted in bins on the event loop, added to the store in the background."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from guard.verdict import Kind, Side
from index.errors import StoreUnavailable
from index.score_histogram import ScoreCount, bin_of, hour_of
from server.logs import record
from server.observation import InContextObserved, Observation, RequestObserved, RequestOutcome

KEEP_DAYS: Final = 30.0
WRITE_EVERY_S: Final = 10.0
MOST_COUNTS: Final = 50_000
"""Counts that wait for a store that is down; further ones are dropped."""

VERBATIM: Final = 1.0 - 1e-6
"""A text that scores so high repeats an entry word by word: it is no sample of ordinary text."""

_PASSED: Final = (RequestOutcome.ALLOWED, RequestOutcome.FLAGGED)
_FORGET_EVERY_S: Final = 3_600.0
_DAY_S: Final = 86_400.0

_Place = tuple[str, Kind, Side, int, int]


class ScoreStore(Protocol):
    """Where scores are counted."""

    def add_scores(self, counts: Sequence[ScoreCount]) -> None: ...

    def forget_scores(self, before: float) -> int: ...


class ScoreJournal:
    """An observer: one count per kind, side and request that passed, with or without a flag.

    What was suppressed, failed or was given up is no sample of ordinary text, and neither is what repeated the user's
    own words (which is told right before its request). `basis` names what the scores are made with (see
    `index.score_histogram.score_basis`), `clock` gives epoch seconds.
    """

    def __init__(
        self, store: ScoreStore, basis: str, days: float = KEEP_DAYS, clock: Callable[[], float] = time.time
    ) -> None:
        self._store, self._basis, self._days, self._clock = store, basis, days, clock
        self._counts: dict[_Place, int] = {}
        self._excused: set[tuple[str, Side, Kind]] = set()
        self._dropped = 0
        self._forgot_at = float("-inf")
        self._some = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._write())

    def observe(self, seen: Observation) -> None:
        """Count a request that passed; ignore the rest."""
        if isinstance(seen, InContextObserved):
            self._excused.add((seen.request_id, seen.side, seen.kind))
        if not isinstance(seen, RequestObserved):
            return
        excused, self._excused = self._excused, set()
        if seen.outcome not in _PASSED:
            return
        hour = hour_of(self._clock())
        for side, peaks in ((Side.ANSWER, seen.peaks), (Side.PROMPT, seen.prompt_peaks)):
            for kind, score in peaks.items():
                if score < VERBATIM and (seen.request_id, side, kind) not in excused:
                    self._count((seen.namespace, kind, side, hour, bin_of(score)), 1)

    def _count(self, place: _Place, texts: int) -> None:
        if place not in self._counts and len(self._counts) >= MOST_COUNTS:
            self._dropped += texts
            return
        self._counts[place] = self._counts.get(place, 0) + texts
        self._some.set()

    async def close(self) -> None:
        """Write what waits and stop."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._flush()

    async def _write(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FORGET_EVERY_S):
                    await self._some.wait()
            await asyncio.sleep(WRITE_EVERY_S)
            await asyncio.shield(self._flush())

    async def _flush(self) -> None:
        batch, self._counts = self._counts, {}
        self._some.clear()
        counts = [ScoreCount(self._basis, *place, texts) for place, texts in batch.items()]
        try:
            if counts:
                await asyncio.to_thread(self._store.add_scores, counts)
                batch = {}
            if time.monotonic() - self._forgot_at > _FORGET_EVERY_S:
                self._forgot_at = time.monotonic()
                await asyncio.to_thread(self._store.forget_scores, self._clock() - self._days * _DAY_S)
        except StoreUnavailable as fault:
            for place, texts in batch.items():  # they are added when the store is back
                self._count(place, texts)
            record("scores_not_kept", logging.ERROR, fault, {"waiting": len(self._counts), "dropped": self._dropped})
