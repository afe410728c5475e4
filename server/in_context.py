"""The in-context rule of one request: which matches merely repeat what the user supplied in it.

```
    match --> policy suppresses what is supplied: as any other match
          --> found in another dress, or not in the user's own words: as any other match
          --> in the user's own words: `allow` lets it pass, `flag` tells it; either is counted apart
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from guard.cascade import Finding
from guard.detector import Window
from guard.fingerprint import DETECTOR
from guard.policy import InContext, Policy, Rules
from guard.supplied import Remembering, Supplied
from guard.verdict import PLAIN, Action, Match, Side
from guard.words import words_of

Weaken = Callable[[Match, Policy], Action]

_SHORT: Final = 50_000  # characters that are read without leaving the event loop


def most_of(rule: InContext) -> Action:
    """The most that is done about what the user supplied."""
    return {InContext.ALLOW: Action.ALLOW, InContext.FLAG: Action.FLAG}.get(rule, Action.BLOCK)


class InContextRule:
    """What of one request is the user's own. `texts` are the user's and the tools' messages, and documents.

    The texts are read when a match first asks for them. `excused` holds the matches that were let pass: one per side
    and entry, the strongest.
    """

    __slots__ = ("_supplied", "_texts", "excused")

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self._texts = texts
        self._supplied: Supplied | None = None
        self.excused: dict[tuple[Side, str], Match] = {}

    async def prepare(self, findings: Iterable[Finding], rules: Rules) -> None:
        """Read the texts if these findings ask for it: long ones off the event loop."""
        if self._supplied is not None or sum(len(text) for text in self._texts) <= _SHORT:
            return
        for finding in findings:
            for match in (*finding.matches, *finding.suspects):
                rule = rules.by_entry.get(match.entry_id)
                if rule is not None and rule.policy.in_context is not InContext.SUPPRESS:
                    self._supplied = await asyncio.to_thread(Supplied, self._texts)
                    return

    def in_window(self, window: Window, side: Side) -> Weaken:
        """The rule for what was found in a window. A prompt's windows are often the user's as they stand."""

        def repeated(match: Match) -> bool:
            if match.detector == DETECTOR:
                return self._known.holds(_words_in(window, match))
            norms = [word.norm for word in words_of(window.text)]
            return (side is Side.PROMPT and self._known.holds(norms)) or self._known.covers(norms)

        return self._weaken(side, repeated)

    def in_run(self, words: Remembering) -> Weaken:
        """The rule for what a watcher found in an answer: the words of the match itself must be the user's."""
        return self._weaken(Side.ANSWER, lambda match: self._known.holds(words.words(match.start, match.end)))

    def repeats(self, norms: Sequence[str]) -> bool:
        """True when these words stand in the user's texts, one after the other."""
        return bool(self._texts) and self._known.holds(norms)

    @property
    def _known(self) -> Supplied:
        if self._supplied is None:
            self._supplied = Supplied(self._texts)
        return self._supplied

    def _weaken(self, side: Side, repeated: Callable[[Match], bool]) -> Weaken:
        def weaken(match: Match, policy: Policy) -> Action:
            most = most_of(policy.in_context)
            if not self._texts or match.view != PLAIN or policy.action(match.kind, side) <= most:
                return Action.BLOCK
            if not repeated(match):
                return Action.BLOCK
            told = self.excused.get((side, match.entry_id))
            if told is None or match.score > told.score:
                self.excused[side, match.entry_id] = match
            return Action.ALLOW  # a flag is told with the other excused ones, apart from what was recalled

        return weaken


def _words_in(window: Window, match: Match) -> list[str]:
    """The words of a match in a window; all of the window's where positions do not fit what it shows."""
    if len(window.text) != window.end - window.start:  # a part is redacted already
        return [word.norm for word in words_of(window.text)]
    start, end = match.start - window.start, match.end - window.start
    return [word.norm for word in words_of(window.text) if start <= word.start and word.end <= end]
