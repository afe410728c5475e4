"""Names and numbers of a text, and how far two texts agree in them.

Embeddings place "X was born in 1958" close to "Y was born in 1961". What a fact is about stands in its names and
numbers, so their agreement tells such pairs apart. A name is recognised by its capital letter, as in English; a
script without capitals has no names here, and nothing is concluded from that.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from guard.words import Word, words_of

_OPENS_SENTENCE: Final = re.compile("[.!?\u2026:\\n\"'\u201c\u2018(*#>|]")
_COMMON: Final = frozenset(
    re.split(
        " ",
        "a an the in on at of for from to by with as and but or nor so yet if while when where what which who whom "
        "whose why how is are was were be been being do does did has have had can could may might will would should "
        "shall must yes no not any all some one two his her its their our your my he she it they we you i this that "
        "these those there here although though however despite through throughout after before since during "
        "following according indeed currently known born author over under among both each also apart besides given "
        "such like many most more other another early later considering as due aside growing having based",
    )
)


def plain(norm: str) -> str:
    """Without diacritics; a number without leading zeros."""
    letters = norm
    if not norm.isascii():
        letters = "".join(c for c in unicodedata.normalize("NFKD", norm) if not unicodedata.combining(c))
    return letters.lstrip("0") or "0" if letters.isdecimal() else letters


T = TypeVar("T", str, int)


@dataclass(frozen=True, slots=True)
class Mentions(Generic[T]):
    """`names` are the names and numbers of a text, `words` all of its words: normalised, or hashes of that."""

    names: Set[T]
    words: Set[T]


def mentions(*texts: str) -> Mentions[str]:
    """What several texts mention together. Linear in their length."""
    names: set[str] = set()
    words: set[str] = set()
    for text in texts:
        read = words_of(text)
        words.update(plain(word.norm) for word in read)
        names.update(names_of(text, read))
    return Mentions(names, words)


def names_of(text: str, words: Sequence[Word]) -> set[str]:
    """The names and numbers among the words of a text, normalised."""
    found: set[str] = set()
    for i, word in enumerate(words):
        norm = word.norm
        if not norm.isalpha():  # letters alone, as of nearly every word, hold no digit
            norm = plain(norm)
            if any(c.isdigit() for c in norm):
                found.add(norm)
                continue
        if not text[word.start].isupper():
            continue
        norm = plain(norm)
        if len(norm) < 2 or norm in _COMMON:
            continue
        gap = text[words[i - 1].end : word.start] if i else ""
        if (i and not _OPENS_SENTENCE.search(gap)) or (i + 1 < len(words) and _joined(text, word, words[i + 1])):
            found.add(norm)
    return found


def _joined(text: str, word: Word, following: Word) -> bool:
    """A capital that opens a sentence is a name only beside another one."""
    return text[word.end : following.start] in (" ", "-") and text[following.start].isupper()


def agreement(entry: Mentions[T], text: Mentions[T]) -> float:
    """1.0 when the text names what the entry names, 0.0 when it names only other things.

    Case is used to find names, never to compare them, so a name in small letters still agrees.
    """
    if not entry.names:
        return 1.0
    covered = len(entry.names & text.words) / len(entry.names)
    if not text.names:
        return 0.5 + 0.5 * covered
    return max(covered, len(text.names & entry.words) / len(text.names))
