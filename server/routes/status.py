"""Status: where this server stands."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter, Response

from guard.verdict import Kind
from index.follower import LIVE_S
from index.records import Replica
from server.calibration_report import calibration_out
from server.routes.calls import Observing, StrictRoute, answered
from server.schemas.base import moment
from server.schemas.reports import StatusOut
from server.schemas.standing import FindingOut, ReplicaOut, UpstreamOut
from server.service import Service

router = APIRouter(route_class=StrictRoute, tags=["status"])

_ASK_S = 2.0


def installed_version() -> str:
    """The version of this distribution."""
    try:
        return version("lethe-guard")
    except PackageNotFoundError:
        return "unknown"


async def upstream_reachable(service: Service) -> bool:
    """True when the model server answers within two seconds."""
    try:
        async with asyncio.timeout(_ASK_S):
            return await service.upstream.reachable()
    except TimeoutError:
        return False


@router.get("/status", response_model=StatusOut)
async def show_status(call: Observing) -> Response:
    """Revision, replicas and their lag, embedder, thresholds, upstream."""
    service = call.service
    snapshot = service.index.snapshot
    (replicas, revision), reachable = await asyncio.gather(service.run(_replicas, service), upstream_reachable(service))
    counts = snapshot.view(call.namespace).counts
    horizon = time.time() - LIVE_S
    return answered(
        StatusOut(
            version=installed_version(),
            revision=snapshot.revision,
            entries={kind.value: counts.get(kind, 0) for kind in Kind},
            replicas=[
                ReplicaOut(
                    name=r.name,
                    revision=r.revision,
                    lag=max(0, revision - r.revision),
                    live=r.seen_at >= horizon,
                    seen_at=moment(r.seen_at),
                )
                for r in replicas
            ],
            embedder=service.index.embedder.name,
            embedder_hash=service.index.embedder.hash,
            calibration=calibration_out(service.index.calibration, serving=True),
            upstream=_upstream_out(service, reachable),
            access="open_on_loopback" if service.access.open else "keys",
        )
    )


def _upstream_out(service: Service, reachable: bool) -> UpstreamOut:
    exposure = service.exposure
    return UpstreamOut(
        url=service.settings.upstream,
        reachable=reachable,
        examined_at=None if exposure.examined_at is None else moment(exposure.examined_at),
        findings=None
        if exposure.findings is None
        else [FindingOut.model_validate(asdict(finding)) for finding in exposure.findings],
    )


def _replicas(service: Service) -> tuple[list[Replica], int]:
    return service.index.replicas(), service.store.revision()
