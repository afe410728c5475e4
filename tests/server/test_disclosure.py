"""What a judge model is told: never more than the policy allows, and never more of a long text than it needs."""

from __future__ import annotations

import pytest

from guard.policy import Disclosure, Policy, Rule
from guard.verdict import Kind
from guard.words import words_of
from index.entry import Content
from index.errors import EntrySealed, EntryUnknown
from server.disclosure import LONGEST, Discloser, Told

CONTENT = Content("The harbour froze in 1648.", "When did it freeze?", ("a", "b", "c", "d"))


class Vault:
    """Reveals what it holds, and remembers who asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, namespace: str, entry_id: str) -> Content:
        self.asked.append((namespace, entry_id))
        if entry_id == "sealed":
            raise EntrySealed(entry_id)
        if entry_id == "gone":
            raise EntryUnknown(entry_id)
        return CONTENT


def told(
    disclosure: Disclosure, entry_id: str = "f1", label: str = "harbour", inside: bool = False
) -> tuple[Told | None, Vault]:
    vault = Vault()
    rule = Rule(entry_id, Kind.FACT, Policy(disclosure=disclosure), label)
    return Discloser(vault).told("default", rule, inside), vault


FULL = Told(Kind.FACT, "harbour", CONTENT.text, CONTENT.prompt, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("disclosure", "entry_id", "label", "expected"),
    [
        (Disclosure.NONE, "f1", "harbour", None),
        (Disclosure.LABEL, "f1", "harbour", Told(Kind.FACT, "harbour")),
        (Disclosure.LABEL, "f1", "", None),
        (Disclosure.TEXT, "f1", "harbour", FULL),
        (Disclosure.TEXT, "sealed", "harbour", Told(Kind.FACT, "harbour")),
        (Disclosure.TEXT, "sealed", "", None),
        (Disclosure.TEXT, "gone", "harbour", None),
    ],
)
def test_a_model_elsewhere_is_told_what_the_policy_allows(
    disclosure: Disclosure, entry_id: str, label: str, expected: Told | None
) -> None:
    found, vault = told(disclosure, entry_id, label)
    assert found == expected
    assert bool(vault.asked) is (disclosure is Disclosure.TEXT), "text that may not be told is not even decrypted"


@pytest.mark.parametrize("disclosure", list(Disclosure))
def test_a_model_in_this_process_reads_the_text(disclosure: Disclosure) -> None:
    found, _ = told(disclosure, inside=True)
    assert found is not None
    assert found.text == CONTENT.text
    assert told(disclosure, "sealed", inside=True)[0] is None, "a label is nothing to compare with"


def test_only_the_nearest_part_of_a_long_text_is_told() -> None:
    filler = [f"word{n}" for n in range(1000)]
    text = " ".join([*filler[:600], "the harbour froze in that bitter winter", *filler[600:]])
    near = Told(Kind.PASSAGE, "", text, "", (text,)).near("That bitter winter the harbour froze!")
    assert "the harbour froze in that bitter winter" in near.text
    assert len(words_of(near.text)) == LONGEST
    assert near.text in text
    assert len(words_of(near.examples[0])) == LONGEST


@pytest.mark.parametrize("count", [0, 1, LONGEST, LONGEST + 1, 5 * LONGEST // 2])
def test_the_end_and_the_beginning_of_a_text_can_be_nearest(count: int) -> None:
    text = " ".join(f"word{n}" for n in range(count))
    for n in (0, count - 1):
        near = Told(Kind.PASSAGE, text=text).near(f"word{n}")
        assert f"word{n}" in near.text.split() or not count


def test_nothing_shows_in_a_repr() -> None:
    assert "harbour" not in repr(FULL)
