"""The accounts of a process: read when they are asked for, written and followed in the background."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from guard.ledger import Row
from guard.policy import FailureRule, Policy, Rule
from guard.units import UnitTable
from guard.verdict import Kind
from guard.words import words_of
from index.errors import StoreUnavailable
from index.ledger_rows import Post
from index.sqlite import MEMORY, SQLiteStore
from server import ledger as ledger_module
from server.faults import GuardUnavailable
from server.ledger import Ledger, account_name
from tests.guard.streams import SHINGLER
from tests.guard.test_ledger import UNITS, WORDS, Nothing
from tests.index.test_store import record
from tests.server.operators import until

RULES = {"p": Rule("p", Kind.PASSAGE, Policy()), "f": Rule("f", Kind.FACT, Policy())}


@dataclass
class SmallView:
    """The entries of `tests.guard.test_ledger`."""

    namespace: str = "ns"
    shingler = SHINGLER
    units: UnitTable | None = UNITS
    on_failure: FailureRule = FailureRule.REFUSE


class Flaky:
    """A store that can be down."""

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store
        self.down = False
        self.polls = 0

    def _up(self) -> SQLiteStore:
        if self.down:
            raise StoreUnavailable("told to be down")
        return self._store

    def add_ledger(self, posts: Sequence[Post]) -> None:
        self._up().add_ledger(posts)

    def ledger_of(self, account: str, now: float) -> Sequence[Row]:
        return self._up().ledger_of(account, now)

    def ledger_since(self, written: int) -> tuple[int, Sequence[Post]]:
        self.polls += 1
        return self._up().ledger_since(written)

    def forget_ledger(self, now: float) -> int:
        return self._up().forget_ledger(now)


@pytest.fixture
def store() -> SQLiteStore:
    made = SQLiteStore(MEMORY)
    made.add([record("p", kind=Kind.PASSAGE), record("f")])
    return made


@pytest.fixture
async def place(store: SQLiteStore) -> AsyncIterator[SimpleNamespace]:
    """Two processes on one store."""
    mine, theirs = Flaky(store), Flaky(store)
    one, other = Ledger(mine), Ledger(theirs)
    yield SimpleNamespace(one=one, other=other, store=mine, others=theirs)
    await one.close()
    await other.close()


async def says(ledger: Ledger, text: str, principal: str = "key", end_user: str = "", namespace: str = "ns") -> bool:
    """One request; True when all of its answer left."""
    session = await ledger.session(SmallView(namespace), principal, end_user, ())
    assert session is not None
    watcher = session.watcher(Nothing(), RULES, lambda _: False)
    found = [match for word in words_of(text) for match in watcher.push(word)]
    watcher.released = lambda: found[0].start if found else len(text)
    ledger.over(session)
    return not found


def piece(at: int) -> str:
    return " ".join(WORDS[at : at + 7])


async def test_another_process_knows_after_one_exchange_of_each(place: SimpleNamespace) -> None:
    assert await says(place.other, "Nothing of note.")  # so that it follows the account
    assert await says(place.one, piece(0))
    await place.one.exchange()
    await place.other.exchange()
    assert not await says(place.other, piece(20))
    assert await says(place.other, piece(0))


async def test_a_process_that_starts_later_reads_what_has_left(place: SimpleNamespace) -> None:
    assert await says(place.one, piece(0))
    await place.one.exchange()
    assert not await says(place.other, piece(20))


async def test_without_being_told_to_a_process_writes_and_follows(place: SimpleNamespace) -> None:
    assert await says(place.other, "Nothing of note.")
    assert await says(place.one, piece(0))
    await until(lambda: place.store.ledger_since(0)[1])
    polls = place.others.polls
    await until(lambda: place.others.polls > polls + 1)
    assert not await says(place.other, piece(20))


@pytest.mark.parametrize("other", [{"principal": "another"}, {"end_user": "u"}, {"namespace": "elsewhere"}], ids=str)
async def test_keys_end_users_and_namespaces_are_apart(place: SimpleNamespace, other: dict[str, str]) -> None:
    assert await says(place.one, piece(0))
    assert await says(place.one, piece(20), **other)
    assert not await says(place.one, piece(20))


def test_the_name_of_an_account_tells_nothing_and_no_two_callers_share_it() -> None:
    callers = [("ns", "a", "b"), ("ns", "ab", ""), ("nsa", "", "b"), ("ns", "a", "bc"), ("n", "sa", "b")]
    names = {account_name(SHINGLER, *caller) for caller in callers}
    assert len(names) == len(callers)
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in names)


async def test_a_running_stream_is_counted_before_it_ends(place: SimpleNamespace) -> None:
    assert await says(place.other, "Nothing of note.")
    session = await place.one.session(SmallView(), "key", "", ())
    assert session is not None
    watcher = session.watcher(Nothing(), RULES, lambda _: False)
    assert not [match for word in words_of(piece(0)) for match in watcher.push(word)]
    watcher.released = lambda: len(piece(0))
    await place.one.exchange()
    await place.other.exchange()
    assert not await says(place.other, piece(20))
    place.one.over(session)


async def test_while_the_store_is_down_known_callers_are_served_and_what_left_is_written_later(
    place: SimpleNamespace,
) -> None:
    assert await says(place.one, "Nothing of note.")
    place.store.down = True
    assert await says(place.one, piece(0))
    await place.one.exchange()
    assert not await says(place.one, piece(20))
    place.store.down = False
    await place.one.exchange()
    assert not await says(place.other, piece(20))


async def test_a_caller_whose_account_cannot_be_read_is_refused_unless_the_policy_allows(
    place: SimpleNamespace,
) -> None:
    place.store.down = True
    with pytest.raises(GuardUnavailable):
        await place.one.session(SmallView(), "key", "", ())
    lenient = SmallView(on_failure=FailureRule.ALLOW)
    assert await place.one.session(lenient, "key", "", ()) is not None


async def test_where_nothing_is_counted_there_is_no_session(place: SimpleNamespace) -> None:
    assert await place.one.session(SmallView(units=None), "key", "", ()) is None


async def test_an_idle_account_that_made_room_is_read_again(place: SimpleNamespace) -> None:
    assert await says(place.one, piece(0))
    for number in range(ledger_module.MOST_ACCOUNTS + 1):
        session = await place.one.session(SmallView(), f"key-{number}", "", ())
        assert session is not None
        place.one.over(session)
    await place.one.exchange()
    assert not await says(place.one, piece(20))
