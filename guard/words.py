"""Words: how the guard reads text, whatever it is dressed in, without losing the positions in the original.

A *word* is a maximal run of Unicode letters or digits after NFKC and case folding. Invisible characters inside a
word are dropped, so are diacritics, and characters that look like Latin letters are read as those. Text is read in
*tokens*: pieces that can be normalised on their own, because the character that begins the next one combines with
nothing before it. What a token says is therefore a function of the text alone, never of how the text arrived.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from guard.errors import MachineMisused
from guard.look_alikes import LOOK_ALIKES

LONGEST_TOKEN: Final = 256
"""Characters after which a token is cut even where no boundary stands; a longer word is read in pieces."""

# Begins a token: neither letter, digit, mark nor invisible, and no part of one under NFKC. Characters that are
# missing here stay inside their token and part its words there: the set decides how soon, not what is read.
_BOUNDARY: Final = re.compile(
    r"[\x00-/:-@\[-`{-\x9f\xa0\xa1-\xa7\xab\xac\xb0\xb1\xb6\xb7\xbb\xbf\xd7\xf7"
    r"\u2000-\u200a\u2010-\u2029\u202f-\u205f\u2190-\u245f\u2500-\u2775\u2794-\u2bff\u2e00-\u2e2e\u2e30-\u2e5d"
    r"\u3000-\u3004\u3008-\u3020\u3030\u303d\u30fb\ufe10-\ufe1f\ufe30-\ufe6b\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40"
    r"\uff5b-\uff65\U0001f300-\U0001faff]"
    r"|(?<=[\u3002\uff01\uff1f])[^\W_]"  # a full-width stop needs no white space behind it
)
_ASCII_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
# Marks that are added to a letter and leave it that letter: accents, and the stacks of them called Zalgo. The marks of
# scripts whose words need them (vowel signs, voicing) are not among these.
_ACCENT: Final = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")
# Characters that look like another Latin letter than what they fold to: read by their own look beside Latin letters.
_OWN_LOOK: Final = str.maketrans("\u0397\u039c\u039d\u03a5\u040b\u03f2\u03f9", "hmnyhcc")
_LATIN: Final = re.compile("[A-Za-z]")


class Word(NamedTuple):
    """A normalised word and the span text[start:end] that it stands for."""

    norm: str
    start: int
    end: int


class Token(NamedTuple):
    """A stretch text[start:end] that is read on its own."""

    text: str
    start: int
    end: int


def _joins(char: str) -> bool:
    """True for a character that may compose onto the one before it."""
    return unicodedata.category(char)[0] == "M" or "\u1160" <= char <= "\u11ff" or "\ud7b0" <= char <= "\ud7ff"


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    """Spans of characters with everything that may compose onto them."""
    start = 0
    for position in range(1, len(text)):
        if not _joins(text[position]):
            yield start, position
            start = position
    if text:
        yield start, len(text)


def _plain(text: str) -> str:
    """Without accents."""
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", _ACCENT.sub("", apart)) if _ACCENT.search(apart) else text


@lru_cache(maxsize=4096)
def _fold(cluster: str) -> str:
    folded = unicodedata.normalize("NFKC", _plain(unicodedata.normalize("NFKC", cluster)).casefold())
    folded = _plain(folded)
    return folded.translate(LOOK_ALIKES)


def _simple() -> dict[int, str]:
    """What common characters are read as, for those that are read alone and as one character."""
    found: dict[int, str] = {}
    for code in (*range(0x80, 0x590), *range(0x1E00, 0x2000), *range(0x2010, 0x205F), *range(0x3000, 0x3040)):
        char = chr(code)
        folded = _fold(char)
        if len(folded) == 1 and not _joins(char) and not _INVISIBLE.match(char):
            major = unicodedata.category(folded)[0]
            if major != "M":
                found[code] = folded if major in "LN" else " "
    return found


_SIMPLE: Final = _simple()
# CJK ideographs, kana and Hangul syllables are read as they are, once no mark follows.
_ALL_SIMPLE: Final = re.compile(
    "[\\x00-\\x7f\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3" + "".join(map(chr, _SIMPLE)) + "]*"
)
_READ: Final = LOOK_ALIKES | _SIMPLE | {code: chr(code).lower() for code in range(0x80)}
_ANY_WORD: Final = re.compile(r"[^\W_]+")


def _words_of_any(text: str, offset: int) -> list[Word]:
    if _LATIN.search(text):
        text = text.translate(_OWN_LOOK)
    if _ALL_SIMPLE.fullmatch(text):
        plain = text.translate(_READ)
        return [Word(m[0], m.start() + offset, m.end() + offset) for m in _ANY_WORD.finditer(plain)]
    return _words_of_clusters(text, offset)


def _words_of_clusters(text: str, offset: int) -> list[Word]:
    found: list[Word] = []
    letters: list[str] = []
    begin = finish = 0
    for start, end in _clusters(text):
        for char in _fold(_INVISIBLE.sub("", text[start:end])):
            if char.isalnum():
                if not letters:
                    begin = start
                letters.append(char)
                finish = end
            elif letters and unicodedata.category(char)[0] != "M":
                found.append(Word("".join(letters), begin + offset, finish + offset))
                letters = []
    if letters:
        found.append(Word("".join(letters), begin + offset, finish + offset))
    return found


def words_of_token(token: Token) -> list[Word]:
    """The words of one token, with positions in the whole text."""
    text, offset = token.text, token.start
    if text.isascii():
        begin = 0 if text[:1].isalnum() else 1
        if text[begin:].isalnum():  # one word behind at most one boundary: nearly every token
            return [Word(text[begin:].lower(), offset + begin, token.end)]
        return [Word(m[0].lower(), m.start() + offset, m.end() + offset) for m in _ASCII_WORD.finditer(text)]
    return _words_of_any(text, offset)


def words_of(text: str) -> list[Word]:
    """All words of a complete text."""
    splitter = TokenSplitter()
    tokens = [*splitter.feed(text), *splitter.end()]
    return [word for token in tokens for word in words_of_token(token)]


def _last_gap(text: str) -> int:
    """Where to cut a token that grew too long: before its last character that belongs to no word, else at its end."""
    for position in range(len(text) - 1, 0, -1):
        if unicodedata.category(text[position])[0] in "PSZ" and not any(
            unicodedata.category(c)[0] in "LN" for c in _fold(text[position])
        ):
            return position
    return len(text)


class TokenSplitter:
    """Cuts a text that arrives in pieces into tokens.

    ```
        text:    Hello| world|!| It|'|s      a token ends where the next boundary character begins,
        tokens:  ^     ^      ^ ^   ^ ^      so the last one stays open until more text or `end()` comes
    ```
    """

    def __init__(self) -> None:
        self._open = ""
        self._start = 0
        self._ended = False

    @property
    def length(self) -> int:
        """Characters fed so far."""
        return self._start + len(self._open)

    def feed(self, text: str) -> list[Token]:
        """Take more text; answer the tokens that it completed."""
        if self._ended:
            raise MachineMisused("the splitter was fed after its end")
        tokens: list[Token] = []
        buffer = self._open + text
        found = _BOUNDARY.search(buffer, len(self._open))
        if found is None and len(buffer) <= LONGEST_TOKEN:
            self._open = buffer
            return tokens
        begin = 0
        while found is not None:
            cut = found.start()
            if cut > begin:
                begin = self._emit(buffer, begin, cut, tokens)
            found = _BOUNDARY.search(buffer, cut + 1)
        begin = self._cut_long(buffer, begin, len(buffer), tokens)
        self._open = buffer[begin:]
        self._start += begin
        return tokens

    def end(self) -> list[Token]:
        """No more text comes; answer the token that was open, if any."""
        if self._ended:
            raise MachineMisused("the splitter was ended twice")
        self._ended = True
        tokens: list[Token] = []
        if self._open:
            self._emit(self._open, 0, len(self._open), tokens)
            self._start, self._open = self._start + len(self._open), ""
        return tokens

    def _emit(self, buffer: str, begin: int, cut: int, tokens: list[Token]) -> int:
        if cut - begin > LONGEST_TOKEN:
            begin = self._cut_long(buffer, begin, cut, tokens)
        if begin < cut:
            tokens.append(Token(buffer[begin:cut], self._start + begin, self._start + cut))
        return cut

    def _cut_long(self, buffer: str, begin: int, cut: int, tokens: list[Token]) -> int:
        """Cut what is longer than a token may be. One character beyond the limit must be known, so that a mark that
        composes onto the last character is never parted from it."""
        while cut - begin > LONGEST_TOKEN:
            stop = begin + _last_gap(buffer[begin : begin + LONGEST_TOKEN])
            while stop > begin + 1 and _joins(buffer[stop]):
                stop -= 1
            tokens.append(Token(buffer[begin:stop], self._start + begin, self._start + stop))
            begin = stop
        return begin
