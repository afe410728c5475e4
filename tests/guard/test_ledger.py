"""The ledger's arithmetic: rows join in any order, lapse by themselves, and never take more memory than they may."""

from __future__ import annotations

import random
from collections.abc import Sequence, Set

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.claims import COMMON, claims_of, sentences_of, term_of
from guard.ledger import MOST_COUNTED, MOST_ENTRIES, PLACES, Account, Limit, Reservation, Row, lapses, units_in
from guard.ledger_watcher import LedgerWatcher
from guard.names import mentions
from guard.policy import InContext, LedgerRule, Mode, Policy, Rule
from guard.units import LEAST_OF_PASSAGE, Extent, Known, Told, UnitReader, subjects
from guard.verdict import Action, Kind, Match
from guard.words import Word, words_of
from tests.guard.streams import SHINGLER

DAY = 86_400.0
NOW = 1_000_000_000.0
PASSAGE = (
    "the frost had left the orchard wall when marten carried a brass barometer down to the ferry and set it upon some "
    "barrel of pickled herring where its needle trembled and swung past storm before it came to rest between two deep "
    "scratches that his grandmother once cut with a sewing pin"
)
WORDS = PASSAGE.split()
PERSON = (
    "Ada Quillon was born in Vellmar. Her father Osric repaired organs. She studied glaciology. She married Bruno "
    "Haldane in 1958. She won the Seligman medal. She wrote The Patient Ice. She taught in Ljubljana. She collected "
    "sextants. She lost two toes at Kongsfjord. She died near Zakopane."
)
rows = st.builds(
    Row, st.sampled_from(["a", "b", "c"]), st.sampled_from([NOW + 1, NOW + 2]), st.integers(0, (1 << PLACES) - 1)
)


class Units:
    """A `UnitTable` of one passage `p` and one fact `f`."""

    def __init__(self, passage: str = PASSAGE, fact: str = PERSON, prompt: str = "Who was Ada Quillon?") -> None:
        norms = [word.norm for word in words_of(passage)]
        self._runs = {SHINGLER.digest(norms[i : i + 3]) for i in range(len(norms) - 2)}
        self._words = set(norms)
        self._length = len(norms)
        self._names = mentions(prompt).names
        asked, parts = claims_of([fact], prompt), sentences_of([fact], prompt)
        seen = [term for part in parts for term in part]
        sentences = {t: i for i, part in enumerate(parts) for t in part if seen.count(t) == 1}
        self._told = Told(
            units=self._hashed(asked.new),
            sentences={SHINGLER.digest((t,)): i for t, i in sentences.items()} if len(parts) > 4 else None,
            count=len(parts),
        )

    @staticmethod
    def _hashed(terms: Set[str]) -> Set[int]:
        return {SHINGLER.digest((term,)) for term in terms}

    def known(self, norm: str) -> Known:
        names = frozenset({"f"}) if norm in self._names else frozenset()
        return Known(SHINGLER.terms(norm), norm not in COMMON, norm in self._words, names, ())

    def continues(self, digest: int) -> bool:
        return digest in self._runs

    def passages(self, digest: int) -> Sequence[str] | None:
        return ["p"] if digest in self._runs else []

    def fact(self, entry_id: str) -> Told | None:
        return self._told if entry_id == "f" else None

    def extent(self, entry_id: str, kind: Kind) -> Extent:
        return self._told.extent if kind is Kind.FACT else Extent(self._length, LEAST_OF_PASSAGE)


class Nothing:
    """A watcher that finds nothing."""

    watch_from = None

    def push(self, word: Word) -> Sequence[Match]:
        return ()


UNITS = Units()


def watcher(account: Account, turn: str = "", policy: Policy | None = None, at: float = NOW) -> LedgerWatcher:
    chosen = policy or Policy()
    rules = {"p": Rule("p", Kind.PASSAGE, chosen), "f": Rule("f", Kind.FACT, chosen)}
    reader = UnitReader(UNITS, SHINGLER, subjects(UNITS, SHINGLER, [turn]))
    return LedgerWatcher(Nothing(), reader, account, rules, lambda: at)


def say(account: Account, text: str, turn: str = "", policy: Policy | None = None, at: float = NOW) -> list[Match]:
    """A whole text leaves as far as it may: up to the first match that stops it."""
    watching = watcher(account, turn, policy, at)
    for word in words_of(text):
        found = list(watching.push(word))
        if found:
            watching.released = lambda start=found[0].start: start
            watching.close()
            return found
    watching.released = lambda: len(text)
    watching.close()
    return []


# -- rows -------------------------------------------------------------------------------------------------------------


