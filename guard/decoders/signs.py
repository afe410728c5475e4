"""Signs that a stretch of text is dressed: what every text pays for. Few and cheap; decoders look again, and closer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from guard.decoders.cipher import ENOUGH, evidence_of
from guard.decoders.lexicon import KINDS
from guard.decoders.order import BACKWARDS

_WORDS: Final = re.compile(r"\w+")
_WORDS_APART: Final = re.compile(r"[^\W_]+")


def spots_of(text: str) -> list[str]:
    """The words of a text in small letters."""
    return (_WORDS_APART if "_" in text else _WORDS).findall(text.lower())


# One class of characters that prose mostly does without; only where it is met are the patterns below tried.
_RARE: Final = re.compile(
    r"[0-9\\%&<>_*`~|=+/@$^{}\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]|[^\x00-\u024f\u2010-\u2027]"
)
_MARKS: Final = tuple(
    map(
        re.compile,
        (
            r"[^\W_](?:\*{1,3}|~~?|`{1,3}|\|{1,2}|==|\^)[^\W_]",
            r"[^\W_]_{1,2}[^\W_]{1,3}_{1,2}[^\W_]",
            r"</?[A-Za-z!][^<>]{0,200}>",
            r"\\(?:[uUx][0-9A-Fa-f]{2}|[0-7]{3}|[a-zA-Z]+\{|[nrt\"'/][A-Za-z])",
            r"%[0-9A-Fa-f]{2}",
            r"&#?[A-Za-z0-9]{2,8};",
            r"(?:\w\+){3}",
            r"[\"'`]\s*(?:\+|\.|\|\||&|,)\s*[\"'`]",
            r"[A-Za-z][0-9@$!|+(]+[A-Za-z].*?[A-Za-z][0-9@$!|+(]+[A-Za-z]",
            r"(?:(?:0x|\\x)?[0-9A-Fa-f]{2,8}[\s,;:|/_.-]{1,4}){6}",
            r"[01]{7,}",
            r"(?:[.\u00b7\u2022*_\u2010-\u2015\u2212-]{1,6}[ /|\n]+){6}",
            "[\U000e0020-\U000e007e\ufe00-\ufe0f\U000e0100-\U000e01ef\u200b-\u200d\u2060]{4}",
            "[A-Za-z][^\x00-\u024f\u2010-\u2027]|[^\x00-\u024f\u2010-\u2027][A-Za-z]",
            "[\u0250-\u02af\u1d00-\u1dbf\u2460-\u24ff\uff21-\uff5a\U0001d400-\U0001d7ff\U0001f100-\U0001f1ff]{2}",
        ),
    )
)
_PIG: Final = re.compile(r"[A-Za-z]{3}ay\b")
_LONG: Final = 16
_GLUED: Final = re.compile(r"[^\W_]{16}|\S*[^\w\s'\u2019-]\S*[^\w\s'\u2019-]\S*")
"""What is long in one word, or has signs within: parts with hyphens between are words of their own anyway."""
_BREAK: Final = re.compile(r"\n\s*(?=\S)")
"""Where a line begins: empty ones do not count."""
PART: Final = 120
"""Characters of a part of a text that is looked at by itself."""

_UNREADABLE: Final = "000000"


_NONE: Final[Counter[str]] = Counter()  # shared, never changed


@dataclass(slots=True)
class Signs:
    """What one segment shows: evidence per transform, and whether anything else looks dressed."""

    evidence: Counter[str] = field(default_factory=lambda: _NONE)
    backwards: int = 0
    other: bool = False

    def shown(self, before: Sequence[Signs]) -> bool:
        """True when this segment looks dressed, by itself or together with those shortly before it."""
        if self.other:
            return True
        if self.evidence:
            together = sum((signs.evidence for signs in before), self.evidence)
            if max(together[name] for name in self.evidence) >= ENOUGH:
                return True
        return self.backwards > 0 and self.backwards + sum(signs.backwards for signs in before) > 1


def signs_of(text: str, words: list[str]) -> Signs:
    """The signs of a segment; `words` are its words in small letters."""
    signs = Signs()
    kinds = "".join([KINDS.get(word, "0") for word in words])
    if "2" in kinds:
        signs.evidence = evidence_of(words)
    if not BACKWARDS.isdisjoint(pairwise(words)):
        signs.backwards = sum(pair in BACKWARDS for pair in pairwise(words))
    signs.other = _UNREADABLE in kinds or _dressed(text, words)
    return signs


def _dressed(text: str, words: list[str]) -> bool:
    pieces = text.split()
    if not pieces:
        return False
    if (
        2 * len(words) < len(pieces)
        or (max(map(len, pieces)) >= _LONG and _GLUED.search(text))
        or len(text) < 3 * len(pieces)
        or len(words) > 2 * len(pieces)
    ):
        return True
    if "-\n" in text:
        return True
    if text.count("\n") > max(1, len(text) // 16) and len(_BREAK.findall(text)) > max(1, len(text) // 16):
        return True
    if text.count("ay") > 1 and len(_PIG.findall(text)) > 1:
        return True
    return bool(_RARE.search(text)) and any(mark.search(text) for mark in _MARKS)


def looks_dressed(text: str) -> bool:
    """True when a text that stands alone shows signs of a dress, as a whole or in a part of it."""
    parts = [text[at : at + PART] for at in range(0, len(text), PART // 2)] if len(text) > PART else []
    return any(signs_of(part, spots_of(part)).shown(()) for part in (text, *parts))
