"""Keeps decisions: collected on the event loop, written to the store in batches off it, never in a request's way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Sequence
from typing import Final, Protocol

from index.decisions import Decision
from index.errors import StoreUnavailable
from server.logs import record
from server.metrics import Metrics
from server.observation import DecisionObserved, Observation

LONGEST_QUEUE: Final = 10_000
WRITE_EVERY_S: Final = 0.25
_FORGET_EVERY_S: Final = 3_600.0
_DAY_S: Final = 86_400.0


class DecisionStore(Protocol):
    """Where decisions are kept."""

    def add_decisions(self, batch: Sequence[Decision]) -> None: ...

    def forget_decisions(self, before: float) -> int: ...


class DecisionJournal:
    """An observer. More decisions than the queue holds are dropped and counted: traffic does not wait for the store."""

    def __init__(self, store: DecisionStore, metrics: Metrics, days: float) -> None:
        self._store, self._metrics, self._days = store, metrics, days
        self._waiting: list[Decision] = []
        self._forgot_at = float("-inf")
        self._some = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._write())

    def observe(self, seen: Observation) -> None:
        """Take a decision; ignore the rest."""
        if not isinstance(seen, DecisionObserved):
            return
        if len(self._waiting) >= LONGEST_QUEUE:
            self._metrics.count("lethe_decisions_dropped_total")
            return
        self._waiting.append(_decision(seen))
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
            await asyncio.shield(self._flush())
            await asyncio.sleep(WRITE_EVERY_S)

    async def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        self._some.clear()
        try:
            if batch:
                await asyncio.to_thread(self._store.add_decisions, batch)
            if time.monotonic() - self._forgot_at > _FORGET_EVERY_S:
                self._forgot_at = time.monotonic()
                await asyncio.to_thread(self._store.forget_decisions, time.time() - self._days * _DAY_S)
        except StoreUnavailable as fault:
            self._metrics.count("lethe_decisions_dropped_total", len(batch))
            record("decisions_not_kept", logging.ERROR, fault, {"count": len(batch)})


def _decision(seen: DecisionObserved) -> Decision:
    return Decision(
        id=f"dec_{uuid.uuid4().hex}",
        at=time.time(),
        namespace=seen.namespace,
        dialect=seen.dialect,
        side=seen.side,
        action=seen.action,
        revision=seen.revision,
        request_id=seen.request_id,
        kind=seen.kind,
        stage=seen.stage,
        entry_id=seen.entry_id,
        score=seen.score,
        threshold=seen.threshold,
        shadow=seen.shadow,
    )
