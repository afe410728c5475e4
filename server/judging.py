"""One request's way to verdicts: windows go to the batcher, findings come back and are decided by one view's rules."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from guard.cascade import Cascade, Finding
from guard.detector import Watcher, Window
from guard.events import Check, Done, NeedText, Stop
from guard.glance import Glance
from guard.plan import StreamPlan
from guard.policy import Adaptive, FailureRule, Rules, Streaming
from guard.scan import combine
from guard.segments import WindowRule
from guard.shingler import Shingler
from guard.stream import StreamMachine
from guard.supplied import Remembering
from guard.units import UnitTable
from guard.verdict import Kind, Match, Side, Verdict
from server.batching import JudgeBusy, JudgeFault, JudgeLate
from server.faults import GuardUnavailable
from server.in_context import InContextRule
from server.ledger import LedgerSession
from server.observation import Degraded, DegradedReason, Observer
from server.prompt_cache import PromptCache
from server.prompt_windows import prompt_windows

_SLICE: Final = 32  # windows of a long prompt that are asked for at once: others get their turn between
_SHORT: Final = 2_000  # characters that are read without leaving the event loop
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
    def kinds(self) -> Collection[Kind]: ...
    @property
    def empty(self) -> bool: ...
    @property
    def adaptive(self) -> Adaptive: ...
    def watcher(self) -> Watcher: ...
    def glance(self) -> Glance | None: ...
    @property
    def shingler(self) -> Shingler: ...
    @property
    def units(self) -> UnitTable | None: ...


class Batches(Protocol):
    """Judges windows without holding up the event loop; `server.batching.Batcher` is the one that is served."""

    def admit(self) -> None: ...
    async def judge(self, cascade: Cascade, windows: Sequence[Window]) -> list[Finding]: ...


@dataclass(slots=True)
class Judge:
    """Judges by one view. `own` is what the user supplied, `seen` what was found in prompts before.

    `peaks` collects the highest score per kind in the answer, `prompt_peaks` in the conversation. `ledger` counts what
    leaves to this caller; without it nothing is counted.
    """

    view: View
    batches: Batches
    observer: Observer
    own: InContextRule = field(default_factory=InContextRule)
    seen: PromptCache = field(default_factory=PromptCache)
    peaks: dict[Kind, float] = field(default_factory=dict)
    prompt_peaks: dict[Kind, float] = field(default_factory=dict)
    ledger: LedgerSession | None = None

    def admit(self) -> None:
        """Raise `JudgeBusy` when too much waits to be judged to begin another request."""
        try:
            self.batches.admit()
        except JudgeBusy:
            self.observer.observe(Degraded(_JUDGE, DegradedReason.BUSY))
            raise

    async def answer(self, windows: Sequence[Window]) -> list[Verdict]:
        """One verdict per window of an answer. What cannot be told is decided by the failure rule."""
        findings = await self._findings(self.view.answer, windows)
        if self.ledger is not None:
            findings = self.ledger.judged(windows, findings, self.view.rules.by_entry)
        for finding in findings:
            _raise_peaks(self.peaks, finding.peaks)
        _raise_peaks(self.peaks, dict.fromkeys(self.view.kinds, 0.0))  # what was cleared cheaply scored low
        return await self._verdicts(windows, findings, Side.ANSWER)

    def machine(self, plan: StreamPlan, border: int | None = None) -> StreamMachine:
        """A machine that guards one channel of an answer; `answer` gives it its verdicts. With a `border`, only what
        begins before that character and ends behind it counts."""
        rules = self.view.rules
        inner = self.view.watcher()
        counting = self.ledger.watcher(inner, rules.by_entry, self.own.repeats) if self.ledger is not None else None
        watcher = Remembering(inner if counting is None else counting)
        weaken = self.own.in_run(watcher)

        def decide(found: Sequence[Match]) -> Verdict:
            if border is not None:
                found = [match for match in found if match.start < border < match.end]
            return rules.decide(found, Side.ANSWER, weaken=weaken)

        glance = self.view.glance() if plan.streaming is Streaming.ADAPTIVE else None
        machine = StreamMachine(plan, watcher, decide, glance)
        if counting is not None:
            counting.released = lambda: machine.released
        return machine

    async def whole(self, text: str, context: str = "") -> Verdict:
        """The verdict on a text that is at hand, judged as strictly as a stream can be."""
        machine = self.machine(StreamPlan(Streaming.STRICT, self.view.rule, context=context))
        machine.feed(text)
        machine.end()
        while True:
            match machine.next_event():
                case Check(windows):
                    machine.resolve(await self.answer(windows))
                case Stop() | Done() | NeedText():
                    return combine(machine.verdicts, self.view.revision)

    async def prompt(self, texts: Sequence[str], together: Sequence[Sequence[str]] = ()) -> PromptJudgement:
        """How near a conversation comes to what is forgotten; `together` are turns that are also read together."""
        cascade = self.view.prompt
        if not cascade.stages:
            return PromptJudgement()
        windows = await self._windows(texts, together)
        findings = await self._found(cascade, windows)
        peaks: dict[Kind, float] = {}
        for finding in findings:
            _raise_peaks(peaks, finding.peaks)
        _raise_peaks(self.prompt_peaks, dict.fromkeys(self.view.kinds, 0.0) | peaks)
        told = [(w, f) for w, f in zip(windows, findings, strict=True) if f.matches or f.failed or f.suspects]
        verdicts = await self._verdicts([w for w, _ in told], [f for _, f in told], Side.PROMPT)
        # What the user may say is no reason to trust the answer.
        near = bool(told) or _is_near(peaks, cascade, self.view.adaptive.strict_near)
        return PromptJudgement(tuple(v for v in verdicts if v.matches or v.failed), near)

    async def _windows(self, texts: Sequence[str], together: Sequence[Sequence[str]]) -> list[Window]:
        if sum(len(text) for text in texts) <= _SHORT:
            return prompt_windows(texts, together, self.view.rule)
        return await asyncio.to_thread(prompt_windows, texts, together, self.view.rule)  # takes a while

    async def _found(self, cascade: Cascade, windows: Sequence[Window]) -> list[Finding]:
        """What the windows of a prompt hold: those of earlier turns are known already."""
        known = self.seen.known(cascade, windows)
        new = [window for window, finding in zip(windows, known, strict=True) if finding is None]
        found: list[Finding] = []
        for at in range(0, len(new), _SLICE):
            found += await self._findings(cascade, new[at : at + _SLICE])
        self.seen.keep(cascade, new, found)
        fresh = iter(found)
        return [next(fresh) if finding is None else finding for finding in known]

    async def _verdicts(self, windows: Sequence[Window], findings: Sequence[Finding], side: Side) -> list[Verdict]:
        rules = self.view.rules
        await self.own.prepare(findings, rules)
        return [
            rules.decide(found.matches, side, found.failed, found.suspects, self.own.in_window(window, side))
            for window, found in zip(windows, findings, strict=True)
        ]

    def refuse(self, verdict: Verdict, side: Side = Side.ANSWER) -> None:
        """Raise when a verdict stops only because something could not be told: that is no suppression."""
        if verdict.failed and not self.view.rules.decide(verdict.matches, side).action.stops:
            raise GuardUnavailable(DegradedReason.DETECTOR, verdict.failed)

    async def _findings(self, cascade: Cascade, windows: Sequence[Window]) -> list[Finding]:
        try:
            findings = await self.batches.judge(cascade, windows)
        except JudgeFault as fault:
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
    return DegradedReason.TIMEOUT if isinstance(fault, JudgeLate) else DegradedReason.DETECTOR


def _raise_peaks(peaks: dict[Kind, float], seen: Mapping[Kind, float]) -> None:
    for kind, score in seen.items():
        if score > peaks.get(kind, -1.0):
            peaks[kind] = score


def _is_near(peaks: Mapping[Kind, float], cascade: Cascade, share: float) -> bool:
    for stage in cascade.stages:
        for kind, threshold in stage.convict_at.items():
            if peaks.get(kind, -1.0) >= share * threshold:
                return True
    return False
