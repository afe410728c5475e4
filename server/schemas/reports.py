"""The bodies of decisions and status."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from server.schemas.base import ActionName, Schema, without_blanks
from server.schemas.calibrations import CalibrationOut
from server.schemas.standing import StandingOut


class DecisionOut(Schema):
    """One decision, content-free."""

    id: str
    at: datetime
    namespace: str
    dialect: str
    side: str
    action: str
    kind: str | None
    stage: str | None
    entry_id: str | None
    score: float | None
    threshold: float | None
    revision: int
    shadow: bool
    request_id: str
    label: str | None


class DecisionsQuery(BaseModel):
    """Which decisions: `since` is ISO 8601 or Unix seconds."""

    since: datetime | None = None
    action: ActionName | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, values: object) -> object:
        return without_blanks(values)


class DecisionsOut(Schema):
    """Decisions, newest first."""

    decisions: list[DecisionOut]


class LabelIn(Schema):
    """What an operator says a decision was."""

    label: Literal["hit", "miss", "false_positive"]


class LabelOut(Schema):
    """The label is kept."""

    id: str
    label: Literal["hit", "miss", "false_positive"]


class StatusOut(StandingOut):
    """Where this server stands, and what it judges with."""

    embedder: str
    embedder_hash: str
    calibration: CalibrationOut
    access: Literal["keys", "open_on_loopback"]
