"""What a client gets instead of a suppressed text: a rewrite that the guard accepts, or the policy's refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from guard.verdict import Action, Side, Verdict
from server.dialects.dialect import SUPPRESSED
from server.exchange import Exchange
from server.observation import RequestOutcome
from server.rewriting import GAP, Rewriting, Sought
from server.upstream import Upstream

_UNNAMED: Final = "the withheld subject"


@dataclass(frozen=True, slots=True)
class Remedy:
    """The rest of a choice. `tokens` is exact when upstream counted them, None when they must be estimated. `own`: the
    model said it."""

    text: str
    finish_reason: str = SUPPRESSED
    tokens: int | None = None
    own: bool = False


class Remedies:
    """Finds the rest of the choices of one exchange."""

    def __init__(self, exchange: Exchange, upstream: Upstream) -> None:
        self._exchange = exchange
        self._rewriting = Rewriting(exchange, upstream)

    async def remedy(self, choice: int, verdict: Verdict, shown: str, spoken: str) -> Remedy:
        """What follows `shown`, all that the client has seen of this choice; `spoken` is the part in the channel that
        the rest is told in. Answers at a moment at which an ending may leave (`Exchange.on_grid`).

        Raises `GuardUnavailable` when the text was not stopped for what it says.
        """
        self._exchange.judge.refuse(verdict)
        found = await self._find(choice, verdict, shown, spoken)
        await self._exchange.on_grid()
        return found

    async def _find(self, choice: int, verdict: Verdict, shown: str, spoken: str) -> Remedy:
        policy = self._exchange.view.rules.policy_of(verdict)
        if verdict.action is Action.REWRITE:
            sought = Sought(choice, self._label(verdict), policy.rewrite_tries, shown, spoken)
            found = await self._rewriting.find(sought)
            if found is not None:
                self._exchange.rose_to(RequestOutcome.REWRITTEN)
                return Remedy(found.text, found.finish_reason, found.tokens, own=True)
        self._exchange.rose_to(RequestOutcome.BLOCKED)
        gap = "" if not spoken or spoken.endswith("\n") else GAP
        return Remedy(gap + policy.refusal)

    def _label(self, verdict: Verdict) -> str:
        """The public label of the entry that matched best among those that ask for a rewrite."""
        by_entry = self._exchange.view.rules.by_entry
        for match in sorted(verdict.matches, key=lambda m: m.score, reverse=True):
            rule = by_entry[match.entry_id]
            if rule.policy.action(match.kind, Side.ANSWER) is Action.REWRITE and rule.label:
                return rule.label
        return _UNNAMED
