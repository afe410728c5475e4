"""Fingerprints convict verbatim runs in any order of reading, hold what may become one, and confirm nothing without the
key.

The properties take the class of the watcher, so that planted bugs meet the very same checks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from guard.detector import Window
from guard.disorder import reach
from guard.fingerprint import (
    LONGEST_GRAM,
    SHORTEST_DISORDERED,
    FingerprintDetector,
    FingerprintWatcher,
    Shingler,
    fingerprint,
)
from guard.letters import letter_print
from guard.verdict import PLAIN, Action, Kind, Match
from guard.words import Word, words_of
from tests.guard.streams import PASSAGE, RUNS, SHINGLER, SHORT, TABLE, K, Table, World, texts

ORDERS = {PLAIN: (1, False), "reversed words": (1, True), "every 2nd word": (2, False), "every 3rd word": (3, False)}
SOURCES = [PASSAGE.split(), SHORT.split()]
FILLERS = ["rain", "falls", "on", "the", "old", "harbour", "and", "of", "slow", "green", "lamp"]


def in_order(words: Sequence[Word], last: int, count: int, view: str) -> list[Word]:
    """The `count` words that end with words[last], in that order of reading; fewer when there are not so many."""
    stride, backwards = ORDERS[view]
    tail = [words[i] for i in range(last, -1, -stride)][:count]
    return tail if backwards else tail[::-1]


def runs_in_any_order(text: str) -> set[tuple[str, int, int]]:
    """View and span of each forgotten run, found without any of the guard's tables."""
    words = words_of(text)
    found = set()
    for last in range(len(words)):
        for view in ORDERS:
            for n in {len(run) for run in RUNS}:
                tail = in_order(words, last, n, view)
                short = len(tail) < n or (view != PLAIN and n < SHORTEST_DISORDERED)
                if tuple(w.norm for w in tail) in RUNS and not short:
                    found.add((view, min(w.start for w in tail), max(w.end for w in tail)))
    return found


@st.composite
def disordered_texts(draw: st.DrawFn) -> str:
    """Runs of the passage, in any order, among ordinary words."""
    out: list[str] = []
    words = PASSAGE.split()
    for _ in range(draw(st.integers(1, 3))):
        out += draw(st.lists(st.sampled_from(FILLERS), max_size=4))
        start = draw(st.integers(0, len(words) - 1))
        run = words[start : start + draw(st.integers(1, 9))]
        stride, backwards = ORDERS[draw(st.sampled_from(sorted(ORDERS)))]
        for word in run[::-1] if backwards else run:
            out += [word, *draw(st.lists(st.sampled_from(FILLERS), min_size=stride - 1, max_size=stride - 1))]
    return draw(st.sampled_from([" ", "\n", ", "])).join(out)


ANY_TEXT = st.one_of(texts(), disordered_texts())


# -- the properties ---------------------------------------------------------------------------------------------------


def check_it_finds_exactly_the_forgotten_runs(cls: type[FingerprintWatcher], text: str) -> None:
    """Every run at the exact distance; and of those that were mended only what holds a whole run."""
    watcher = cls(TABLE, SHINGLER)
    words = words_of(text)
    found = {(m.view, m.start, m.end) for w in words for m in watcher.push(w)}
    exact = runs_in_any_order(text)
    assert exact <= found
    for view, start, end in found - exact:
        assert view != PLAIN
        inside = Counter(w.norm for w in words if start <= w.start and w.end <= end)
        assert any(Counter(run) <= inside for run in RUNS if len(run) >= SHORTEST_DISORDERED)
        assert inside.total() <= 1 + reach(ORDERS[view][0]) * (K - 1)


def check_what_may_become_a_run_is_watched(cls: type[FingerprintWatcher], text: str) -> None:
    """For each tail that begins a forgotten run, the watch starts no later than that tail; in another order than that
    of the text, for each of three words and more. A tail of every third word may have ended two words ago."""
    watcher = cls(TABLE, SHINGLER)
    read: list[Word] = []
    for word in words_of(text):
        watcher.push(word)
        read.append(word)
        for view, (stride, _) in ORDERS.items():
            for last in range(max(0, len(read) - stride), len(read)):
                for n in range(1 if view == PLAIN else LONGEST_GRAM, K):
                    tail = in_order(read, last, n, view)
                    if len(tail) == n and may_go_on([w.norm for w in tail], ORDERS[view][1]):
                        assert watcher.watch_from is not None
                        assert watcher.watch_from <= min(w.start for w in tail)


