"""A shingle table answers as a dictionary would, whatever was written and removed on the way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.fingerprint import FingerprintDetector, Shingler, fingerprint
from guard.verdict import Kind
from guard.windows import Window
from index.shingles import Print, ShingleTable

SHINGLER = Shingler(b"k" * 32)
WORDS = st.lists(
    st.sampled_from(["amber", "falcon", "lamp", "keeper", "orsk", "stair", "green"]), min_size=1, max_size=14
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "remove", "compact"]), st.integers(0, 6), WORDS), min_size=1, max_size=15
)


def prints(entry_id: str, text: str) -> list[Print]:
    known = fingerprint(text, SHINGLER)
    return [Print.of(entry_id, Kind.PASSAGE, known)] if known else []


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_it_knows_what_was_added_and_not_what_was_removed(steps) -> None:
    table, truth, compact = ShingleTable(), {}, False
    for what, number, words in steps:
        name, compact = f"p{number}", what == "compact"
        if what == "add":
            truth[name] = fingerprint(" ".join(words), SHINGLER)
            table = table.changed([name], prints(name, " ".join(words)))
        elif what == "remove":
            truth.pop(name, None)
            table = table.changed([name], [])
        else:
            table = table.compacted()
    assert list(table.lengths) == sorted({known.length for known in truth.values()})
    shingles = {digest for known in truth.values() for digest in known.shingles}
    grams = {digest for known in truth.values() for digest in known.grams}
    for digest in shingles | grams | {0, 1, 2**64 - 1}:
        expected = {(name, Kind.PASSAGE) for name, known in truth.items() if digest in known.shingles}
        assert set(table.entries(digest)) == expected
        assert len(table.entries(digest)) == len(expected)
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


def test_one_text_of_an_entry_may_be_in_several_prints() -> None:
    table = ShingleTable([*prints("a", "amber falcon"), *prints("a", "amber falcon lamp")])
    assert table.lengths == (2, 3)
    assert table.entries(SHINGLER.digest(["amber", "falcon"])) == [("a", Kind.PASSAGE)]


def test_compacting_is_asked_for_when_much_was_removed() -> None:
    table = ShingleTable([p for n in range(200) for p in prints(f"p{n}", f"amber falcon number {n}")])
    assert not table.needs_compacting
    thinned = table.changed([f"p{n}" for n in range(60)], [])
    assert thinned.needs_compacting and not thinned.compacted().needs_compacting
