"""What a client gets instead of a suppressed text: a rewrite that the guard accepts, or the policy's refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from guard.policy import Policy
from guard.verdict import Action, Side, Verdict
from server.dialects.dialect import SUPPRESSED, Unreadable
from server.exchange import Exchange
from server.faults import UpstreamFault
from server.observation import RequestOutcome, RewriteObserved, RewriteOutcome, UpstreamFailed
from server.upstream import Ask, Upstream

REGENERATE: Final = "regenerate"
WARMER: Final = 0.4
"""Added to the temperature for each further try: the same question asked the same way gets the same answer."""

_INSTRUCTION: Final = (
    "Do not mention, quote or paraphrase {label}. Answer without it, or say that you cannot help with that."
)
_UNNAMED: Final = "the withheld subject"
_GAP: Final = "\n\n"


@dataclass(frozen=True, slots=True)
class Remedy:
    """The rest of a choice. `tokens` is exact when upstream counted them, None when they must be estimated."""

    text: str
    finish_reason: str = SUPPRESSED
    tokens: int | None = None


class Remedies:
    """Finds the rest of the choices of one exchange."""

    def __init__(self, exchange: Exchange, upstream: Upstream) -> None:
        self._exchange, self._upstream = exchange, upstream

    async def remedy(self, choice: int, verdict: Verdict, shown: str, spoken: str) -> Remedy:
        """What follows `shown`, all that the client has seen of this choice; `spoken` is the part in the channel that
        the rest is told in. Raises `GuardUnavailable` when the text was not stopped for what it says."""
        self._exchange.judge.refuse(verdict)
        rules = self._exchange.view.rules
        policy = rules.policy_of(verdict)
        gap = "" if not spoken or spoken.endswith("\n") else _GAP
        if verdict.action is Action.REWRITE:
            found = await self._rewrite(choice, policy, self._label(verdict), shown + gap)
            if found is not None:
                self._exchange.rose_to(RequestOutcome.REWRITTEN)
                return Remedy(gap + found.text, found.finish_reason, found.tokens)
        self._exchange.rose_to(RequestOutcome.BLOCKED)
        return Remedy(gap + policy.refusal)

    def _label(self, verdict: Verdict) -> str:
        """The public label of the entry that matched best among those that ask for a rewrite."""
        by_entry = self._exchange.view.rules.by_entry
        for match in sorted(verdict.matches, key=lambda m: m.score, reverse=True):
            rule = by_entry[match.entry_id]
            if rule.policy.action(match.kind, Side.ANSWER) is Action.REWRITE and rule.label:
                return rule.label
        return _UNNAMED

    async def _rewrite(self, choice: int, policy: Policy, label: str, before: str) -> Remedy | None:
        instruction = _INSTRUCTION.format(label=label)
        outcome, tries = RewriteOutcome.EXHAUSTED, 0
        found: Remedy | None = None
        try:
            while found is None and tries < policy.rewrite_tries:
                tries += 1
                answer = await self._ask_again(choice, instruction, tries)
                if answer.text.strip() and await self._accepts(choice, before + answer.text):
                    found, outcome = answer, RewriteOutcome.VERIFIED
        except UpstreamFault as fault:
            outcome = RewriteOutcome.ERROR
            self._exchange.observer.observe(UpstreamFailed(fault.reason))
        except Unreadable:
            outcome = RewriteOutcome.ERROR
        self._exchange.observer.observe(RewriteObserved(REGENERATE, outcome, tries))
        return found

    async def _ask_again(self, choice: int, instruction: str, attempt: int) -> Remedy:
        exchange = self._exchange
        body = exchange.dialect.rewrite(exchange.asked, choice, instruction, WARMER * (attempt - 1))
        request_id = f"{exchange.caller.request_id}-rewrite-{choice}-{attempt}"
        with exchange.waiting():
            async with self._upstream.ask(Ask("POST", exchange.dialect.path, request_id, body)) as answer:
                raw = await answer.whole()
        frame = exchange.dialect.body(raw)
        exchange.note(frame)
        text, finish_reason = exchange.dialect.said(frame)
        counted = (frame.usage or {}).get("completion_tokens")
        return Remedy(text, finish_reason, counted if isinstance(counted, int) else None)

    async def _accepts(self, choice: int, text: str) -> bool:
        """True when nothing in the whole of what the client would have seen is suppressed."""
        exchange = self._exchange
        verdict = await exchange.judge.whole(text, exchange.asked.question(choice))
        return verdict.action < Action.REDACT
