"""What happened, told once as frozen data: metrics, decisions and logs subscribe. Never any text.

Observations are told on the event loop, in order. An observer must be quick and must not raise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from guard.cascade import StageReport
from guard.policy import InContext
from guard.verdict import PLAIN, Action, Kind, Side


class RequestOutcome(StrEnum):
    """How a request of an application ended."""

    ALLOWED = "allowed"
    FLAGGED = "flagged"
    REDACTED = "redacted"
    REWRITTEN = "rewritten"
    BLOCKED = "blocked"
    UNAVAILABLE = "unavailable"  # the guard could not tell: never a suppression for content
    CLIENT_ERROR = "client_error"
    UPSTREAM_ERROR = "upstream_error"
    CANCELLED = "cancelled"
    ERROR = "error"


class UpstreamReason(StrEnum):
    """Why an upstream call failed."""

    CONNECT = "connect"
    TIMEOUT = "timeout"
    IDLE = "idle"
    CLOSED = "closed"
    PROTOCOL = "protocol"
    STATUS = "status"


class DegradedReason(StrEnum):
    """Why a text was not judged."""

    DETECTOR = "detector"
    TIMEOUT = "timeout"
    BUSY = "busy"
    NOT_READY = "not_ready"


class RewriteOutcome(StrEnum):
    """How the search for a rewrite that the guard accepts ended."""

    VERIFIED = "verified"
    EXHAUSTED = "exhausted"
    UNSUPPORTED = "unsupported"  # the model server cannot continue a text
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class AddedLatency:
    """Seconds that the guard added to one request.

    `ttft`: from the first upstream text to the first text that left; None when none left. `inter_token`: mean wait of
    the text events after the first. `total`: the whole request less the time spent waiting for upstream.
    """

    total: float
    ttft: float | None = None
    inter_token: float | None = None


@dataclass(frozen=True, slots=True)
class UpstreamTimes:
    """Seconds from asking upstream to its first byte and to its last; None for what never came."""

    first_byte: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class RequestObserved:
    """A request is over.

    `held` is the most characters held back at once in one channel; `leaked` the characters that had left before they
    were condemned, None unless a stream was stopped or redacted; `peaks` the highest score per kind in the answer,
    passes included, and `prompt_peaks` in the conversation: once one was judged, they name every kind that has entries,
    with 0.0 where a stage cleared it early; `stripped` names the request options that were removed.
    """

    request_id: str
    namespace: str
    principal: str
    dialect: str
    stream: bool
    outcome: RequestOutcome
    status: int
    seconds: float
    revision: int = 0
    added: AddedLatency | None = None
    upstream: UpstreamTimes = UpstreamTimes()
    held: int = 0
    leaked: int | None = None
    peaks: Mapping[Kind, float] = field(default_factory=dict)
    prompt_peaks: Mapping[Kind, float] = field(default_factory=dict)
    stripped: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class DecisionObserved:
    """One match and what was done about it: a row of the decisions.

    `action` is what was done, or what would have been done if `shadow`: the policy is in shadow mode, or it only flags.
    `counted` is true for one row per suppressed text: the one whose action was carried out. `view` names the reading of
    the text that the match was found in.
    """

    request_id: str
    namespace: str
    dialect: str
    side: Side
    action: Action
    kind: Kind
    stage: str
    entry_id: str
    score: float
    threshold: float
    revision: int
    shadow: bool = False
    counted: bool = False
    view: str = PLAIN


@dataclass(frozen=True, slots=True)
class InContextObserved:
    """A text repeated what the user supplied in the same request, and `rule` let it pass: the model recalled nothing.

    Told once per side and entry of a request.
    """

    request_id: str
    namespace: str
    side: Side
    kind: Kind
    entry_id: str
    rule: InContext


@dataclass(frozen=True, slots=True)
class StagesObserved:
    """One batch went through the stages of a cascade."""

    reports: Sequence[StageReport]


@dataclass(frozen=True, slots=True)
class Degraded:
    """A text was not judged by a stage; what happened to it was decided by the failure rule."""

    stage: str
    reason: DegradedReason


@dataclass(frozen=True, slots=True)
class RewriteObserved:
    """A suppressed text was to be rewritten; `tries` answers were asked for."""

    strategy: str
    outcome: RewriteOutcome
    tries: int


@dataclass(frozen=True, slots=True)
class UpstreamFailed:
    """An upstream call failed."""

    reason: UpstreamReason


@dataclass(frozen=True, slots=True)
class FieldsDropped:
    """Fields of upstream's answer that were not passed on: how many times, and their names (a bounded sample).

    A name comes from upstream: show it in no label.
    """

    dialect: str
    count: int
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class StreamsChanged:
    """A stream was opened (+1) or is over (-1)."""

    change: int


Observation = (
    RequestObserved
    | DecisionObserved
    | InContextObserved
    | StagesObserved
    | Degraded
    | RewriteObserved
    | UpstreamFailed
    | FieldsDropped
    | StreamsChanged
)


class Observer(Protocol):
    """Is told what happened."""

    def observe(self, seen: Observation) -> None: ...


@dataclass(frozen=True, slots=True)
class Observers:
    """Tells several observers."""

    observers: tuple[Observer, ...] = ()

    def observe(self, seen: Observation) -> None:
        """Tell each of them, in order."""
        for observer in self.observers:
            observer.observe(seen)
