"""Keeps the ledger: what of each entry has left to whom, over turns, choices, requests, workers and replicas.

```
    request --account()--> LedgerSession --watcher()--> one per channel, inside its machine
                              | close(): what left is credited
    every 0.5 s:   credit what left of running streams --> add to the store --> read what others added
```

An account is read from the store when its caller asks for the first time; afterwards this process follows what others
write. What was credited and not yet written when a process is killed is lost: at most what left in the last second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Final, Protocol

from guard.cascade import Finding
from guard.detector import Watcher, Window
from guard.ledger import Account, Row
from guard.ledger_watcher import LedgerWatcher
from guard.policy import FailureRule, Rule
from guard.shingler import Shingler
from guard.units import Told, UnitReader, UnitTable, subjects
from guard.verdict import PLAIN, Match
from guard.words import Word, words_of
from index.errors import StoreUnavailable
from index.ledger_rows import Post
from server.faults import GuardUnavailable
from server.logs import record
from server.observation import DegradedReason

EVERY_S: Final = 0.5
MOST_ACCOUNTS: Final = 4_000
"""Accounts in memory; of more, those that are idle longest are read again when they are asked for."""

LONGEST_TURNS: Final = 4_000
"""Characters at the end of a conversation that are read for what it speaks of."""

_STAGE: Final = "ledger"
_FORGET_EVERY_S: Final = 3_600.0
_MOST_UNWRITTEN: Final = 100_000
"""Rows that wait for a store that is down; further ones stay in this process only."""


class LedgerStore(Protocol):
    """Where the ledger is kept."""

    def add_ledger(self, posts: Sequence[Post]) -> None: ...

    def ledger_of(self, account: str, now: float) -> Sequence[Row]: ...

    def ledger_since(self, written: int) -> tuple[int, Sequence[Post]]: ...

    def forget_ledger(self, now: float) -> int: ...


class LedgerView(Protocol):
    """What of a namespace's view the ledger needs."""

    @property
    def namespace(self) -> str: ...
    @property
    def shingler(self) -> Shingler: ...
    @property
    def units(self) -> UnitTable | None: ...
    @property
    def on_failure(self) -> FailureRule: ...


def account_name(shingler: Shingler, namespace: str, principal: str, end_user: str) -> str:
    """A caller under the store's key: 32 hexadecimal digits that confirm no guess without it."""
    parts = (part.encode("utf-8", "surrogatepass") for part in (namespace, principal, end_user))
    told = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return blake2b(told, digest_size=16, key=shingler.key, person=b"account").hexdigest()


class _Blind:
    """A watcher that finds nothing."""

    watch_from = None

    def push(self, word: Word) -> Sequence[Match]:
        """See `Watcher.push`."""
        return ()


class LedgerSession:
    """One request of a caller. `turns` is the conversation that is answered."""

    def __init__(
        self, account: Account, view: LedgerView, units: UnitTable, turns: Sequence[str], clock: Callable[[], float]
    ) -> None:
        self._account, self._view, self._units, self._clock = account, view, units, clock
        self._turns = _last(turns)
        self._asked: dict[str, Told] | None = None
        self._watchers: list[LedgerWatcher] = []

    def watcher(
        self, inner: Watcher, rules: Mapping[str, Rule], repeats: Callable[[Sequence[str]], bool]
    ) -> LedgerWatcher:
        """A watcher for one channel; its `released` is the caller's to set."""
        if self._asked is None:
            self._asked = subjects(self._units, self._view.shingler, self._turns)
        reader = UnitReader(self._units, self._view.shingler, self._asked)
        made = LedgerWatcher(inner, reader, self._account, rules, self._clock)
        made.repeats = repeats
        self._watchers.append(made)
        return made

    def judged(
        self, windows: Sequence[Window], findings: Sequence[Finding], rules: Mapping[str, Rule]
    ) -> list[Finding]:
        """The findings, with what dressed windows say; plain words were seen by a watcher."""
        return [
            found if window.view == PLAIN else replace(found, matches=(*found.matches, *self._dressed(window, rules)))
            for window, found in zip(windows, findings, strict=True)
        ]

    def _dressed(self, window: Window, rules: Mapping[str, Rule]) -> list[Match]:
        """What a window in another dress takes too much of. Where that is nothing, it counts as left."""
        watcher = self.watcher(_Blind(), rules, lambda _: False)
        found = [match for word in words_of(window.text) for match in watcher.push(word)]
        if not found:
            watcher.released = lambda: len(window.text)
        watcher.close()
        self._watchers.remove(watcher)
        spans = [window.span(match.start, match.end) for match in found]
        return [
            replace(match, start=start, end=end, view=window.view)
            for match, (start, end) in zip(found, spans, strict=True)
        ]

    def settle(self) -> None:
        """Credit what has left by now."""
        for watcher in self._watchers:
            watcher.settle()

    def close(self) -> None:
        """Credit what has left; nothing more does."""
        for watcher in self._watchers:
            watcher.close()


