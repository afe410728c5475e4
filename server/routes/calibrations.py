"""Calibrations: where the thresholds come from, and how to get better ones."""

from __future__ import annotations

import time
from functools import partial

from fastapi import APIRouter, Response

from guard.errors import DetectorUnavailable
from guard.verdict import Side
from index.calibration import Calibration
from index.errors import EntryRefused
from index.score_histogram import ScoreFilter, score_basis
from server.calibrating import Peaks, Target, answer_peaks, prompt_peaks, sample_notes, scored_sample
from server.calibration_report import Sources, calibrated, calibrated_out, calibration_out
from server.clearing import convicted_scores
from server.errors import NotReady
from server.judging import View
from server.routes.calls import Call, Operating, StrictRoute, answered
from server.schemas.calibrations import CalibratedOut, CalibrationIn, CalibrationsOut, Samples
from server.service import Service

_DAY_S = 86_400.0

router = APIRouter(route_class=StrictRoute, tags=["calibrations"])


def _stored(service: Service) -> list[Calibration]:
    return [Calibration.from_json(body) for body in service.store.calibrations()]


@router.get("/calibrations", response_model=CalibrationsOut)
async def list_calibrations(call: Operating) -> Response:
    """The calibration in use, then those that are stored, of other embedders and backends too.

    One for the same embedder, backend and windows that is not in use will be used from the next start on.
    """
    current = call.service.index.calibration
    stored = await call.service.run(_stored, call.service)
    found = [calibration_out(current, serving=True)]
    found += [calibration_out(one, serving=False) for one in stored if one != current]
    return answered(CalibrationsOut(calibrations=found))


@router.post("/calibrations", status_code=201, response_model=CalibratedOut)
async def calibrate(body: CalibrationIn, call: Operating) -> Response:
    """Thresholds for a rate of false positives per text, from benign texts or from the scores of passing traffic.

    They apply from the next start on.
    """
    service = call.service
    target = Target(body.fpr, Side(body.side), body.confidence, body.next)

    def computed() -> str:
        try:
            done = calibrated(service.index.calibration, _sources(body, call, target.side), target)
        except ValueError as error:
            raise EntryRefused(str(error)) from None
        except DetectorUnavailable:
            raise NotReady("the embedder could not judge a sample: ask again later") from None
        found = done.calibration
        if not body.dry_run:
            service.store.put_calibration(found.embedder_hash, found.backend, found.rule, found.to_json())
        texts = 0 if body.samples == "recent" else len(body.samples)
        call.noted("calibrated", side=body.side, samples=texts, fpr=body.fpr, dry_run=body.dry_run)
        return calibrated_out(done).model_dump_json()

    return await call.answered_once("calibrations", computed, 201)


def _sources(body: CalibrationIn, call: Call, side: Side) -> Sources:
    view = call.service.index.snapshot.view(call.namespace)
    leaks = _peaks(view, body.positives, side)
    convicted = partial(convicted_scores, view, _pairs(body.positives), clock=time.perf_counter)
    if body.samples != "recent":
        benign = _peaks(view, body.samples, side)
        return Sources(f"{len(benign)} samples", benign, leaks=leaks, convicted=convicted)
    current = call.service.index.calibration
    basis = score_basis(current.embedder_hash, current.backend, current.rule)
    wanted = ScoreFilter(basis, call.namespace, side, time.time() - body.days * _DAY_S)
    sample = call.service.store.score_sample(wanted)
    if not sample.histograms:
        raise ValueError(f"no scores of passing traffic are known for the last {body.days:g} days: give samples")
    what = f"traffic of the last {body.days:g} days"
    notes = sample_notes(sample)
    return Sources(what, counted=scored_sample(sample), leaks=leaks, notes=notes, convicted=convicted)


def _pairs(samples: Samples) -> list[tuple[str, str]]:
    return [("", s) if isinstance(s, str) else (s.prompt, s.text) for s in samples]


def _peaks(view: View, samples: Samples, side: Side) -> list[Peaks]:
    pairs = _pairs(samples)
    if side is Side.ANSWER:
        return list(answer_peaks(view, pairs, time.perf_counter))
    return list(prompt_peaks(view, [text for _, text in pairs], time.perf_counter))