def may_go_on(tail: list[str], backwards: bool) -> bool:
    """True when one more word may make a longer run of a passage of these."""
    n = len(tail)
    return any(
        source[i : i + n] == tail
        for source in SOURCES
        for i in range(1 if backwards else 0, len(source) - n + (1 if backwards else 0))
        if len(source) >= SHORTEST_DISORDERED or not backwards
    )


def check_nothing_is_held_for_ever(cls: type[FingerprintWatcher], text: str) -> None:
    """At most the words of one unfinished run are held, and none once other words have come."""
    watcher = cls(TABLE, SHINGLER)
    words = words_of(text + " zebra" * reach(3))
    for i, word in enumerate(words):
        watcher.push(word)
        if watcher.watch_from is not None:
            assert watcher.watch_from >= words[max(0, i - reach(3) * K)].start
    assert watcher.watch_from is None


Check = Callable[[type[FingerprintWatcher], str], None]


@example(
    "the rain rain iron rain rain stair rain rain and rain rain the the rain rain lamp rain rain keeper rain rain of"
)
@given(ANY_TEXT)
def test_it_finds_exactly_the_forgotten_runs_in_every_order(text: str) -> None:
    check_it_finds_exactly_the_forgotten_runs(FingerprintWatcher, text)


@given(ANY_TEXT)
def test_what_may_still_become_a_run_is_always_watched(text: str) -> None:
    check_what_may_become_a_run_is_watched(FingerprintWatcher, text)


@given(ANY_TEXT)
def test_nothing_is_held_for_ever(text: str) -> None:
    check_nothing_is_held_for_ever(FingerprintWatcher, text)


# -- planted bugs -----------------------------------------------------------------------------------------------------


class _Without(FingerprintWatcher):
    """Does not read in one of the orders."""

    view = ""

    def __init__(self, table: Table, shingler: Shingler) -> None:
        super().__init__(table, shingler)
        self._orders = tuple(order for order in self._orders if order.view != self.view)


class NeverBackwards(_Without):
    view = "reversed words"


class NeverEverySecond(_Without):
    view = "every 2nd word"


class NeverEveryThird(_Without):
    view = "every 3rd word"


class HoldsTheOrderOfTheTextOnly(FingerprintWatcher):
    @property
    def watch_from(self) -> int | None:
        back = min(self._alive, self._longest - 1)
        return self._history.words[-back].start if back else None


class ForgetsTheOtherPhases(FingerprintWatcher):
    """Drops what the next word does not continue, though the next but one may."""

    def push(self, word: Word) -> Sequence[Match]:
        found = super().push(word)
        for order in self._orders:
            order.threads = [thread for thread in order.threads if max(thread[-2:]) == self._history.count - 1]
        return found


class SpansTooLittle(FingerprintWatcher):
    def _matches(self, thread: Sequence[int], view: str, backwards: bool = False) -> list[Match]:
        found = super()._matches(thread, view, backwards)
        return [Match(m.entry_id, m.kind, m.detector, 1.0, 1.0, m.start + 1, m.end, m.view) for m in found]


class KeepsHolding(FingerprintWatcher):
    """Keeps what no word can continue any more."""

    def push(self, word: Word) -> Sequence[Match]:
        threads = [list(order.threads) for order in self._orders]
        found = super().push(word)
        if not self._alive:
            for order, before in zip(self._orders, threads, strict=True):
                order.threads = before
        return found


