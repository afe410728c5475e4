"""One request's way to verdicts: windows go to the batcher, findings come back and are decided by one view's rules."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from guard.cascade import Cascade, Finding
from guard.detector import Watcher, Window
from guard.events import Check, Done, NeedText, Stop
from guard.plan import StreamPlan
from guard.policy import FailureRule, Rules, Streaming
from guard.scan import combine
from guard.segments import WindowRule
from guard.stream import StreamMachine
from guard.verdict import Kind, Side, Verdict
from guard.windows import windows_of
from server.batching import JudgeBusy, JudgeFault, JudgeLate
from server.faults import GuardUnavailable
from server.observation import Degraded, DegradedReason, Observer

NEAR: Final = 0.9
"""A prompt that scores at least this share of a threshold makes its answer strict from the first word."""
_SLICE: Final = 32  # windows of a long prompt that are asked for at once: others get their turn between
_SHORT: Final = 50_000  # characters
_JUDGE: Final = "judge"


class View(Protocol):
    """One namespace at one revision: what a request is judged by, from start to end."""

    @property
    def namespace(self) -> str: ...
    @property
    def revision(self) -> int: ...
    @property
    def rules(self) -> Rules: ...
    @property
    def answer(self) -> Cascade: ...
    @property
    def prompt(self) -> Cascade: ...
    @property
    def streaming(self) -> Streaming: ...
    @property
    def redaction(self) -> str: ...
    @property
    def on_failure(self) -> FailureRule: ...
    @property
    def rule(self) -> WindowRule: ...
    @property
    def empty(self) -> bool: ...
    def watcher(self) -> Watcher: ...


class Batches(Protocol):
    """Judges windows off the event loop; `server.batching.Batcher` is the one that is served."""

    async def judge(self, cascade: Cascade, windows: Sequence[Window]) -> list[Finding]: ...


@dataclass(slots=True)
class Judge:
    """Judges by one view. `peaks` collects the highest score per kind in the answer; `busy` is a sign of overload."""

    view: View
    batches: Batches
    observer: Observer
    peaks: dict[Kind, float] = field(default_factory=dict)
    busy: JudgeBusy | None = None

    async def answer(self, windows: Sequence[Window]) -> list[Verdict]:
        """One verdict per window of an answer. What cannot be told is decided by the failure rule."""
        findings = await self._findings(self.view.answer, windows)
        for finding in findings:
            _raise_peaks(self.peaks, finding.peaks)
        rules = self.view.rules
        return [rules.decide(f.matches, Side.ANSWER, f.failed) for f in findings]

    async def whole(self, text: str, context: str = "") -> Verdict:
        """The verdict on a text that is at hand, judged as strictly as a stream can be."""
        rules = self.view.rules
        plan = StreamPlan(Streaming.STRICT, self.view.rule, context=context)
        machine = StreamMachine(plan, self.view.watcher(), lambda found: rules.decide(found, Side.ANSWER))
        machine.feed(text)
        machine.end()
        while True:
            match machine.next_event():
                case Check(windows):
                    machine.resolve(await self.answer(windows))
                case Stop() | Done() | NeedText():
                    return combine(machine.verdicts, self.view.revision)

    async def prompt(self, texts: Sequence[str]) -> PromptJudgement:
        """How near a conversation comes to what is forgotten."""
        cascade = self.view.prompt
        if not cascade.stages:
            return PromptJudgement()
        windows = await self._windows(texts)
        verdicts: list[Verdict] = []
        peaks: dict[Kind, float] = {}
        for at in range(0, len(windows), _SLICE):
            for finding in await self._findings(cascade, windows[at : at + _SLICE]):
                _raise_peaks(peaks, finding.peaks)
                if finding.matches or finding.failed:
                    verdicts.append(self.view.rules.decide(finding.matches, Side.PROMPT, finding.failed))
        near = bool(verdicts) or _is_near(peaks, cascade)
        return PromptJudgement(tuple(verdicts), near)

    async def _windows(self, texts: Sequence[str]) -> list[Window]:
        """The windows of a conversation, each text once: turns repeat."""

        def cut() -> list[Window]:
            return list({window.text: window for text in texts for window in windows_of(text, self.view.rule)}.values())

        if sum(len(text) for text in texts) <= _SHORT:
            return cut()
        return await asyncio.to_thread(cut)  # reading a long conversation takes a while

    def refuse(self, verdict: Verdict, side: Side = Side.ANSWER) -> None:
        """Raise when a verdict stops only because something could not be told: that is no suppression."""
        if verdict.failed and not self.view.rules.decide(verdict.matches, side).action.stops:
            if self.busy is not None:
                raise self.busy
            raise GuardUnavailable(DegradedReason.DETECTOR, verdict.failed)

    async def _findings(self, cascade: Cascade, windows: Sequence[Window]) -> list[Finding]:
        try:
            findings = await self.batches.judge(cascade, windows)
        except JudgeFault as fault:
            self.busy = fault if isinstance(fault, JudgeBusy) else None
            self.observer.observe(Degraded(_JUDGE, _reason(fault)))
            return [Finding(failed=(_JUDGE,))] * len(windows)
        for stage in dict.fromkeys(name for finding in findings for name in finding.failed):
            self.observer.observe(Degraded(stage, DegradedReason.DETECTOR))
        return findings


@dataclass(frozen=True, slots=True)
class PromptJudgement:
    """The verdicts that found something, and whether the answer must be strict from its first word."""

    verdicts: tuple[Verdict, ...] = ()
    near: bool = False


def _reason(fault: JudgeFault) -> DegradedReason:
    if isinstance(fault, JudgeBusy):
        return DegradedReason.BUSY
    return DegradedReason.TIMEOUT if isinstance(fault, JudgeLate) else DegradedReason.DETECTOR


def _raise_peaks(peaks: dict[Kind, float], seen: Mapping[Kind, float]) -> None:
    for kind, score in seen.items():
        if score > peaks.get(kind, -1.0):
            peaks[kind] = score


def _is_near(peaks: Mapping[Kind, float], cascade: Cascade) -> bool:
    for stage in cascade.stages:
        for kind, threshold in stage.convict_at.items():
            if peaks.get(kind, -1.0) >= NEAR * threshold:
                return True
    return False
