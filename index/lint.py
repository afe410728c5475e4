"""What an entry must be to be kept. Reasons never quote it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from guard.verdict import Kind
from guard.words import TokenSplitter, Word, words_of_token
from index.entry import Content, Draft
from index.errors import EntryRefused

LARGEST_TEXT: Final = 1 << 20
"""Bytes of UTF-8, for the text and again for everything else together."""

MOST_EXAMPLES: Final = 1000
LONGEST_LABEL: Final = 200
LONGEST_REFERENCE: Final = 500
FEWEST_WORDS: Final = 3
SHORTEST_LONE_WORD: Final = 8
_SLICE: Final = 4096


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
