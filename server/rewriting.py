"""Another answer in the place of a suppressed one, which goes on from what the client has read already.

```
    the client has read:  "Rain falls on the sea. Now the"
    continue              the model is given this as its own beginning and goes on with it
    regenerate            the model is told in an instruction what was said, and answers again
```
The first answer continues when anything was said; each further one is regenerated, and so is the first where the server
cannot continue. An answer is used only when the guard accepts it together with all that the client has seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from guard.verdict import Action
from server.dialects.dialect import Rewrite, Unreadable
from server.exchange import Exchange
from server.faults import UpstreamFault, UpstreamRefused
from server.observation import RewriteObserved, RewriteOutcome, UpstreamFailed
from server.structured import valid
from server.upstream import Ask, Upstream
from server.usage import estimate_tokens

GAP: Final = "\n\n"
"""Between what was said and what does not go on from it."""

WARMER: Final = 0.4
"""Added to the temperature for each further try: the same question asked the same way gets the same answer."""

_INSTRUCTION: Final = (
    "Do not mention, quote or paraphrase {label}. Answer without it, or say that you cannot help with that."
)
_GO_ON: Final = (
    "\n\nThe beginning of your answer was sent already. Continue this text from exactly where it ends, without "
    "repeating any of it:\n\n{begun}"
)
_WORD: Final = re.compile(r"\S+")
_FEWEST: Final = 3
"""Words that say: this was not repeated by chance."""

_OVERLOADED: Final = frozenset({429, 503})
_CLOSERS: Final = "\"'\u201d\u2019)]*_"
_SENTENCE_ENDS: Final = ".!?:;\u2026\u3002\uff01\uff1f"
_TIED: Final = ",.;:!?)]}\u2019\u201d\u2026%"


class Strategy(StrEnum):
    """How another answer is asked for."""

    CONTINUE = "continue"
    REGENERATE = "regenerate"


@dataclass(frozen=True, slots=True)
class Sought:
    """The rest of a choice that is sought.

    `label` names in public what must not be said. `shown` is all that the client has seen of the choice, `begun` the
    part of it in the channel that the rest is told in. At most `tries` answers are judged.
    """

    choice: int
    label: str
    tries: int
    shown: str
    begun: str


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The rest of a choice, to be put right behind what was said; `tokens` when upstream counted just this."""

    text: str
    finish_reason: str
    tokens: int | None


class _NotContinued(Exception):
    """The server refused to continue a text, or began anew."""