@pytest.mark.parametrize(
    ("mutant", "holds"),
    [
        (NeverBackwards, check_it_finds_exactly_the_forgotten_runs),
        (NeverEverySecond, check_it_finds_exactly_the_forgotten_runs),
        (NeverEveryThird, check_it_finds_exactly_the_forgotten_runs),
        (SpansTooLittle, check_it_finds_exactly_the_forgotten_runs),
        (NeverBackwards, check_what_may_become_a_run_is_watched),
        (NeverEverySecond, check_what_may_become_a_run_is_watched),
        (NeverEveryThird, check_what_may_become_a_run_is_watched),
        (HoldsTheOrderOfTheTextOnly, check_what_may_become_a_run_is_watched),
        (ForgetsTheOtherPhases, check_what_may_become_a_run_is_watched),
        (KeepsHolding, check_nothing_is_held_for_ever),
    ],
    ids=lambda x: x.__name__.removeprefix("check_"),
)
def test_the_planted_bug_breaks_the_property(mutant: type[FingerprintWatcher], holds: Check) -> None:
    @given(ANY_TEXT)
    @settings(
        max_examples=500,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    def attempt(text: str) -> None:
        holds(mutant, text)

    with pytest.raises(AssertionError):
        attempt()


# -- in a stream ------------------------------------------------------------------------------------------------------

_RUN = ["orsk", "climbs", "the", "iron", "stair", "and"]
_DISORDERED = [
    " ".join(reversed(_RUN)),
    " ".join(f"{word} rain" for word in _RUN),
    " ".join(f"{word} rain falls" for word in _RUN),
]


@pytest.mark.parametrize("run", _DISORDERED)
@pytest.mark.parametrize("action", [Action.REDACT, Action.BLOCK])
def test_at_most_two_words_of_a_disordered_run_leave_a_stream(action: Action, run: str) -> None:
    outcome = World(action).run(list(f"Rain falls, harbour. {run} rain falls on us again, harbour. Rain falls."))
    assert outcome.verdict.action is action
    assert {m.view for m in outcome.verdict.matches} <= set(ORDERS) - {PLAIN}
    left = [word.norm for word in words_of(outcome.text) if word.norm in _RUN]
    assert len(left) <= 2


@given(disordered_texts())
def test_no_run_leaves_a_stream_in_any_order(text: str) -> None:
    assert not runs_in_any_order(World(Action.BLOCK).run(list(text)).text)


# -- details ----------------------------------------------------------------------------------------------------------


def test_ordinary_text_is_not_watched() -> None:
    watcher = FingerprintWatcher(TABLE, SHINGLER)
    for word in words_of("nothing here was ever written before"):
        watcher.push(word)
    assert watcher.watch_from is None


def test_a_passage_shorter_than_k_words_uses_its_own_length() -> None:
    printed = fingerprint("Amber Falcon", SHINGLER)
    assert printed is not None
    assert printed.length == 2
    assert fingerprint(" \u2026 ", SHINGLER) is None


def test_a_very_short_passage_is_found_in_the_order_of_the_text_only() -> None:
    watcher = FingerprintWatcher(Table({"p": SHORT}), SHINGLER)
    found = [m.view for word in words_of("falcon amber, amber old falcon, amber falcon") for m in watcher.push(word)]
    assert found == [PLAIN]


def test_another_key_gives_other_hashes() -> None:
    other = Shingler(b"another key, 32 bytes long......")
    mine, theirs = fingerprint(PASSAGE, SHINGLER), fingerprint(PASSAGE, other)
    assert mine and theirs
    assert not (mine.shingles | mine.grams) & (theirs.shingles | theirs.grams)


class LetteredTable(Table):
    """The same with the letters of one passage."""

    def __init__(self, passages: dict[str, str]) -> None:
        super().__init__(passages)
        printed = {entry_id: letter_print(text, SHINGLER) for entry_id, text in passages.items()}
        self._letters = {entry_id: known for entry_id, known in printed.items() if known}
        self.letter_lengths = sorted({known.length for known in self._letters.values()})

    def letter_entries(self, digest: int) -> Sequence[tuple[str, Kind]]:
        return [(entry_id, Kind.PASSAGE) for entry_id, known in self._letters.items() if digest in known.picks]


def shown(text: str, window: Window) -> list[tuple[str, str]]:
    detector = FingerprintDetector(LetteredTable({"p1": PASSAGE, "p2": SHORT}), SHINGLER)
    (found,) = detector.find([window])
    return [(e.entry_id, text[e.start : e.end]) for e in found]


def test_the_detector_reports_whole_runs_with_positions_in_the_channel() -> None:
    text = "Well: KEEPER of orsk climbs the iron, amber-falcon."
    channel = "x" * 100 + text
    assert shown(channel, Window(text, 100, len(channel))) == [
        ("p1", "KEEPER of orsk climbs the iron"),
        ("p2", "amber-falcon"),
    ]
    assert shown("rain", Window("rain", 0, 4)) == []


def test_the_detector_sees_every_order() -> None:
    for run in _DISORDERED:
        text = f"It said {run} thus."
        ((entry_id, span),) = shown(text, Window(text, 0, len(text)))
        assert entry_id == "p1"
        assert text.startswith(run.removesuffix(" rain falls").removesuffix(" rain"), text.index(span))


def test_where_a_dress_was_taken_off_letters_count_and_spans_stand_in_the_original() -> None:
    plain = "the lamp keeper of orsk climbs the iron stair and"
    dressed = f"So: {'.'.join(plain.replace(' ', ''))} thus"
    reading = "".join(c for c in dressed if c.isalpha())
    places = [(i, i + 1) for i, c in enumerate(dressed) if c.isalpha()]
    window = Window(reading, 0, len(dressed), view="spaced letters", places=places)
    ((entry_id, span),) = shown(dressed, window)
    assert entry_id == "p1"
    assert dressed.index(span) - len("So: ") <= 6 and len(dressed) - dressed.index(span) - len(span) <= len(" thus") + 6
    assert shown(dressed, Window(dressed, 0, len(dressed))) == [], "plain text is compared by its words"
