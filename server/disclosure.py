"""What a judge model is told of an entry: as much as the entry's policy allows, read when it is needed, kept nowhere.

| policy's disclosure | a model behind a URL                                    | a model in this process |
|---------------------|---------------------------------------------------------|-------------------------|
| `none`              | nothing: it is not asked                                | the text                |
| `label`             | kind and label; without a label it is not asked         | the text                |
| `text`              | kind, label and text; a sealed entry has its label only | the text                |

A model in this process discloses nothing to anybody, so it may read what the guard itself may read. A sealed entry
keeps no text, so such a model is not asked about it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from guard.policy import Disclosure, Rule
from guard.verdict import Kind
from guard.words import words_of
from index.entry import Content
from index.errors import EntrySealed, EntryUnknown

LONGEST: Final = 160
"""Words of an entry that one question tells."""
_MOST_EXAMPLES: Final = 3

Reveal = Callable[[str, str], Content]
"""The text of an entry by namespace and id. Raises `EntryUnknown`, `EntrySealed`, `StoreUnavailable`, `WrongKey`."""


@dataclass(frozen=True, slots=True, repr=False)
class Told:
    """What a judge model may know of an entry. Its repr shows nothing, so that it cannot slip into a log."""

    kind: Kind
    label: str = ""
    text: str = ""
    prompt: str = ""
    examples: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Told({self.kind}, …)"

    def near(self, window: str) -> Told:
        """The same with no more of a long text than the part that shares most words with `window`."""
        return replace(self, text=_nearest(self.text, window), examples=tuple(_cut(e) for e in self.examples))


class Discloser:
    """Says what may be told. Thread-safe, since `reveal` is."""

    def __init__(self, reveal: Reveal) -> None:
        self._reveal = reveal

    def told(self, namespace: str, rule: Rule, inside: bool) -> Told | None:
        """None when the model may know nothing that it could decide by. `inside` says that it runs in this process.

        Raises `StoreUnavailable`, `WrongKey`.
        """
        allowed = rule.policy.disclosure
        if inside or allowed is Disclosure.TEXT:
            try:
                return _told(rule, self._reveal(namespace, rule.entry_id), inside)
            except EntryUnknown:
                return None  # removed since this request began
            except EntrySealed:
                if inside:
                    return None
        return Told(rule.kind, rule.label) if rule.label and allowed is not Disclosure.NONE else None


def _told(rule: Rule, content: Content, inside: bool) -> Told:
    label = "" if inside else rule.label
    return Told(rule.kind, label, content.text, content.prompt, content.examples[:_MOST_EXAMPLES])


def _cut(text: str) -> str:
    words = words_of(text)
    return text if len(words) <= LONGEST else text[: words[LONGEST - 1].end]


def _nearest(text: str, window: str) -> str:
    words = words_of(text)
    if len(words) <= LONGEST:
        return text
    norms = [word.norm for word in words]
    sought = {word.norm for word in words_of(window)}
    step = LONGEST // 2
    starts = [*range(0, len(words) - LONGEST, step), len(words) - LONGEST]
    start = max(starts, key=lambda at: (_shared(norms[at : at + LONGEST], sought), -at))
    return text[words[start].start : words[start + LONGEST - 1].end]


def _shared(norms: Sequence[str], sought: set[str]) -> int:
    return len(sought.intersection(norms))
