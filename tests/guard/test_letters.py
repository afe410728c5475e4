"""Letter runs are found wherever they stand and however they are parted, and nothing shorter is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard import letters
from guard.letters import RUN_LETTERS, SHORTEST_RUN, WINNOW, LetterPrint, find_letters, joined, letter_print, letters_of
from guard.shingler import Shingler
from guard.verdict import Kind

SHINGLER = Shingler(b"0123456789abcdef")
PASSAGE = "The lamp keeper of Orsk climbs the iron stair, and the lamp answers him with a slow green light."
SHORT = "Nine amber falcons fly"
SHARED = RUN_LETTERS + WINNOW - 1


class Runs:
    """A LetterTable of texts by name."""

    def __init__(self, **texts: str) -> None:
        prints = {name: letter_print(text, SHINGLER) for name, text in texts.items()}
        self._prints: dict[str, LetterPrint] = {name: known for name, known in prints.items() if known}
        self.letter_lengths = sorted({known.length for known in self._prints.values()})

    def letter_entries(self, digest: int) -> Sequence[tuple[str, Kind]]:
        return [(name, Kind.PASSAGE) for name, known in self._prints.items() if digest in known.picks]


TABLE = Runs(long=PASSAGE, short=SHORT)


def shown(text: str, table: Runs = TABLE) -> dict[str, str]:
    return {e.entry_id: text[e.start : e.end] for e in find_letters(text, table, SHINGLER)}


@pytest.mark.parametrize(
    "dressed",
    [
        " ".join(PASSAGE.replace(" ", "")),
        "-".join(PASSAGE),
        "\n".join(f"{n}. {word}" for n, word in enumerate(PASSAGE.split(), 1)),
        PASSAGE.replace(" ", "").upper(),
        "".join(c + "\n" for c in PASSAGE),
        PASSAGE.replace("i", "l"),
        PASSAGE.replace("a", "\u00e4").replace("e", "e\u0301").replace("o", "\u043e"),
    ],
)
def test_a_passage_is_found_from_end_to_end_however_its_letters_are_parted(dressed: str) -> None:
    text = f"It said: {dressed} And so on, he told us."
    (found,) = find_letters(text, TABLE, SHINGLER)
    assert (found.entry_id, found.score) == ("long", 1.0)
    read, known = letters_of(text), letters_of(PASSAGE).norms
    first = read.norms.index(known)
    assert (found.start, found.end) == (read.starts[first], read.ends[first + len(known) - 1])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_shared_run_of_enough_letters_is_found(data: st.DataObject) -> None:
    """Any stretch of a passage, anywhere, parted anyhow: all of it but the letters at its ends that winnowing drops."""
    own = letters_of(PASSAGE).norms
    start = data.draw(st.integers(0, len(own) - SHARED))
    run = own[start : start + data.draw(st.integers(SHARED, len(own)))]
    gaps = st.sampled_from(["", "", " ", "-", "\n", " 7 ", ". "])
    pieces = [letter + data.draw(gaps) for letter in run]
    before, after = (data.draw(st.text(st.sampled_from("xyz -7"), max_size=50)) for _ in range(2))
    text = before + "".join(pieces) + after
    (found,) = find_letters(text, TABLE, SHINGLER)
    read = letters_of(text)
    known = read.ends.index(found.end) - read.starts.index(found.start) + 1
    assert len(before) <= found.start and found.end <= len(before) + sum(map(len, pieces))
    assert known >= len(run) - 2 * (WINNOW - 1)


def test_sparser_picks_would_miss_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail."""
    monkeypatch.setattr(letters, "WINNOW", 4 * WINNOW)
    sparse = Runs(long=PASSAGE)
    own = letters_of(PASSAGE).norms
    assert not all(shown(own[i : i + SHARED], sparse) for i in range(len(own) - SHARED + 1))


@given(st.integers(0, 40), st.integers(0, RUN_LETTERS - 1))
def test_nothing_shorter_than_a_run_is_found(start: int, count: int) -> None:
    own = letters_of(PASSAGE).norms
    assert shown("x" + own[start : start + count] + "x") == {}


@given(st.text(st.sampled_from("abl i\u0301\u00e91,\n"), max_size=200))
def test_runs_are_hashed_as_if_each_stood_alone(text: str) -> None:
    read = letters_of(text).norms
    for length in (1, 5, RUN_LETTERS):
        alone = [letters._runs(read[i : i + length], length, SHINGLER) for i in range(len(read) - length + 1)]
        assert [[digest] for digest in letters._runs(read, length, SHINGLER)] == alone


def test_a_short_passage_is_known_by_all_of_its_letters_and_a_very_short_one_not_at_all() -> None:
    known = letter_print(SHORT, SHINGLER)
    assert known is not None
    assert known.length == len(letters_of(SHORT).norms) < RUN_LETTERS
    assert len(known.picks) == 1
    assert shown("n-i-n-e a-m-b-e-r f-a-l-c-o-n-s f-l-y") == {"short": "n-i-n-e a-m-b-e-r f-a-l-c-o-n-s f-l-y"}
    assert letter_print("a" * (SHORTEST_RUN - 1), SHINGLER) is None
    assert letter_print("1648 " * 20, SHINGLER) is None


def test_letters_have_the_places_that_they_were_read_from() -> None:
    text = "L2 \ufb01ve e\u0301\u200bt"
    assert [(norm, text[start:end]) for norm, start, end in zip(*letters_of(text), strict=True)] == [
        ("i", "L"),
        ("f", "\ufb01ve"),
        ("i", "\ufb01ve"),
        ("v", "\ufb01ve"),
        ("e", "\ufb01ve"),
        ("e", "e\u0301\u200bt"),
        ("t", "e\u0301\u200bt"),
    ]


def test_another_key_gives_other_runs_and_no_table_no_work() -> None:
    mine, other = letter_print(PASSAGE, SHINGLER), letter_print(PASSAGE, Shingler(b"another key, 32 bytes long......"))
    assert mine and other and not mine.picks & other.picks
    assert find_letters(PASSAGE, Runs(), SHINGLER) == []


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=8))
def test_joined_spans_cover_the_same_characters_once(parts: list[tuple[int, int]]) -> None:
    spans = [(start, start + length) for start, length in parts]
    whole = joined(spans)
    assert {i for a, b in whole for i in range(a, b)} == {i for a, b in spans for i in range(a, b)}
    assert all(before[1] < after[0] for before, after in pairwise(whole))
