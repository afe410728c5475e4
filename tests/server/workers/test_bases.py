"""Bases on their way between workers: the newest counts, and descriptors are closed once and not too early."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from index.base import Base, opened, pack
from server.workers.bases import SharedBases, base_frame, base_of
from server.workers.link import Link, Subject, pair


@pytest.fixture
def links() -> Iterator[tuple[Link, Link]]:
    here, there = map(Link, pair())
    yield here, there
    here.close()
    there.close()


def is_open(base: Base) -> bool:
    try:
        return all(os.fstat(fd) for fd in base.fds)
    except OSError:
        return False


def test_what_the_leader_publishes_can_be_opened_at_the_other_end(links: tuple[Link, Link]) -> None:
    leader = SharedBases(links[0], leads=True)
    leader.publish(pack(7, {"rows": [1, 2, 3]}))
    frame = links[1].receive()
    assert frame is not None
    assert frame.subject is Subject.BASE
    passed_on = base_of(frame)
    assert (passed_on.revision, opened(passed_on)) == (7, {"rows": [1, 2, 3]})
    own = leader.newest()
    assert own is not None
    assert opened(own) == {"rows": [1, 2, 3]}
    passed_on.close()


def test_a_base_stays_open_until_a_newer_one_is_taken(links: tuple[Link, Link]) -> None:
    bases = SharedBases(links[0], leads=False)
    assert bases.newest() is None
    first, skipped, newest, late = (pack(revision, {}) for revision in (1, 2, 3, 2))
    bases.arrived(first)
    assert bases.newest() is first
    bases.arrived(skipped)
    bases.arrived(newest)
    assert is_open(first)
    assert not is_open(skipped)
    bases.arrived(late)
    assert not is_open(late)
    assert bases.newest() is newest
    assert bases.newest() is newest
    assert is_open(newest)
    assert not is_open(first)


def test_a_worker_whose_supervisor_is_gone_keeps_its_own_base(links: tuple[Link, Link]) -> None:
    leader = SharedBases(links[0], leads=True)
    links[1].close()
    base = pack(1, {})
    leader.publish(base)
    assert leader.newest() is base


def test_a_frame_carries_the_revision(links: tuple[Link, Link]) -> None:
    base = pack(2**40, {})
    assert base_of(base_frame(base)) == base
    base.close()
