"""Health and metrics: for orchestrators and Prometheus, without a key and without content."""

from __future__ import annotations

import time

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from index.errors import StoreUnavailable
from index.follower import LIVE_S
from server.metering import Meter
from server.metrics import METRICS_TYPE
from server.routes.calls import service_of
from server.routes.status import upstream_reachable
from server.service import Service

router = APIRouter(tags=["health"])
metrics_router = APIRouter()


@router.get("/healthz")
async def healthz() -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Ready to judge: store, embedder and snapshot. The model server is reported and not required."""
    body = await readiness(service_of(request))
    return JSONResponse(body, 200 if body["ready"] else 503)


async def readiness(service: Service) -> dict[str, bool]:
    """What `/readyz` answers."""
    store = await _store_answers(service)
    parts = {"store": store, "embedder": service.index.embedder is not None, "snapshot": service.index.ready}
    return {"ready": all(parts.values()), **parts, "upstream": await upstream_reachable(service)}


async def _store_answers(service: Service) -> bool:
    try:
        await service.run(service.store.revision)
    except StoreUnavailable:
        return False
    return True


@metrics_router.get("/metrics")
async def metrics(request: Request) -> Response:
    """What Prometheus scrapes."""
    service = service_of(request)
    body = await service.run(_exposition, service)
    return Response(body, media_type=METRICS_TYPE)


def _exposition(service: Service) -> bytes:
    measure_lag(service)
    return service.metrics.exposition()


def measure_lag(service: Service) -> None:
    """Bring the metrics up to date that are looked up when somebody asks."""
    try:
        horizon = time.time() - LIVE_S
        live = [replica for replica in service.index.replicas() if replica.seen_at >= horizon]
        Meter(service.metrics).replicas(live, service.store.revision())
    except StoreUnavailable:
        pass  # /readyz says so; the last known lag stays


def metrics_app(service: Service) -> FastAPI:
    """The application of the metrics port."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.service = service
    app.include_router(router)
    app.include_router(metrics_router)
    return app
