"""One request of an application: who asked what, and what is told about it when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from guard.policy import InContext
from guard.verdict import Action, Side, Verdict
from server.decision_rows import DecisionRows
from server.dialects.dialect import Asked, Dialect, Frame, Telling
from server.dialects.fields import is_name
from server.guarding import Guarded
from server.judging import Judge, View
from server.observation import (
    AddedLatency,
    FieldsDropped,
    InContextObserved,
    Observer,
    RequestObserved,
    RequestOutcome,
    UpstreamTimes,
)

_STRONGEST = (
    RequestOutcome.ALLOWED,
    RequestOutcome.FLAGGED,
    RequestOutcome.REDACTED,
    RequestOutcome.REWRITTEN,
    RequestOutcome.BLOCKED,
)
_MOST_NAMES = 8
_NO_NAME = "(no name)"  # what is longer than a name could say something


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asked, under which id the request is known, and which clock (seconds) measures it."""

    request_id: str
    principal: str
    namespace: str
    clock: Callable[[], float]


@dataclass(slots=True)
class Clockwork:
    """When things happened, in seconds of the caller's clock."""

    began: float
    waited: float = 0.0  # for upstream
    asked: float | None = None
    first_byte: float | None = None
    last_byte: float | None = None
    first_text: float | None = None
    first_sent: float | None = None
    delays: float = 0.0
    delayed: int = 0

    def added(self, now: float) -> AddedLatency:
        """What the guard added until `now`."""
        ttft = None
        if self.first_text is not None and self.first_sent is not None:
            ttft = self.first_sent - self.first_text
        between = self.delays / self.delayed if self.delayed else None
        return AddedLatency(max(0.0, now - self.began - self.waited), ttft, between)

    def upstream(self) -> UpstreamTimes:
        """What upstream took."""
        if self.asked is None:
            return UpstreamTimes()
        first, last = self.first_byte, self.last_byte
        return UpstreamTimes(None if first is None else first - self.asked, None if last is None else last - self.asked)


@dataclass(slots=True)
class Exchange:
    """One request that was read and is being answered. `outcome` only grows stronger while it succeeds.

    `grid_s`: seconds between the moments, counted from the beginning of the request, at which an ending may leave.
    """

    caller: Caller
    dialect: Dialect
    asked: Asked
    view: View
    judge: Judge
    observer: Observer
    times: Clockwork
    outcome: RequestOutcome = RequestOutcome.ALLOWED
    status: int = 200
    held: int = 0
    leaked: int | None = None
    dropped: int = 0
    names: dict[str, None] = field(default_factory=dict)
    grid_s: float = 0.0
    _telling: Telling | None = None

    @property
    def telling(self) -> Telling:
        """The stream that answers."""
        if self._telling is None:
            self._telling = self.dialect.telling(self.asked)
        return self._telling

    def now(self) -> float:
        """Seconds on the caller's clock."""
        return self.caller.clock()

    async def on_grid(self) -> None:
        """Wait for the next moment at which an ending may leave: what took the verdict how long does not show then."""
        if self.grid_s > 0.0:
            await asyncio.sleep(self.grid_s - (self.now() - self.times.began) % self.grid_s)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The time inside is upstream's, not ours."""
        began = self.now()
        try:
            yield
        finally:
            self.times.waited += self.now() - began

    def note(self, frame: Frame) -> None:
        """Remember what was dropped from an answer."""
        if frame.dropped:
            self.dropped += len(frame.dropped)
            for name in frame.dropped:
                if len(self.names) < _MOST_NAMES:
                    self.names[name[:40] if is_name(name) else _NO_NAME] = None

    def rose_to(self, outcome: RequestOutcome) -> None:
        """Something was done to the answer."""
        if self.outcome in _STRONGEST and _STRONGEST.index(outcome) > _STRONGEST.index(self.outcome):
            self.outcome = outcome

    def decided(self, side: Side, verdict: Verdict) -> None:
        """Tell every match of one text, and count the text once."""
        if not verdict.matches:
            return
        self.rose_to(RequestOutcome.FLAGGED)
        for row in self._decisions.of(side, verdict):
            self.observer.observe(row)

    @property
    def _decisions(self) -> DecisionRows:
        return DecisionRows(self.caller.request_id, self.caller.namespace, self.dialect.name, self.view.rules)

    def _excused(self) -> None:
        """Tell what only repeated the user's own words: apart from what the model recalled."""
        for (side, entry_id), match in self.judge.own.excused.items():
            rule = self.view.rules.by_entry[entry_id].policy.in_context
            caller = self.caller
            self.observer.observe(
                InContextObserved(caller.request_id, caller.namespace, side, match.kind, entry_id, rule)
            )
            if rule is InContext.FLAG:
                self.rose_to(RequestOutcome.FLAGGED)
                self.observer.observe(replace(self._decisions.row(side, match, self.view.revision), action=Action.FLAG))

    def concluded(self, guarded: Guarded) -> None:
        """What became of one choice."""
        self.decided(Side.ANSWER, guarded.verdict)
        if guarded.redacted:
            self.rose_to(RequestOutcome.REDACTED)
        if guarded.leaked or (guarded.stop is not None and guarded.verdict.matches):
            self.leaked = (self.leaked or 0) + guarded.leaked

    def over(self) -> None:
        """Tell how the request ended."""
        now = self.now()
        self._excused()
        if self.dropped:
            self.observer.observe(FieldsDropped(self.dialect.name, self.dropped, tuple(self.names)))
        self.observer.observe(
            RequestObserved(
                request_id=self.caller.request_id,
                namespace=self.caller.namespace,
                principal=self.caller.principal,
                dialect=self.dialect.name,
                stream=self.asked.stream,
                outcome=self.outcome,
                status=self.status,
                seconds=now - self.times.began,
                revision=self.view.revision,
                added=self.times.added(now),
                upstream=self.times.upstream(),
                held=self.held,
                leaked=self.leaked,
                peaks=dict(self.judge.peaks),
                prompt_peaks=dict(self.judge.prompt_peaks),
                stripped=self.asked.stripped,
            )
        )
