"""What cannot be kept is refused with a reason, and the reason quotes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guard.fingerprint import Shingler
from guard.verdict import Kind
from index.background import exchanges, load_background
from index.calibration import shipped
from index.entry import Draft
from index.errors import EntryRefused
from index.imprint import Imprinter
from index.lint import LARGEST_TEXT, MOST_EXAMPLES, EntriesTooBroad, Linter, admit
from index.score_histogram import Histogram
from index.screening import Screener

GOOD = Draft(Kind.FACT, "The lamp keeper of Orsk was born in 1931.")


@pytest.mark.parametrize(
    "draft",
    [
        GOOD,
        Draft(Kind.FACT, "In Tern.", prompt="Where was he born?"),
        Draft(Kind.CONCEPT, "Orsk", force=True),
        Draft(Kind.PASSAGE, "amber falcon"),
        Draft(Kind.PASSAGE, "xK9fQ2mmW81z"),
        Draft(Kind.PASSAGE, "the", force=True),
        replace(GOOD, text="x " * (LARGEST_TEXT // 2)),
        replace(GOOD, expires_at=1001.0, label="Orsk", reference="case 7"),
        Draft(Kind.FACT, "灯台守の名前は秘密です 一九三一年 生まれ"),
    ],
)
def test_what_can_be_kept_is_admitted(draft: Draft) -> None:
    admit([draft], now=1000.0)


@pytest.mark.parametrize(
    ("draft", "reason"),
    [
        (replace(GOOD, text=""), "no words"),
        (replace(GOOD, text=" \u200b…!"), "no words"),
        (replace(GOOD, text="", force=True), "no words"),
        (replace(GOOD, examples=("fine words here", "—")), "example"),
        (replace(GOOD, counterexamples=("",)), "counterexample"),
        (Draft(Kind.FACT, "Orsk lamp"), "too broad"),
        (Draft(Kind.FACT, "Orsk lamp", prompt="?"), "too broad"),
        (Draft(Kind.CONCEPT, "lighthouses"), "too broad"),
        (Draft(Kind.PASSAGE, "the"), "too broad"),
        (replace(GOOD, text="x " * (LARGEST_TEXT // 2) + "y"), "bytes"),
        (replace(GOOD, prompt="x " * LARGEST_TEXT), "bytes"),
        (replace(GOOD, examples=("one two three",) * (MOST_EXAMPLES + 1)), "examples"),
        (replace(GOOD, text="The lamp \ud800 keeper of Orsk"), "Unicode"),
        (replace(GOOD, label="x" * 201), "label"),
        (replace(GOOD, label="two\nlines"), "control"),
        (replace(GOOD, reference="\udfff"), "Unicode"),
        (replace(GOOD, expires_at=1000.0), "future"),
        (replace(GOOD, expires_at=float("nan")), "future"),
        (replace(GOOD, expires_at=float("inf")), "future"),
    ],
)
def test_what_cannot_be_kept_is_refused(draft: Draft, reason: str) -> None:
    with pytest.raises(EntryRefused, match=reason) as caught:
        admit([draft], now=1000.0)
    assert "Orsk" not in str(caught.value) and caught.value.position is None


def test_in_a_batch_the_entry_is_named_by_its_position() -> None:
    with pytest.raises(EntryRefused, match="entry 2: ") as caught:
        admit([GOOD, GOOD, replace(GOOD, text="")], now=0.0)
    assert caught.value.position == 2


def test_drafts_show_no_text() -> None:
    assert "lamp" not in repr(GOOD) and "lamp" not in repr(GOOD.content)


BROAD = Draft(Kind.PASSAGE, "of the")


@pytest.fixture(scope="module")
def linter(embedder) -> Linter:
    background, shingler = load_background(embedder), Shingler(b"k" * 32)
    imprinter = Imprinter(embedder, shingler)
    return Linter(imprinter, Screener(background, shingler, shipped(embedder.hash).values))


def test_a_draft_is_linted_as_it_would_be_kept(linter) -> None:
    found = linter.lint(GOOD, 1000.0)
    assert found.accepted and found.reason == "" and found.screening is not None
    assert found.screening.n == len(exchanges()) and found.screening.matched == 0
    seen = linter.lint(GOOD, 1000.0, {Kind.FACT: Histogram.of([0.2, 0.9])}).screening
    assert seen is not None and seen.recent is not None and seen.recent.n == 2


def test_a_draft_that_is_too_broad_is_refused_unless_it_is_forced(linter) -> None:
    refused, forced = linter.lint(BROAD, 1000.0), linter.lint(replace(BROAD, force=True), 1000.0)
    assert not refused.accepted and forced.accepted
    assert refused.reason == forced.reason != ""
    assert refused.screening is not None and refused.screening.nearest == 1.0
    assert "nearest score 1.00" in refused.reason


def test_what_cannot_be_kept_at_all_is_not_screened(linter) -> None:
    for draft in (replace(GOOD, text="…", force=True), replace(GOOD, expires_at=1.0)):
        found = linter.lint(draft, 1000.0)
        assert not found.accepted and found.reason and found.screening is None


def test_all_broad_drafts_of_a_batch_are_named_at_once(linter) -> None:
    drafts = [GOOD, BROAD, replace(BROAD, force=True), Draft(Kind.PASSAGE, "in the"), GOOD]
    imprints = linter.imprinter.imprint([(draft.kind, draft.content) for draft in drafts])
    with pytest.raises(EntriesTooBroad, match="entry 1: too broad") as caught:
        linter.refuse_broad(drafts, imprints)
    assert (caught.value.position, sorted(caught.value.reasons)) == (1, [1, 3])
    with pytest.raises(EntriesTooBroad, match=r"^too broad") as alone:
        linter.refuse_broad(drafts[1:2], imprints[1:2])
    assert alone.value.position is None
    linter.refuse_broad(drafts[:1], imprints[:1])
    linter.refuse_broad(drafts[2:3], imprints[2:3])