class Ledger:
    """The accounts of all callers of this process. `clock` gives epoch seconds. It belongs to one event loop."""

    def __init__(self, store: LedgerStore, clock: Callable[[], float] = time.time) -> None:
        self._store, self._clock = store, clock
        self._accounts: OrderedDict[str, Account] = OrderedDict()
        self._reading: dict[str, Account] = {}
        self._touched: set[str] = set()
        self._sessions: set[LedgerSession] = set()
        self._unwritten: dict[tuple[str, str, float], int] = {}
        self._written = -1
        self._forgot_at = float("-inf")
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def session(
        self, view: LedgerView, principal: str, end_user: str, turns: Sequence[str]
    ) -> LedgerSession | None:
        """The account of a caller for one request; None where there is nothing to count.

        Raises `GuardUnavailable` when the account cannot be read and the namespace refuses then.
        """
        if view.units is None:
            return None
        name = account_name(view.shingler, view.namespace, principal, end_user)
        account = self._accounts.get(name)
        if account is None:
            account = await self._read(name, view)
        self._accounts.move_to_end(name)
        self._touched.add(name)
        session = LedgerSession(account, view, view.units, turns, self._clock)
        self._sessions.add(session)
        return session

    def over(self, session: LedgerSession) -> None:
        """The request is over."""
        session.close()
        self._sessions.discard(session)

    async def close(self) -> None:
        """Write what waits and stop."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self.exchange()

    async def exchange(self) -> None:
        """Write what has left, and take in what others wrote."""
        for session in self._sessions:
            session.settle()
        for name in list(self._touched):
            own = self._accounts[name]
            self._collect(name, own)
            if not own.open:
                self._touched.discard(name)
        posts = [Post(name, Row(entry_id, until, bits)) for (name, entry_id, until), bits in self._unwritten.items()]
        try:
            if posts:
                await asyncio.to_thread(self._store.add_ledger, posts)
                for post in posts:
                    self._wrote(post)
            self._written, others = await asyncio.to_thread(self._store.ledger_since, self._written)
            for post in others:
                for known in (self._accounts, self._reading):
                    if post.account in known:
                        known[post.account].merge((post.row,))
            if time.monotonic() - self._forgot_at > _FORGET_EVERY_S:
                self._forgot_at = time.monotonic()
                await asyncio.to_thread(self._store.forget_ledger, self._clock())
        except StoreUnavailable as fault:
            record("ledger_not_kept", logging.ERROR, fault, {"waiting": len(self._unwritten)})

    async def _keep(self) -> None:
        while True:
            await asyncio.shield(self.exchange())
            await asyncio.sleep(EVERY_S)

    async def _read(self, name: str, view: LedgerView) -> Account:
        account = self._reading.setdefault(name, Account())  # what is written meanwhile is taken in by both
        rows: Sequence[Row] = ()
        try:
            if self._written < 0:  # what is written from now on is followed
                self._written, _ = await asyncio.to_thread(self._store.ledger_since, -1)
            rows = await asyncio.to_thread(self._store.ledger_of, name, self._clock())
        except StoreUnavailable:
            if view.on_failure is FailureRule.REFUSE:
                raise GuardUnavailable(DegradedReason.NOT_READY, (_STAGE,)) from None
        finally:
            self._reading.pop(name, None)
        account = self._accounts.setdefault(name, account)  # another request may have been as quick
        account.merge(rows)
        account.merge([Row(e, until, bits) for (own, e, until), bits in self._unwritten.items() if own == name])
        self._make_room()
        return account

    def _make_room(self) -> None:
        """Forget accounts that nobody uses; they are read again when they are asked for."""
        for name in list(self._accounts)[: max(0, len(self._accounts) - MOST_ACCOUNTS)]:
            if not self._accounts[name].open:
                self._collect(name, self._accounts.pop(name))
                self._touched.discard(name)

    def _collect(self, name: str, account: Account) -> None:
        for row in account.unwritten():
            key = (name, row.entry_id, row.until)
            if key in self._unwritten or len(self._unwritten) < _MOST_UNWRITTEN:
                self._unwritten[key] = self._unwritten.get(key, 0) | row.bits

    def _wrote(self, post: Post) -> None:
        key = (post.account, post.row.entry_id, post.row.until)
        left = self._unwritten.get(key, 0) & ~post.row.bits
        if left:
            self._unwritten[key] = left
        else:
            self._unwritten.pop(key, None)


def _last(turns: Sequence[str]) -> tuple[str, ...]:
    """The last turns, as far as they are read."""
    found: list[str] = []
    left = LONGEST_TURNS
    for turn in reversed(turns):
        if left <= 0:
            break
        found.append(turn[-left:])
        left -= len(turn)
    return tuple(reversed(found))
