"""Decisions: what was done, content-free, and what operators say about it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from guard.verdict import Action
from index.decisions import Decision, DecisionFilter, Label
from server.routes.calls import Observing, Operating, StrictRoute, answered
from server.schemas.base import moment, seconds_of
from server.schemas.reports import DecisionOut, DecisionsOut, DecisionsQuery, LabelIn, LabelOut

router = APIRouter(route_class=StrictRoute, tags=["decisions"])

DecisionId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,64}$")]


def _decision_out(decision: Decision) -> DecisionOut:
    return DecisionOut(
        id=decision.id,
        at=moment(decision.at),
        namespace=decision.namespace,
        dialect=decision.dialect,
        side=decision.side.value,
        action=decision.action.label,
        kind=decision.kind.value if decision.kind else None,
        stage=decision.stage,
        entry_id=decision.entry_id,
        score=decision.score,
        threshold=decision.threshold,
        revision=decision.revision,
        shadow=decision.shadow,
        request_id=decision.request_id,
        label=decision.label.value if decision.label else None,
    )


@router.get("/decisions", response_model=DecisionsOut)
async def list_decisions(call: Observing, asked: Annotated[DecisionsQuery, Query()]) -> Response:
    """The newest decisions of the namespace."""
    wanted = DecisionFilter(
        namespace=call.namespace,
        since=seconds_of(asked.since) or 0.0,
        action=None if asked.action is None else Action.from_label(asked.action),
        limit=asked.limit,
    )
    found = await call.service.run(call.service.store.decisions, wanted)
    return answered(DecisionsOut(decisions=[_decision_out(decision) for decision in found]))


@router.post("/decisions/{decision_id}/label", response_model=LabelOut)
async def label_decision(decision_id: DecisionId, body: LabelIn, call: Operating) -> Response:
    """Say whether a decision was right: a hit, a miss or a false positive."""

    def label() -> str:
        call.service.store.label_decision(decision_id, Label(body.label), call.namespace)
        call.service.metrics.count("lethe_labels_total", label=body.label)
        return LabelOut(id=decision_id, label=body.label).model_dump_json()

    return await call.answered_once(f"decisions/{decision_id}/label", label)
