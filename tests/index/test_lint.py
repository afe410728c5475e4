"""What cannot be kept is refused with a reason, and the reason quotes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guard.verdict import Kind
from index.entry import Draft
from index.errors import EntryRefused
from index.lint import LARGEST_TEXT, MOST_EXAMPLES, admit

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