@given(st.lists(rows), st.randoms())
def test_rows_join_in_any_order_and_as_often_as_one_likes(told: list[Row], rng: random.Random) -> None:
    one, other = Account(), Account()
    one.merge(told)
    again = [*told, *told]
    rng.shuffle(again)
    for row in again:
        other.merge([row])
    assert all(one.covered(name, NOW) == other.covered(name, NOW) for name in "abc")


@given(st.lists(rows), rows)
def test_what_is_covered_only_grows_within_the_window(told: list[Row], more: Row) -> None:
    account = Account()
    account.merge(told)
    before = {name: account.covered(name, NOW) for name in "abc"}
    account.credit([more])
    assert all(before[name] & ~account.covered(name, NOW) == 0 for name in "abc")
    assert account.covered(more.entry_id, NOW) & more.bits == more.bits


@given(st.lists(rows, max_size=20))
def test_what_is_credited_is_written_once_and_joins_to_the_same(told: list[Row]) -> None:
    account, follower = Account(), Account()
    for row in told:
        account.credit([row])
    follower.merge(account.unwritten())
    assert account.unwritten() == []
    assert all(account.covered(name, NOW) == follower.covered(name, NOW) for name in "abc")


@given(st.floats(0, 2e9), st.floats(60, 1e7))
def test_a_row_lasts_between_one_window_and_one_and_a_half(now: float, window: float) -> None:
    assert window * 0.999_999 <= lapses(now, window) - now <= window * 1.500_001


def test_what_lapsed_is_covered_no_more() -> None:
    account = Account()
    account.credit([Row("a", lapses(NOW, DAY), 0b101)])
    assert account.covered("a", NOW + DAY) == 0b101
    assert account.covered("a", NOW + 1.6 * DAY) == 0
    assert len(account) == 0


def test_an_account_holds_no_more_entries_than_it_may_and_keeps_those_that_most_has_left_of() -> None:
    account = Account()
    account.credit([Row("dear", NOW + 1, (1 << 40) - 1)])
    for number in range(3 * MOST_ENTRIES):
        account.credit([Row(str(number), NOW + 1, 1)])
        account.unwritten()
    assert len(account) <= MOST_ENTRIES
    assert account.covered("dear", NOW) == (1 << 40) - 1


@pytest.mark.parametrize("bits", [-1, 1 << PLACES])
def test_a_row_of_another_length_is_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        Row("a", NOW, bits)


# -- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_units_that_share_a_place_are_counted_about_right(seed: int) -> None:
    rng, limit, bits = random.Random(seed), Limit(100, LedgerRule()), 0
    for _ in range(60):
        bits |= limit.place(rng.getrandbits(64))
    assert bits.bit_count() <= units_in(bits)
    assert 52 <= units_in(bits) <= 66


def test_a_full_row_is_over_every_limit() -> None:
    assert not Limit(10_000, LedgerRule(share=0.9)).allows((1 << PLACES) - 1)


def test_of_very_many_units_a_sample_is_counted() -> None:
    rng = random.Random(3)
    size = 40_000
    limit = Limit(size, LedgerRule(share=0.2))
    told = [rng.getrandbits(64) for _ in range(size)]
    assert size / limit.stride <= MOST_COUNTED
    said, bits = 0, 0
    while limit.allows(bits):
        bits |= limit.place(told[said])
        said += 1
    assert 0.13 <= said / size <= 0.27


def test_a_share_of_one_limits_nothing() -> None:
    assert Limit(10, LedgerRule(share=1.0)).allows((1 << PLACES) - 1)


@pytest.mark.parametrize("fields", [{"share": 0.0}, {"share": 1.1}, {"window_s": 1.0}, {"least_units": 0}])
def test_a_rule_that_makes_no_sense_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="ledger"):
        LedgerRule(**fields)


# -- texts ------------------------------------------------------------------------------------------------------------


@given(st.integers(4, 7), st.randoms())
def test_however_a_passage_is_sliced_no_more_than_the_share_of_its_words_leaves(size: int, rng: random.Random) -> None:
    slices = [WORDS[at : at + size] for at in range(0, len(WORDS), size)]
    rng.shuffle(slices)
    account, left = Account(), 0
    for piece in slices:
        telling = sum(word not in COMMON for word in piece)
        if len(piece) >= 4 and telling >= 2 and not say(account, " ".join(piece)):
            left += len(piece)
    assert 0 < left <= 0.2 * len(WORDS) + 1  # two units may share a place


def test_what_has_left_may_leave_again() -> None:
    account = Account()
    piece = " ".join(WORDS[10:17])
    assert not say(account, piece)
    assert say(account, " ".join(WORDS[20:40]))
    assert not say(account, piece)


