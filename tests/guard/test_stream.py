"""The stream machine holds its properties for any text, any split, every action and both modes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.errors import MachineMisused
from guard.events import Check, Done, NeedText, Release, Stop
from guard.policy import Streaming
from guard.stream import StreamMachine
from guard.verdict import Action, Verdict
from tests.guard.streams import (
    PLACEHOLDER,
    PROPERTIES,
    World,
    judge_window,
    split_texts,
    worlds,
)


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda f: f.__name__.removeprefix("check_"))
@given(world=worlds, case=split_texts())
@settings(max_examples=120, deadline=None)
def test_property(
    holds: Callable[[type[StreamMachine], World, list[str]], None], world: World, case: tuple[str, list[str]]
) -> None:
    holds(StreamMachine, world, case[1])


@given(world=worlds, case=split_texts(), order=st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_an_asynchronous_driver_that_feeds_ahead_of_the_verdicts_sees_the_same_outcome(
    world: World, case: tuple[str, list[str]], order: object
) -> None:
    text, pieces = case
    assert asyncio.run(_drive_ahead(world, pieces)) == world.run([text]).text


async def _drive_ahead(world: World, pieces: list[str]) -> str:
    """Text keeps arriving while a check is under way: the machine takes it and repeats the check."""
    machine, ruleset, out, source = world.machine(), world.rules, [], iter(pieces)
    ended = stopped = False

    def more() -> None:
        nonlocal ended
        piece = next(source, None)
        if piece is not None:
            machine.feed(piece)
        elif not ended:
            ended = True
            machine.end()

    while not stopped:
        match machine.next_event():
            case NeedText():
                more()
            case Check(windows):
                await asyncio.sleep(0)
                more()
                machine.resolve([judge_window(w, ruleset) for w in windows])
            case Release(text):
                out.append(text)
            case Stop() | Done():
                stopped = True
    return "".join(out)


def test_what_is_held_leaves_at_the_end() -> None:
    machine = World(Action.BLOCK, Streaming.STRICT).machine()
    machine.feed("The lamp keeper")
    assert isinstance(machine.next_event(), NeedText)
    assert machine.held == len("The lamp keeper")
    machine.end()
    check = machine.next_event()
    assert isinstance(check, Check)
    machine.resolve([Verdict() for _ in check.windows])
    assert machine.next_event() == Release("The lamp keeper", 0, 15)
    assert isinstance(machine.next_event(), Done)


def test_a_redacted_run_is_one_placeholder_however_long_it_is() -> None:
    text = "He wrote: the lamp keeper of orsk climbs the iron stair, then slept."
    outcome = World(Action.REDACT).run(list(text))
    assert outcome.text == f"He wrote: {PLACEHOLDER}, then slept."


def test_a_stop_counts_what_had_left_of_the_condemned_span() -> None:
    outcome = World(Action.BLOCK, Streaming.ADAPTIVE).run(list("it was the old treaty of harbour copper plates."))
    assert outcome.verdict.action is Action.BLOCK
    assert outcome.leaked == len(outcome.text) > 0


def test_strict_mode_leaks_nothing_of_a_judged_sentence() -> None:
    outcome = World(Action.BLOCK, Streaming.STRICT).run(list("Rain. it was the old treaty of harbour copper plates."))
    assert (outcome.text, outcome.leaked) == ("", 0)


def test_adaptive_mode_releases_ordinary_text_within_a_few_words() -> None:
    machine = World(Action.BLOCK, Streaming.ADAPTIVE).machine()
    machine.feed("rain falls on old ")
    check = machine.next_event()
    assert isinstance(check, Check)
    machine.resolve([Verdict() for _ in check.windows])
    assert machine.next_event() == Release("rain falls on", 0, 13)


def test_a_sentence_that_a_look_kept_waits_for_the_next_one_too() -> None:
    machine = World(Action.BLOCK, Streaming.ADAPTIVE, sighted=True).machine()
    released = []
    text = "the old treaty of harbour rain. rain falls on us all day. and it falls. "
    for char in text:
        machine.feed(char)
        while not isinstance(event := machine.next_event(), NeedText):
            if isinstance(event, Check):
                suspicious = [w.unfinished and "treaty" in w.text for w in event.windows]
                machine.resolve([Verdict(Action.BLOCK if kept else Action.ALLOW) for kept in suspicious])
            elif isinstance(event, Release):
                released.append((event.end, machine.held + machine.released))
    assert "".join(text[a:b] for (a, _), (b, _) in pairwise([(0, 0), *released])) == text[: released[-1][0]]
    second = text.index("rain falls")
    assert min(arrived for end, arrived in released if end > text.index("treaty")) > text.index("and it") - 2 > second


def test_text_without_words_needs_no_check_and_leaves() -> None:
    assert World().run([" \n", "\U0001f642!", " "]).text == " \n\U0001f642! "


def test_the_first_segment_is_judged_with_the_turn_that_it_answers() -> None:
    machine = World(Action.BLOCK, Streaming.STRICT).machine()
    machine.feed("Yes in spring. It rained on us then. ")
    check = machine.next_event()
    assert isinstance(check, Check)
    contexts = {(w.start, w.context) for w in check.windows}
    assert contexts == {(0, "what was asked"), (14, "")}


def test_whole_text_is_held_to_its_end() -> None:
    machine = World(Action.BLOCK, Streaming.ADAPTIVE, hold_whole=True).machine()
    machine.feed('{"city": "Orsk"}. And more words than one segment has. ')
    while isinstance(event := machine.next_event(), Check):
        machine.resolve([Verdict() for _ in event.windows])
    assert isinstance(event, NeedText)
    assert machine.released == 0


def test_misuse_raises_at_once() -> None:
    machine = World().machine()
    with pytest.raises(MachineMisused):
        machine.resolve([])
    machine.end()
    with pytest.raises(MachineMisused):
        machine.feed("x")
    with pytest.raises(MachineMisused):
        machine.end()
    machine = World().machine()
    machine.feed("Rain falls on us. Then ")
    assert isinstance(machine.next_event(), Check)
    with pytest.raises(MachineMisused):
        machine.resolve([])
