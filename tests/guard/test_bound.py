"""The bound: no run of k words of a passage leaves, whatever the passages, the text, its dress, its pieces, the mode.

The runs are counted without any of the guard's tables, in the words of what a client would have received.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from guard.events import Check, Release
from guard.fingerprint import SHINGLE_WORDS, FingerprintWatcher
from guard.plan import StreamPlan
from guard.policy import Adaptive, Policy, Rule, Rules, Streaming
from guard.scan import Outcome, scan
from guard.stream import StreamMachine
from guard.verdict import Action, Kind, Side, Verdict
from guard.words import Word, words_of
from tests.guard.streams import DRESSES, SHINGLER, Table

FEW = ["rain", "falls", "on", "the", "old", "harbour", "and", "a", "slow", "green", "lamp"]
"""So few words that runs of several passages meet, overlap and break off."""
MARKS = (" ", " ", " ", ", ", ". ", "\n", " \u2013 ", "; ", "! ")


class Coin:
    """A glance that holds or lets go at will, a function of the words alone."""

    def __init__(self) -> None:
        self._seen = 0

    def push(self, words: Sequence[Word]) -> bool:
        self._seen = 31 * self._seen + sum(map(ord, words[-1].norm))
        return self._seen % 3 == 0

    def cut(self) -> None:
        self._seen = 7


class Never:
    """A glance that lets everything go."""

    def push(self, words: Sequence[Word]) -> bool:
        return False

    def cut(self) -> None:
        """Forgets nothing."""


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Passages, and a text in pieces that is made of stretches of them, dressed, with other words between."""
    word = st.sampled_from(FEW)
    passages = draw(st.lists(st.lists(word, min_size=1, max_size=24), min_size=1, max_size=3))
    text = ""
    for _ in range(draw(st.integers(1, 5))):
        passage = draw(st.sampled_from(passages))
        start = draw(st.integers(0, len(passage) - 1))
        said = passage[start : start + draw(st.integers(1, 24))] + draw(st.lists(word, max_size=3))
        dress = draw(st.sampled_from(DRESSES))
        text += "".join(dress(each) + draw(st.sampled_from(MARKS)) for each in said)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=10)))
    pieces = draw(st.sampled_from([[text], list(text), [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]]))
    return [" ".join(passage) for passage in passages], pieces


plans = st.builds(
    StreamPlan,
    streaming=st.sampled_from(Streaming),
    adaptive=st.builds(Adaptive, hold_back=st.integers(0, 20), look_words=st.integers(1, 8)),
)


def guarded(
    machine: type[StreamMachine], passages: Sequence[str], pieces: Sequence[str], plan: StreamPlan, action: Action
) -> Outcome:
    """What becomes of the text under fingerprints alone; everything else finds it harmless."""
    entries = {f"p{i}": text for i, text in enumerate(passages)}
    policy = Policy(answer_actions=dict.fromkeys(Kind, action), streaming=plan.streaming)
    rules = Rules(1, {i: Rule(i, Kind.PASSAGE, policy) for i in entries}, policy)
    watcher = FingerprintWatcher(Table(entries, SHINGLE_WORDS), SHINGLER)
    made = machine(plan, watcher, lambda found: rules.decide(found, Side.ANSWER), Coin())
    return scan(made, pieces, lambda windows: [Verdict()] * len(windows))


def longest_runs(passages: Sequence[str], text: str) -> list[int]:
    """Of each passage, how many of its words in a row the text holds at most."""
    said = [word.norm for word in words_of(text)]
    found = []
    for passage in passages:
        words = passage.split()
        lengths = [[0] * (len(words) + 1) for _ in range(len(said) + 1)]
        for i, one in enumerate(said):
            for j, other in enumerate(words):
                lengths[i + 1][j + 1] = lengths[i][j] + 1 if one == other else 0
        found.append(max(map(max, lengths)))
    return found


def check(machine: type[StreamMachine], case: tuple[list[str], list[str]], plan: StreamPlan, action: Action) -> None:
    passages, pieces = case
    outcome = guarded(machine, passages, pieces, plan, action)
    for passage, run in zip(passages, longest_runs(passages, outcome.text), strict=True):
        assert run < min(SHINGLE_WORDS, len(passage.split()))


STOPPING = (Action.REDACT, Action.REWRITE, Action.BLOCK)


@given(case=cases(), plan=plans, action=st.sampled_from(STOPPING))
@settings(max_examples=400, deadline=None)
def test_no_run_of_k_words_of_a_passage_ever_leaves(
    case: tuple[list[str], list[str]], plan: StreamPlan, action: Action
) -> None:
    check(StreamMachine, case, plan, action)


class LetsGoBeforeReading(StreamMachine):
    """Lets go what has arrived, read or not, and holds no tail. (One of both alone leaks fewer than k words.)"""

    def _hold(self) -> None:
        super()._hold()
        self._held = None

    def _let_go(self, arrived: int) -> None:
        self._cleared = arrived
        super()._let_go(arrived + self._plan.adaptive.hold_back)


class StopsAtTheEndOfTheRun(StreamMachine):
    """Lets the run go that it stops at."""

    def _convict(self, verdict: Verdict) -> bool:
        stopped = super()._convict(verdict)
        if stopped:
            self._steps[-1].limit = max(match.end for match in verdict.matches)
        return stopped


@pytest.mark.parametrize("mutant", [LetsGoBeforeReading, StopsAtTheEndOfTheRun])
def test_a_machine_that_holds_too_little_breaks_the_bound(mutant: type[StreamMachine]) -> None:
    @given(case=cases(), plan=plans, action=st.sampled_from(STOPPING))
    @settings(
        max_examples=600,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    def attempt(case: tuple[list[str], list[str]], plan: StreamPlan, action: Action) -> None:
        check(mutant, case, plan, action)

    with pytest.raises(AssertionError):
        attempt()


@pytest.mark.parametrize("ending", ["way", "s", "case of the old mill", "2"])
@pytest.mark.parametrize("hold_back", [0, 3, 6, 12])
def test_a_word_is_never_cut_where_its_beginning_would_complete_a_run(ending: str, hold_back: int) -> None:
    passage = "the lamp keeper climbs the iron stair in the rain"
    rules = Rules(1, {"p": Rule("p", Kind.PASSAGE, Policy())}, Policy())
    plan = StreamPlan(Streaming.ADAPTIVE, adaptive=Adaptive(hold_back=hold_back))
    machine = StreamMachine(
        plan,
        FingerprintWatcher(Table({"p": passage}), SHINGLER),
        lambda found: rules.decide(found, Side.ANSWER),
        Never(),
    )
    runs = {tuple(passage.split()[i : i + 4]) for i in range(7)}
    shown = ""
    for char in f"He climbs the iron stair{ending} and leaves for the town.":
        machine.feed(char)
        while True:
            event = machine.next_event()
            if isinstance(event, Check):
                machine.resolve([Verdict()] * len(event.windows))
            elif isinstance(event, Release):
                shown += event.text
                norms = [word.norm for word in words_of(shown)]
                assert not any(tuple(norms[i : i + 4]) in runs for i in range(len(norms))), shown
            else:
                break
    assert shown.startswith("He climbs the iron stair")