def test_other_callers_are_not_charged() -> None:
    one, other = Account(), Account()
    for at in range(0, len(WORDS), 7):
        say(one, " ".join(WORDS[at : at + 7]))
    assert say(one, " ".join(WORDS[28:35]))
    assert not say(other, " ".join(WORDS[28:35]))


def test_after_the_window_more_may_leave() -> None:
    account = Account()
    for at in range(0, len(WORDS), 7):
        say(account, " ".join(WORDS[at : at + 7]))
    late = NOW + 1.6 * DAY
    assert not say(account, " ".join(WORDS[28:35]), at=late)


def test_two_texts_at_once_do_not_take_the_same_share() -> None:
    account = Account()
    one, other = watcher(account), watcher(account)
    found: list[Match] = []
    for mine, theirs in zip(words_of(" ".join(WORDS[:7])), words_of(" ".join(WORDS[20:27])), strict=True):
        found += [*one.push(mine), *other.push(theirs)]
    assert found and {match.detector for match in found} == {"ledger"}


def test_what_did_not_leave_is_given_back() -> None:
    account = Account()
    stopped = watcher(account)
    for word in words_of(" ".join(WORDS[:8])):
        stopped.push(word)
    stopped.close()
    assert len(account) == 0 and not account.open
    assert not say(account, " ".join(WORDS[20:27]))


def test_only_what_left_is_credited() -> None:
    reservation = Reservation()
    reservation.add(5, Row("a", NOW, 1))
    reservation.add(9, Row("a", NOW, 2))
    assert reservation.left(4) == []
    assert reservation.left(6) == [Row("a", NOW, 1)]
    assert reservation.bits == {"a": 2}


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_of_a_person_no_more_sentences_than_the_share_are_told(share: float) -> None:
    policy = Policy(ledger=LedgerRule(share=share))
    account = Account()
    said = ["In Vellmar.", "Osric did.", "Glaciology, mostly.", "Haldane.", "The Seligman.", "Ljubljana.", "Sextants."]
    left = [text for text in said if not say(account, text, "What of Ada Quillon?", policy)]
    assert len(left) == 10 * share


def test_without_its_subject_a_fact_is_not_in_play() -> None:
    account = Account()
    said = ["In Vellmar.", "Osric did.", "Glaciology.", "Haldane.", "The Seligman.", "Ljubljana.", "Sextants."]
    assert not any(say(account, text, "Tell me more.") for text in said)


def test_a_subject_that_the_answer_names_is_in_play_for_a_while() -> None:
    far = " and then they spoke of the weather" * 10
    account = Account()
    assert say(account, "Ada Quillon came from Vellmar, studied glaciology and kept sextants.")
    assert not say(Account(), f"Ada Quillon came.{far} Vellmar, glaciology, sextants, Ljubljana.")


def test_numbers_count_however_they_are_written() -> None:
    policy = Policy(ledger=LedgerRule(share=0.01))
    account = Account()
    assert not say(account, "It was in nineteen fifty-eight.", "What of Ada Quillon?", policy)
    assert not say(account, "Bruno, in 1958.", "What of Ada Quillon?", policy)  # the same sentence
    assert say(account, "In Ljubljana.", "What of Ada Quillon?", policy)


@pytest.mark.parametrize("rule", [InContext.ALLOW, InContext.FLAG])
def test_what_the_user_supplied_does_not_count_where_the_policy_lets_it_pass(rule: InContext) -> None:
    policy = Policy(in_context=rule)
    account = Account()
    watching = watcher(account, policy=policy)
    watching.repeats = lambda norms: " ".join(norms) in PASSAGE
    assert not [match for word in words_of(PASSAGE) for match in watching.push(word)]
    watching.released = lambda: len(PASSAGE)
    watching.close()
    assert len(account) == 0


def test_a_policy_that_only_records_is_told_once_per_text() -> None:
    for policy in (Policy(mode=Mode.SHADOW), Policy(answer_actions=dict.fromkeys(Kind, Action.FLAG))):
        watching = watcher(Account(), policy=policy)
        found = [match for word in words_of(PASSAGE) for match in watching.push(word)]
        assert len(found) == 1


@given(st.lists(st.sampled_from(["the", "a", "of", "and", "river", "stone", "green", "slow", "seven"]), max_size=60))
def test_ordinary_words_charge_nothing(words: list[str]) -> None:
    account = Account()
    assert not say(account, " ".join(words), "Tell me of the river.")
    assert len(account) == 0


def test_terms_of_a_sentence_are_those_beyond_the_turn() -> None:
    found = sentences_of(["Ada was born in Orsk. She painted! No."], "Who was Ada?")
    assert [{term_of("born"), "orsk"}, {term_of("painted")}] == [set(part) for part in found]
