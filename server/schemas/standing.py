"""Where a server stands: all of its status that a command line can show without loading what judges."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from server.schemas.base import KindName, Schema


class ReplicaOut(Schema):
    """A server that serves from this store."""

    name: str
    revision: int
    lag: int
    live: bool
    seen_at: datetime


class FindingOut(Schema):
    """What the model server lets others do: whoever holds its key if `needs_key`, otherwise whoever reaches it."""

    method: str
    path: str
    severity: Literal["critical", "high", "medium", "low"]
    needs_key: bool
    lets: str
    fix: str


class UpstreamOut(Schema):
    """The model server. `findings` is null until its exposure was examined; the worst comes first."""

    url: str
    reachable: bool
    examined_at: datetime | None = None
    findings: list[FindingOut] | None = None


class StandingOut(Schema):
    """Revision, entries, replicas, and the model server behind."""

    version: str
    revision: int
    entries: dict[KindName, int]
    replicas: list[ReplicaOut]
    upstream: UpstreamOut
