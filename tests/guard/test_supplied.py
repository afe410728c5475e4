"""What the user supplied excuses its own words and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.fingerprint import FingerprintWatcher
from guard.plan import StreamPlan
from guard.policy import Policy, Streaming
from guard.scan import Outcome, scan
from guard.stream import StreamMachine
from guard.supplied import RUN_WORDS, SHORTEST_WORDS, Remembering, Supplied
from guard.verdict import Action, Kind, Match, Side, Verdict
from guard.words import words_of
from tests.guard.streams import PASSAGE, PLACEHOLDER, RULE, SHINGLER, SHORT, TABLE, rules, runs_in, split_texts, texts

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=24)
TEXTS = st.lists(WORDS.map(" ".join), max_size=4)
DOCUMENT = "The ferry leaves at dawn from the northern quay, and tickets are sold on board until noon."


def norms(text: str) -> list[str]:
    return [word.norm for word in words_of(text)]


def stands_in(run: Sequence[str], given_texts: Sequence[str]) -> bool:
    """The same, found the slow way."""
    said = [norms(text) for text in given_texts]
    return bool(run) and any(w[i : i + len(run)] == list(run) for w in said for i in range(len(w) - len(run) + 1))


@given(TEXTS, WORDS)
def test_a_run_is_held_exactly_when_it_stands_in_one_of_the_texts(given_texts: list[str], run: list[str]) -> None:
    assert Supplied(given_texts).holds(run) == stands_in(run, given_texts)


@given(TEXTS, st.one_of(WORDS, texts().map(norms)))
def test_what_counts_as_repeated_is_always_a_substring_of_one_text(given_texts: list[str], said: list[str]) -> None:
    end = 0
    for start, stop in Supplied(given_texts).runs(said):
        assert start >= end, "runs do not overlap"
        assert stop - start >= min(RUN_WORDS, len(said))
        assert stands_in(said[start:stop], given_texts)
        assert stop == len(said) or not stands_in(said[start : stop + 1], given_texts), "it is as long as it can be"
        end = stop


@given(TEXTS, WORDS)
def test_a_covered_stretch_has_next_to_no_words_of_its_own(given_texts: list[str], said: list[str]) -> None:
    known = Supplied(given_texts)
    if known.covers(said):
        own = len(said) - sum(stop - start for start, stop in known.runs(said))
        assert len(said) >= SHORTEST_WORDS
        assert own <= 0.05 * len(said)


def test_words_are_compared_as_the_guard_reads_them() -> None:
    known = Supplied(["THE\u200b Ferry\nleaves, at **dawn**; from the n\u043erthern quay"])
    assert known.covers(norms("the ferry leaves at dawn from the northern quay"))


def test_a_stretch_that_goes_on_where_the_user_stopped_is_not_covered() -> None:
    known = Supplied([DOCUMENT])
    own = norms(DOCUMENT)
    assert known.covers(own)
    assert known.covers([*own, *own[:8]])  # two places of the document, one after the other
    assert not known.covers([*own[:12], "and", "children"])
    assert not known.covers([*own[4:8], "were", "gone", "by", "the", "time"])


def test_one_changed_word_in_twenty_may_be_the_speakers_own() -> None:
    told = [f"w{n}" for n in range(40)]
    known = Supplied([" ".join(told)])
    assert known.covers([*told[:10], "so", *told[11:20]])
    assert not known.covers([*told[:10], "so", *told[11:19]])
    assert known.covers([*told[:9], "so", *told[10:29], "on", *told[30:]])


def test_a_mosaic_of_many_small_runs_is_a_text_of_its_own() -> None:
    told = [[f"w{n}x{m}" for m in range(5)] for n in range(8)]
    known = Supplied([" ".join(piece) for piece in told])
    assert known.covers([*told[5], *told[0]])
    assert not known.covers([word for piece in reversed(told) for word in piece])


@pytest.mark.parametrize("short", [["Stephen King"], ["Yes"], ["in 1958", "1958", "in"], [""], []])
def test_a_few_words_excuse_no_window(short: list[str]) -> None:
    known = Supplied(short)
    for text in [*short, "Stephen King", "in 1958 in 1958 in"]:
        assert not known.covers(norms(text))


def test_single_words_do_not_add_up_to_permission() -> None:
    """A user who sends a dictionary, one word a message, has supplied no sentence."""
    said = norms(DOCUMENT)
    assert not Supplied(said).covers(said)
    assert not Supplied(said).holds(said[:2])
    assert Supplied(said).holds(said[:1])


def test_only_so_many_words_are_remembered() -> None:
    known = Supplied(["one two three four", "five six seven"], most=6)
    assert known.holds(["five", "six"])
    assert not known.holds(["seven"])
    assert not Supplied([DOCUMENT], most=0).holds(["the"])


def test_a_vocabulary_larger_than_the_basic_plane_is_kept_apart() -> None:
    told = [f"w{n}" for n in range(70_000)]
    known = Supplied([" ".join(told)])
    for at in (0, 55_290, 55_300, 65_530, 69_990):
        assert known.holds(told[at : at + 8])
        assert not known.holds([*told[at : at + 4], *told[at + 5 : at + 8]])


def test_nothing_that_was_supplied_shows_in_a_repr() -> None:
    assert "ferry" not in repr(Supplied([DOCUMENT]))
    assert "ferry" not in repr(Remembering(FingerprintWatcher(TABLE, SHINGLER)))


def test_a_watcher_that_remembers_answers_the_words_of_a_span_or_none() -> None:
    memory = Remembering(FingerprintWatcher(TABLE, SHINGLER), most=6)
    found = [match for word in words_of(f"so {SHORT} it was") for match in memory.push(word)]
    assert [memory.words(m.start, m.end) for m in found] == [["amber", "falcon"]]
    for word in words_of("x y z u v"):
        memory.push(word._replace(start=word.start + 100, end=word.end + 100))
    assert memory.words(found[0].start, found[0].end) == []


# -- in a stream ------------------------------------------------------------------------------------------------------


def guarded(supplied: Sequence[str], pieces: Sequence[str], action: Action, streaming: Streaming) -> Outcome:
    """Pieces of an answer on their way through a machine that lets the user's own words back."""
    ruleset = rules(action, streaming)
    known = Supplied(supplied)
    memory = Remembering(FingerprintWatcher(TABLE, SHINGLER))

    def weaken(match: Match, policy: Policy) -> Action:
        return Action.ALLOW if known.holds(memory.words(match.start, match.end)) else Action.BLOCK

    def decide(found: Sequence[Match]) -> Verdict:
        return ruleset.decide(found, Side.ANSWER, weaken=weaken)

    machine = StreamMachine(StreamPlan(streaming, RULE, PLACEHOLDER), memory, decide)
    return scan(machine, pieces, lambda windows: [Verdict() for _ in windows])


