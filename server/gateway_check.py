"""The check that another gateway asks for: texts it holds whole, judged as our own traffic is, told without evidence.

```
    text --> stream machine, everything held --> windows --> the batcher that live traffic uses --> verdicts
         <-- what may be shown, the spans that may not, and what the policies want done
```
A text is judged to its end, also past what blocks it: a gateway may want to mask every place.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from guard.events import Check, Done, NeedText, Release, Stop
from guard.fingerprint import SHINGLE_WORDS
from guard.plan import StreamPlan
from guard.policy import Rules, Streaming
from guard.scan import combine
from guard.stream import StreamMachine
from guard.verdict import Action, Match, Side, Verdict
from guard.words import words_of
from server.decision_rows import DecisionRows
from server.dialects.conversation import last_words
from server.exchange import Caller
from server.judging import Judge
from server.observation import Observer, RequestObserved, RequestOutcome

_QUESTIONS: Final = 2_000
_SENTENCE_END: Final = re.compile(r"[.!?…][\"'”’)\]]*\s+|\n+")


def unsettled(text: str) -> int:
    """Characters at the end of a text that may mean something else once more of it comes: the sentence that is not
    over, and at least as many words as make a match of a passage."""
    words = words_of(text)
    run = words[-SHINGLE_WORDS].start if len(words) >= SHINGLE_WORDS else 0
    sentence = max((found.end() for found in _SENTENCE_END.finditer(text)), default=0)
    return len(text) - min(run, sentence)


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one text: what may be shown of it, the spans (start, end) that may not, and the verdict."""

    text: str
    spans: tuple[tuple[int, int], ...]
    verdict: Verdict


class RecentQuestions:
    """The ends of what was asked lately, by caller and call, so that an answer that comes later is read as its answer.

    Kept in memory only, and as many as `most`.
    """

    def __init__(self, most: int = _QUESTIONS) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, str], str] = OrderedDict()

    def keep(self, principal: str, call: str, question: str) -> None:
        """Remember what that call asks."""
        self._kept[principal, call] = last_words(question)
        self._kept.move_to_end((principal, call))
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def of(self, principal: str, call: str) -> str:
        """What that call asked; nothing when it is not known here."""
        return self._kept.get((principal, call), "")


@dataclass(slots=True)
class GatewayCheck:
    """One call of a gateway. `dialect` names its contract in metrics and decisions."""

    caller: Caller
    dialect: str
    judge: Judge
    observer: Observer
    began: float
    action: Action = Action.ALLOW
    found: bool = False
    verdicts: list[Verdict] = field(default_factory=list)

    async def answer(self, text: str, question: str) -> Seen:
        """Judge a text as the answer to that question. Raises `GuardUnavailable`."""
        view = self.judge.view
        if view.empty or not text:
            return Seen(text, (), Verdict(revision=view.revision))
        rules, noted = _Softened(view.rules), list[Verdict]()
        plan = StreamPlan(Streaming.STRICT, view.rule, view.redaction, question, hold_whole=True)
        machine = StreamMachine(plan, view.watcher(), rules.decide)
        machine.feed(text)
        machine.end()
        shown, spans = list[str](), list[tuple[int, int]]()
        while True:
            match machine.next_event():
                case Check(windows):
                    told = await self.judge.answer(windows)
                    noted += told
                    machine.resolve([_softened(verdict) for verdict in told])
                case Release(shown_text, start, end, redacted):
                    shown.append(shown_text)
                    if redacted:
                        spans.append((start, end))
                case Stop() | Done() | NeedText():
                    break
        verdict = combine([*rules.verdicts, *noted], view.revision)
        self._note(verdict, Side.ANSWER)
        return Seen("".join(shown), tuple(spans), verdict)

    async def prompt(self, texts: Sequence[str]) -> Verdict:
        """Judge what a client asks. Raises `GuardUnavailable`."""
        view = self.judge.view
        if view.empty:
            return Verdict(revision=view.revision)
        judgement = await self.judge.prompt(texts)
        verdict = combine(judgement.verdicts, view.revision)
        self._note(verdict, Side.PROMPT)
        return verdict

    def refusal(self, verdict: Verdict, side: Side) -> str:
        """What the policy tells whoever asked."""
        return self.judge.view.rules.policy_of(verdict, side).refusal

    def over(self, outcome: RequestOutcome | None = None, status: int = 200) -> None:
        """Tell how the call ended; without an outcome, what was concluded says it."""
        caller = self.caller
        self.observer.observe(
            RequestObserved(
                request_id=caller.request_id,
                namespace=caller.namespace,
                principal=caller.principal,
                dialect=self.dialect,
                stream=False,
                outcome=outcome or self._outcome(),
                status=status,
                seconds=caller.clock() - self.began,
                revision=self.judge.view.revision,
                peaks=dict(self.judge.peaks),
                prompt_peaks=dict(self.judge.prompt_peaks),
            )
        )

    def _note(self, verdict: Verdict, side: Side) -> None:
        if verdict.action.stops:
            self.judge.refuse(verdict, side)
        self.action = max(self.action, verdict.action)
        self.found = self.found or bool(verdict.matches)
        rows = DecisionRows(self.caller.request_id, self.caller.namespace, self.dialect, self.judge.view.rules)
        for row in rows.of(side, verdict):
            self.observer.observe(row)

    def _outcome(self) -> RequestOutcome:
        if self.action.stops:
            return RequestOutcome.BLOCKED
        if self.action is Action.REDACT:
            return RequestOutcome.REDACTED
        return RequestOutcome.FLAGGED if self.found else RequestOutcome.ALLOWED


class _Softened:
    """Decides about a watcher's matches and keeps the verdicts. The machine is told to redact where it would stop."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.verdicts: list[Verdict] = []

    def decide(self, matches: Sequence[Match]) -> Verdict:
        verdict = self._rules.decide(matches, Side.ANSWER)
        self.verdicts.append(verdict)
        return _softened(verdict)


def _softened(verdict: Verdict) -> Verdict:
    return replace(verdict, action=min(verdict.action, Action.REDACT))
