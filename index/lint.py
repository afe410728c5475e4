"""What an entry must be to be kept. Reasons never quote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from guard.verdict import Kind
from guard.words import TokenSplitter, Word, words_of_token
from index.entry import Content, Draft
from index.errors import EntryRefused
from index.imprint import Imprint, Imprinter
from index.score_histogram import Histogram
from index.screening import Screener, Screening

LARGEST_TEXT: Final = 1 << 20
"""Bytes of UTF-8, for the text and again for everything else together."""

MOST_EXAMPLES: Final = 1000
LONGEST_LABEL: Final = 200
LONGEST_REFERENCE: Final = 500
FEWEST_WORDS: Final = 3
SHORTEST_LONE_WORD: Final = 8
_SLICE: Final = 4096


class EntriesTooBroad(EntryRefused):
    """Some entries would match too much ordinary text. `reasons` says why, by position."""

    def __init__(self, reasons: Mapping[int, str], alone: bool) -> None:
        first = min(reasons)
        super().__init__(reasons[first], None if alone else first)
        self.reasons = dict(reasons)


@dataclass(frozen=True, slots=True)
class Lint:
    """What would become of an entry: the reason why it is refused, or "", and how it was screened.

    An entry without words, or too large, is refused before it is screened. `forced` leaves the reason and keeps it.
    """

    reason: str
    forced: bool = False
    screening: Screening | None = None

    @property
    def accepted(self) -> bool:
        """True when the entry would be kept."""
        return not self.reason or self.forced


@dataclass(frozen=True, slots=True)
class Linter:
    """Tells what would become of entries. It keeps nothing. Without a screener no entry is too broad."""

    imprinter: Imprinter
    screener: Screener | None

    def lint(self, draft: Draft, now: float, recent: Mapping[Kind, Histogram] | None = None) -> Lint:
        """What would become of one entry. Blocks while the embedder computes."""
        plain = facts_objection(draft.label, draft.reference, draft.expires_at, now) or content_objection(
            draft.kind, draft.content, draft.force
        )
        if plain:
            return Lint(plain)
        if self.screener is None:
            return Lint("")
        (imprint,) = self.imprinter.imprint([(draft.kind, draft.content)])
        (screening,) = self.screener.screen([(draft.kind, imprint)], recent)
        return Lint(screening.reason, draft.force, screening)

    def refuse_broad(self, drafts: Sequence[Draft], imprints: Sequence[Imprint]) -> None:
        """Raises `EntriesTooBroad` when some of these would match too much ordinary text and are not forced."""
        if self.screener is None:
            return
        asked = [i for i, draft in enumerate(drafts) if not draft.force]
        screened = self.screener.screen([(drafts[i].kind, imprints[i]) for i in asked])
        if reasons := {i: found.reason for i, found in zip(asked, screened, strict=True) if found.reason}:
            raise EntriesTooBroad(reasons, len(drafts) == 1)


def admit(drafts: Sequence[Draft], now: float) -> None:
    """Raises `EntryRefused` for the first draft that cannot be kept; names its position when there are several."""
    for position, draft in enumerate(drafts):
        facts = facts_objection(draft.label, draft.reference, draft.expires_at, now)
        reason = facts or content_objection(draft.kind, draft.content, draft.force)
        if reason:
            raise EntryRefused(reason, position if len(drafts) > 1 else None)


def facts_objection(label: str, reference: str, expires_at: float | None, now: float) -> str:
    """Why an entry cannot have these plain facts, or ""."""
    if len(label) > LONGEST_LABEL or len(reference) > LONGEST_REFERENCE:
        return f"a label has at most {LONGEST_LABEL} characters, a reference at most {LONGEST_REFERENCE}"
    if not (_clean(label) and _clean(reference)):
        return "the label and the reference must be valid Unicode without control characters"
    if expires_at is not None and not now < expires_at < float("inf"):
        return "expires_at must be a time in the future"
    return ""


def content_objection(kind: Kind, content: Content, force: bool) -> str:
    """Why an entry cannot have this content, or ""."""
    return _size(content) or _words(kind, content, force)


def _clean(text: str) -> bool:
    return not any(ord(c) < 32 or 0xD800 <= ord(c) <= 0xDFFF for c in text)


def _size(content: Content) -> str:
    if len(content.examples) + len(content.counterexamples) > MOST_EXAMPLES:
        return f"an entry has at most {MOST_EXAMPLES} examples and counterexamples"
    try:
        text = len(content.text.encode())
        rest = sum(len(t.encode()) for t in (content.prompt, *content.examples, *content.counterexamples))
    except UnicodeEncodeError:
        return "the text is not valid Unicode"
    if text > LARGEST_TEXT or rest > LARGEST_TEXT:
        return f"the text, and everything else together, may have at most {LARGEST_TEXT} bytes each"
    return ""


def _words(kind: Kind, content: Content, force: bool) -> str:
    words = _first_words(content.text)
    if not words:
        return "the text has no words"
    if not all(_first_words(text) for text in (*content.examples, *content.counterexamples)):
        return "an example or counterexample has no words"
    if force:
        return ""
    if kind is Kind.PASSAGE:
        if len(words) == 1 and len(words[0].norm) < SHORTEST_LONE_WORD:
            return "too broad: a passage of one short word would match ordinary text; force keeps it"
    elif len(words) < FEWEST_WORDS and not _first_words(content.prompt):
        return f"too broad: fewer than {FEWEST_WORDS} words and no prompt; add the question it answers, or force it"
    return ""


def _first_words(text: str) -> list[Word]:
    """At least `FEWEST_WORDS` words where there are as many: a long text is not read to its end for them."""
    splitter = TokenSplitter()
    words: list[Word] = []
    for start in range(0, len(text), _SLICE):
        for token in splitter.feed(text[start : start + _SLICE]):
            words += words_of_token(token)
        if len(words) >= FEWEST_WORDS:
            return words
    return words + [word for token in splitter.end() for word in words_of_token(token)]