class Rewriting:
    """Asks upstream until the guard accepts what it says."""

    def __init__(self, exchange: Exchange, upstream: Upstream) -> None:
        self._exchange, self._upstream = exchange, upstream

    async def find(self, sought: Sought) -> Rewritten | None:
        """The rest of a choice that the guard accepts; None when there is none."""
        tries = sought.tries
        if sought.begun.strip():
            found, outcome = await self._search(sought, Strategy.CONTINUE, 1)
            if found is not None or outcome is RewriteOutcome.ERROR:
                return found
            tries -= outcome is not RewriteOutcome.UNSUPPORTED
        if tries < 1:
            return None
        found, _ = await self._search(sought, Strategy.REGENERATE, tries)
        return found

    async def _search(self, sought: Sought, strategy: Strategy, most: int) -> tuple[Rewritten | None, RewriteOutcome]:
        """Ask up to `most` times, and tell how it ended."""
        outcome, tries = RewriteOutcome.EXHAUSTED, 0
        found: Rewritten | None = None
        try:
            while found is None and tries < most:
                tries += 1
                answer = await self._ask(sought, strategy, tries)
                if answer is not None and await self._accepts(sought, answer.text):
                    found, outcome = answer, RewriteOutcome.VERIFIED
        except _NotContinued:
            outcome = RewriteOutcome.UNSUPPORTED
        except UpstreamFault as fault:
            outcome = RewriteOutcome.ERROR
            self._exchange.observer.observe(UpstreamFailed(fault.reason))
        except Unreadable:
            outcome = RewriteOutcome.ERROR
        self._exchange.observer.observe(RewriteObserved(strategy.value, outcome, tries))
        return found, outcome

    async def _ask(self, sought: Sought, strategy: Strategy, attempt: int) -> Rewritten | None:
        """One answer, fitted to what was said; None when it says nothing of use. Raises `_NotContinued`."""
        continued = strategy is Strategy.CONTINUE
        try:
            text, finish_reason, tokens = await self._answer(_request(sought, continued, attempt), strategy, attempt)
        except UpstreamRefused as refused:
            if continued and refused.status not in _OVERLOADED:
                raise _NotContinued from None
            raise
        rest = rest_of(sought.begun, text)
        if rest is None and continued:
            raise _NotContinued
        if rest is None or not rest.strip():
            return None
        joined = joint(sought.begun, rest, continued)
        return Rewritten(joined, finish_reason, tokens if rest == text else None)

    async def _answer(self, rewrite: Rewrite, strategy: Strategy, attempt: int) -> tuple[str, str, int | None]:
        """What upstream says, why it stopped, and how many tokens it counted."""
        exchange = self._exchange
        body = exchange.dialect.rewrite(exchange.asked, rewrite)
        request_id = f"{exchange.caller.request_id}-{strategy.value}-{rewrite.choice}-{attempt}"
        with exchange.waiting():
            async with self._upstream.ask(Ask("POST", exchange.dialect.path, request_id, body)) as answer:
                raw = await answer.whole()
        frame = exchange.dialect.body(raw)
        exchange.note(frame)
        text, finish_reason = exchange.dialect.said(frame)
        counted = (frame.usage or {}).get("completion_tokens")
        return text, finish_reason, counted if isinstance(counted, int) else None

    async def _accepts(self, sought: Sought, text: str) -> bool:
        """True when nothing in the whole of what the client would have seen is suppressed, and what it asked to be
        structured is."""
        exchange = self._exchange
        structured = exchange.asked.structured
        if structured is not None and not valid(sought.begun + text, structured):
            return False
        verdict = await exchange.judge.whole(sought.shown + text, exchange.asked.question(sought.choice))
        return verdict.action < Action.REDACT


def _request(sought: Sought, continued: bool, attempt: int) -> Rewrite:
    instruction = _INSTRUCTION.format(label=sought.label)
    if sought.begun.strip() and not continued:
        instruction += _GO_ON.format(begun=sought.begun)
    begun, spent = sought.begun if continued else "", estimate_tokens(sought.shown)
    return Rewrite(sought.choice, instruction, WARMER * (attempt - 1), begun, spent)


def rest_of(begun: str, answer: str) -> str | None:
    """What `answer` adds to `begun`: all of it, unless it begins with the end of what was said, which is taken off.

    None when it starts the same text again and goes another way: then it does not follow at all.
    """
    said = begun.split()
    told = list(_WORD.finditer(answer))
    words = [match[0] for match in told]
    for n in range(min(len(said), len(words)), 0, -1):
        enough = n >= _FEWEST
        if not (enough or n == len(said)) or words[: n - 1] != said[len(said) - n : -1]:
            continue
        last, whole = said[-1], words[n - 1]
        if whole == last or (enough and not begun[-1].isspace() and whole.startswith(last)):
            return answer[told[n - 1].start() + len(last) :]
    same = min(len(said), _FEWEST)
    return None if same and words[:same] == said[:same] else answer


def joint(begun: str, rest: str, continued: bool) -> str:
    """`rest` as it must stand right behind `begun`: one space where words would run into each other, none doubled.

    A model that continues writes its own spaces, but some servers let it begin a new sentence instead. That, and what
    was asked for by an instruction, begins a paragraph of its own when it leaves the sentence that was begun.
    """
    if not begun:
        return rest
    if begun[-1].isspace():
        return rest.lstrip(" ")
    continued = continued and not _begins_anew(begun, rest)
    if continued or rest[0].isspace() or rest[0] in _TIED:
        return rest
    ended = begun.rstrip(_CLOSERS)[-1:] in _SENTENCE_ENDS
    return (GAP if rest[0].isupper() and not ended else " ") + rest


def _begins_anew(begun: str, rest: str) -> bool:
    """True when a capitalised word stands right behind a word or a sentence: no text goes on like that."""
    capitalised = rest[0].isupper() and not rest[1:2].isupper()
    return capitalised and (begun[-1].isalnum() or begun[-1] in _SENTENCE_ENDS)
