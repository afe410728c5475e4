"""A shingle table answers as a dictionary would, whatever was written and removed on the way."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.detector import Window
from guard.fingerprint import FingerprintDetector, Shingler, fingerprint
from guard.letters import RUN_LETTERS, letter_print
from guard.verdict import Kind
from index.shingles import Print, ShingleTable

SHINGLER = Shingler(b"k" * 32)
WORDS = st.lists(
    st.sampled_from(["amber", "falcon", "lamp", "keeper", "orsk", "stair", "green"]), min_size=1, max_size=14
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "remove", "compact"]), st.integers(0, 6), WORDS), min_size=1, max_size=15
)


def prints(entry_id: str, text: str) -> list[Print]:
    made = fingerprint(text, SHINGLER), letter_print(text, SHINGLER)
    return [Print.of(entry_id, Kind.PASSAGE, known) for known in made if known]


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_it_knows_what_was_added_and_not_what_was_removed(steps) -> None:
    table, truth, compact = ShingleTable(), {}, False
    for what, number, words in steps:
        name, compact = f"p{number}", what == "compact"
        if what == "add":
            truth[name] = fingerprint(" ".join(words), SHINGLER), letter_print(" ".join(words), SHINGLER)
            table = table.changed([name], prints(name, " ".join(words)))
        elif what == "remove":
            truth.pop(name, None)
            table = table.changed([name], [])
        else:
            table = table.compacted()
    assert list(table.lengths) == sorted({known.length for known, _ in truth.values()})
    assert list(table.letter_lengths) == sorted({letters.length for _, letters in truth.values() if letters})
    shingles = {name: known.shingles for name, (known, _) in truth.items()}
    picks = {name: letters.picks for name, (_, letters) in truth.items() if letters}
    grams = {digest for known, _ in truth.values() for digest in known.grams}
    for digest in {0, 1, 2**64 - 1}.union(grams, *shingles.values(), *picks.values()):
        for found, known in ((table.entries(digest), shingles), (table.letter_entries(digest), picks)):
            expected = {(name, Kind.PASSAGE) for name, hashes in known.items() if digest in hashes}
            assert set(found) == expected
            assert len(found) == len(expected)
    assert all(table.continues(digest) for digest in grams)
    if compact:
        gone = {SHINGLER.digest([w]) for _, _, words in steps for w in words} - grams
        assert not any(table.continues(digest) for digest in gone)


def test_a_change_leaves_the_table_before_it_as_it_was() -> None:
    before = ShingleTable(prints("a", "the lamp keeper of orsk climbs the iron stair"))
    after = before.changed(["a"], prints("b", "amber falcon"))
    digest = SHINGLER.digest(["the", "lamp", "keeper", "of", "orsk", "climbs", "the", "iron"])
    assert before.entries(digest) == [("a", Kind.PASSAGE)]
    assert after.entries(digest) == []
    assert (before.lengths, after.lengths) == ((8,), (2,))


def test_a_detector_finds_passages_through_it() -> None:
    table = ShingleTable(prints("a", "the lamp keeper of orsk climbs the iron stair")).changed(
        [], prints("b", "amber falcon")
    )
    text = "So: “The LAMP keeper of Orsk climbs the iron stair” said the amber-falcon."
    (found,) = FingerprintDetector(table, SHINGLER).find([Window(text, 0, len(text))])
    shown = {e.entry_id: text[e.start : e.end] for e in found}
    assert shown == {"a": "The LAMP keeper of Orsk climbs the iron stair", "b": "amber-falcon"}


def test_it_finds_letters_too() -> None:
    table = ShingleTable(prints("a", "the lamp keeper of orsk climbs the iron stair")).changed(
        [], prints("b", "x" * 20)
    )
    text = "thelamp keeperoforsk climb-sthe-iron stair"
    (found,) = FingerprintDetector(table, SHINGLER).find([Window(text, 0, len(text), view="hyphens")])
    assert [(e.entry_id, text[e.start : e.end]) for e in found] == [("a", text)]
    assert table.letter_lengths == (20, RUN_LETTERS)
    assert table.changed(["a"], []).letter_lengths == (20,)


def test_a_hash_that_many_texts_share_is_found_once_per_entry_and_kept_apart_from_its_neighbours() -> None:
    """Hashes with the same first bits stand together in a bucket, here a long one."""
    shared = np.full(5, 7 << 60, dtype=np.uint64)
    none = np.zeros(0, dtype=np.uint64)
    table = ShingleTable(
        [Print(f"p{n % 3}", Kind.PASSAGE, 2, shared + np.uint64(n), shared, 0, none) for n in range(9)]
    )
    for n in range(9):
        assert table.entries((7 << 60) + n) == [(f"p{n % 3}", Kind.PASSAGE)]
    assert table.entries((7 << 60) + 9) == table.entries((7 << 60) - 1) == ()
    assert table.continues(7 << 60) and not table.continues((7 << 60) + 1)


def test_a_word_of_a_passage_takes_some_60_bytes() -> None:
    rnd = random.Random(4)
    text = " ".join("".join(rnd.choices("etaoinshr", k=rnd.randint(2, 7))) for _ in range(20_000))
    layer = ShingleTable(prints("a", text))._base
    postings = (layer.shingles, layer.grams, layer.picks)
    size = sum(p.hashes.nbytes + p.owners.nbytes + len(p._starts) * 4 for p in postings)
    assert 50 < size / 20_000 < 75


def test_one_text_of_an_entry_may_be_in_several_prints() -> None:
    table = ShingleTable([*prints("a", "amber falcon"), *prints("a", "amber falcon lamp")])
    assert table.lengths == (2, 3)
    assert table.entries(SHINGLER.digest(["amber", "falcon"])) == [("a", Kind.PASSAGE)]


def test_compacting_is_asked_for_when_much_was_removed() -> None:
    table = ShingleTable([p for n in range(200) for p in prints(f"p{n}", f"amber falcon number {n}")])
    assert not table.needs_compacting
    thinned = table.changed([f"p{n}" for n in range(60)], [])
    assert thinned.needs_compacting and not thinned.compacted().needs_compacting