@st.composite
def half_supplied(draw: st.DrawFn) -> list[str]:
    """What a user may have said: anything, and a stretch of the passage."""
    words = PASSAGE.split()
    start = draw(st.integers(0, len(words)))
    stretch = " ".join(words[start : draw(st.integers(start, len(words)))])
    return draw(st.permutations([draw(texts()), stretch, draw(st.sampled_from(["", SHORT, "amber", "falcon"]))]))


@settings(max_examples=200)
@given(half_supplied(), split_texts(), st.sampled_from([Action.BLOCK, Action.REDACT]), st.sampled_from(Streaming))
def test_no_run_leaves_that_the_user_did_not_supply(
    supplied: list[str], answer: tuple[str, list[str]], action: Action, streaming: Streaming
) -> None:
    _, pieces = answer
    outcome = guarded(supplied, [*pieces, " ", PASSAGE], action, streaming)
    for start, end in runs_in(outcome.text):
        assert stands_in(norms(outcome.text[start:end]), supplied)


@settings(max_examples=100)
@given(half_supplied(), split_texts(), st.sampled_from([Action.BLOCK, Action.REDACT]), st.sampled_from(Streaming))
def test_what_is_excused_does_not_depend_on_the_pieces(
    supplied: list[str], answer: tuple[str, list[str]], action: Action, streaming: Streaming
) -> None:
    text, pieces = answer
    text, pieces = f"{text} {PASSAGE}", [*pieces, f" {PASSAGE}"]
    results = [guarded(supplied, cut, action, streaming) for cut in ([text], list(text), pieces)]
    seen = [(r.text, r.verdict, r.leaked) for r in results]
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("streaming", list(Streaming))
def test_the_continuation_of_what_the_user_gave_is_suppressed(streaming: Streaming) -> None:
    words = PASSAGE.split()
    given_half = " ".join(words[:10])
    outcome = guarded([given_half], [f"You wrote: {PASSAGE}."], Action.BLOCK, streaming)
    assert outcome.verdict.action is Action.BLOCK
    assert outcome.text.removeprefix("You wrote: ").strip() in given_half
    allowed = guarded([given_half], [f"You wrote: {given_half}."], Action.BLOCK, streaming)
    assert allowed.text == f"You wrote: {given_half}."
    assert allowed.verdict.matches == ()


def test_a_match_that_is_excused_is_no_match_of_the_verdict() -> None:
    ruleset = rules(Action.BLOCK)
    match = Match("p1", Kind.PASSAGE, "fingerprint", 1.0, 1.0, 0, 9)
    assert ruleset.decide([match], Side.ANSWER, weaken=lambda m, p: Action.ALLOW) == Verdict(revision=1)
