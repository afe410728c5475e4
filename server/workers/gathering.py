"""The metrics port of a server with several workers: what they counted, added up, and whether all of them are ready."""

from __future__ import annotations

import asyncio
from typing import Final

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.metrics import METRICS_TYPE, Sample
from server.workers.crew import Crew
from server.workers.link import Subject
from server.workers.member import Member
from server.workers.totals import Totals

EVERY_S: Final = 2.0
"""A worker that is killed takes with it what it counted after it was asked last."""

_ANSWER_S: Final = 3.0
_SUPERVISOR: Final = 0  # workers count from 1
_RESTARTS: Final = "lethe_worker_restarts_total"
_PARTS: Final = ("store", "embedder", "snapshot")


class Gathering:
    """Asks all workers; those that do not answer in time count with what they told before, and are not ready."""

    def __init__(self, crew: Crew, workers: int) -> None:
        self._crew, self._workers = crew, workers
        self._totals = Totals()
        self._restarts = 0
        crew.on_end(self.ended)

    def app(self) -> Starlette:
        """The application of the metrics port."""
        routes = (("/metrics", self._metrics), ("/healthz", self._health), ("/readyz", self._readiness))
        return Starlette(routes=[Route(path, answer) for path, answer in routes])

    async def keep(self) -> None:
        """Ask now and then, so that little is lost with a worker that is killed."""
        while True:
            await self.gather()
            await asyncio.sleep(EVERY_S)

    async def gather(self) -> None:
        """Ask every worker what it has counted."""
        self._totals.told(_SUPERVISOR, [Sample(_RESTARTS, (), self._restarts)])
        await asyncio.gather(*(self._counted(member) for member in self._crew.serving))

    def ended(self, member: Member) -> None:
        """A worker ended by itself."""
        self._totals.ended(member.slot)
        self._restarts += 1

    async def _counted(self, member: Member) -> None:
        told = await member.ask(Subject.METRICS, _ANSWER_S)
        if told is not None and member.serving:
            samples = (
                Sample(name, tuple((k, v) for k, v in labels), value) for name, labels, value in orjson.loads(told)
            )
            self._totals.told(member.slot, samples)

    async def _metrics(self, request: Request) -> Response:
        await self.gather()
        return Response(self._totals.exposition(), media_type=METRICS_TYPE)

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _readiness(self, request: Request) -> Response:
        told = await asyncio.gather(*(member.ask(Subject.READINESS, _ANSWER_S) for member in self._crew.serving))
        answers = [orjson.loads(body) for body in told if body is not None]
        parts = {part: bool(answers) and all(answer[part] for answer in answers) for part in _PARTS}
        ready = sum(answer["ready"] for answer in answers)
        body = {
            "ready": ready == self._workers,
            **parts,
            "upstream": any(answer["upstream"] for answer in answers),
            "workers": {"ready": ready, "of": self._workers},
        }
        return JSONResponse(body, 200 if ready == self._workers else 503)
