"""The watcher that keeps the ledger: convicts what would take more of an entry to one caller than its policy allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from guard.detector import Watcher
from guard.ledger import Account, Limit, Reservation, Row, lapses
from guard.policy import InContext, Mode, Policy, Rule
from guard.units import Said, UnitReader
from guard.verdict import Action, Match, Side
from guard.words import Word

DETECTOR: Final = "ledger"


class LedgerWatcher:
    """Sees what another watcher sees, and adds its own matches. Each machine has one.

    What is read is reserved at once, so that no other text of the same caller takes the same share; it is credited when
    it left, which `settle` and `close` find out from `released`. `repeats` says whether words are the user's own:
    where the policy lets those pass, they do not count. `clock` gives epoch seconds.
    """

    def __init__(
        self,
        inner: Watcher,
        reader: UnitReader,
        account: Account,
        rules: Mapping[str, Rule],
        clock: Callable[[], float],
    ) -> None:
        self._inner, self._reader = inner, reader
        self._account, self._rules, self._clock = account, rules, clock
        self._limits: dict[str, Limit] = {}
        self._told: set[str] = set()
        self._reservation = Reservation()
        self.released: Callable[[], int] = lambda: 0
        self.repeats: Callable[[Sequence[str]], bool] = lambda _: False
        account.open.add(self._reservation)

    def push(self, word: Word) -> Sequence[Match]:
        """See `Watcher.push`."""
        found = self._inner.push(word)
        said = self._reader.push(word)
        return [*found, *(match for each in said if (match := self._weighed(each)))] if said else found

    @property
    def watch_from(self) -> int | None:
        """See `Watcher.watch_from`: runs of a passage are held by its fingerprints, single terms need not be."""
        return self._inner.watch_from

    def settle(self) -> None:
        """Credit what has left by now."""
        self._account.settle(self._reservation, self.released())

    def close(self) -> None:
        """Credit what has left; nothing more does."""
        self._account.close(self._reservation, self.released())

    def _weighed(self, said: Said) -> Match | None:
        rule = self._rules.get(said.entry_id)
        if rule is None or rule.policy.ledger.share >= 1.0 or self._excused(rule.policy, said):
            return None
        limit = self._limit(said, rule)
        bits = 0
        for unit in said.units:
            bits |= limit.place(unit)
        now = self._clock()
        mine = self._account.covered(said.entry_id, now) | self._reservation.bits.get(said.entry_id, 0)
        if not bits & ~mine:
            return None
        awaited = self._account.awaited(said.entry_id, now)
        over = bool(bits & ~awaited) and not limit.allows(awaited | bits)
        if over and _acts(rule):
            return self._match(said)
        self._reservation.add(said.end, Row(said.entry_id, lapses(now, rule.policy.ledger.window_s), bits & ~mine))
        if not over or said.entry_id in self._told:
            return None
        self._told.add(said.entry_id)  # what lets it pass is told once
        return self._match(said)

    def _limit(self, said: Said, rule: Rule) -> Limit:
        known = self._limits.get(said.entry_id)
        if known is None:
            size, least = self._reader.extent(said)
            asked = rule.policy.ledger
            known = self._limits[said.entry_id] = Limit(size, asked, asked.least_units if least is None else least)
        return known

    def _excused(self, policy: Policy, said: Said) -> bool:
        return policy.in_context is not InContext.SUPPRESS and self.repeats(said.norms)

    @staticmethod
    def _match(said: Said) -> Match:
        return Match(said.entry_id, said.kind, DETECTOR, 1.0, 1.0, said.start, said.end)


def _acts(rule: Rule) -> bool:
    """True when the policy lets nothing of a match leave."""
    return rule.policy.mode is Mode.ENFORCE and rule.policy.action(rule.kind, Side.ANSWER) >= Action.REDACT
