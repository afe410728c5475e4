"""Calibrations: where the thresholds come from, and how to get better ones."""

from __future__ import annotations

import time

from fastapi import APIRouter, Response

from index.calibration import Calibration
from index.errors import EntryRefused
from server.calibrating import answer_peaks, recalibrated
from server.routes.calls import Operating, StrictRoute, answered
from server.schemas.reports import CalibrationIn, CalibrationOut, CalibrationsOut, ThresholdOut
from server.service import Service

router = APIRouter(route_class=StrictRoute, tags=["calibrations"])


def calibration_out(calibration: Calibration, serving: bool) -> CalibrationOut:
    """The public form of a calibration."""
    thresholds = {
        kind.value: ThresholdOut(threshold=t.value, fpr=t.fpr, n=t.n, low=t.low, high=t.high)
        for kind, t in calibration.thresholds.items()
    }
    return CalibrationOut.model_validate(
        {
            "embedder_hash": calibration.embedder_hash,
            "rule": calibration.rule,
            "source": calibration.source,
            "serving": serving,
            "thresholds": thresholds,
        }
    )


def _stored(service: Service) -> Calibration | None:
    current = service.index.calibration
    body = service.store.calibration(current.embedder_hash, current.rule)
    return None if body is None else Calibration.from_json(body)


@router.get("/calibrations", response_model=CalibrationsOut)
async def list_calibrations(call: Operating) -> Response:
    """The calibration in use, and the one that the next start will use when it is another."""
    current = call.service.index.calibration
    stored = await call.service.run(_stored, call.service)
    found = [calibration_out(current, serving=True)]
    if stored is not None and stored.to_json() != current.to_json():
        found.append(calibration_out(stored, serving=False))
    return answered(CalibrationsOut(calibrations=found))


@router.post("/calibrations", status_code=201, response_model=CalibrationOut)
async def calibrate(body: CalibrationIn, call: Operating) -> Response:
    """Thresholds for a rate of false positives per answer, from benign answers. They apply from the next start on."""
    service = call.service
    samples = [("", s) if isinstance(s, str) else (s.prompt, s.text) for s in body.samples]

    def computed() -> str:
        view = service.index.snapshot.view(call.namespace)
        try:
            found = recalibrated(
                service.index.calibration, list(answer_peaks(view, samples, time.perf_counter)), body.fpr
            )
        except ValueError as error:
            raise EntryRefused(str(error)) from None
        service.store.put_calibration(found.embedder_hash, found.rule, found.to_json())
        call.noted("calibrated", samples=len(samples), fpr=body.fpr)
        return calibration_out(found, serving=False).model_dump_json()

    return await call.answered_once("calibrations", computed, 201)
