"""Any bytes from the model server: a declared outcome, in bounded time, and nothing that is forgotten."""

from __future__ import annotations

import asyncio
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.properties import (
    check_events_do_not_depend_on_cuts,
    check_nothing_forgotten_leaves_and_nothing_breaks,
    check_the_fast_path_reads_what_the_full_one_reads,
)
from tests.fuzz.test_operator_api import bounded

RANDOM = st.integers(0, 1 << 62).map(Random)


@bounded(300)
@given(draw=RANDOM)
def test_events_do_not_depend_on_cuts(draw: Random) -> None:
    check_events_do_not_depend_on_cuts(draw)


@bounded(300)
@given(draw=RANDOM)
def test_the_fast_path_reads_what_the_full_one_reads(draw: Random) -> None:
    check_the_fast_path_reads_what_the_full_one_reads(draw)


@bounded(500)
@given(draw=RANDOM)
def test_nothing_forgotten_leaves_and_nothing_breaks(draw: Random) -> None:
    asyncio.run(check_nothing_forgotten_leaves_and_nothing_breaks(draw))
