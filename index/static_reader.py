"""Reads the windows of streams by static vectors: what was read before is added up instead of being read again.

```
    windows of a segment b that follows a:     b     a b      sum of "a b" = sum of "a" + sum of "b"
    with the turn that it answers:             turn b         its words: those of a, and those of b further on
```

That holds where white space ends every token, as in the vocabularies of BERT; other tokenizers read everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from guard.words import Word, words_of
from index.embedder import Vectors
from index.forms import exchange
from index.static import StaticModel

_KEPT: Final = 2048
_TINY: Final = np.float32(1e-9)
_PARTS: Final = ("It rained in Orsk, they said.", "The old man didn't mind; he slept (well) until 7 o'clock.")


class StaticRead(NamedTuple):
    """One text: the sum of its tokens' vectors [dimensions], how many tokens it has, how many are known, its words."""

    total: Vectors
    tokens: int
    known: int
    words: Sequence[Word] = ()

    @property
    def share(self) -> float:
        """The share of tokens that the sum speaks of, 0 to 1."""
        return self.known / max(1, self.tokens)


class StaticReader:
    """Thread-safe: at worst something is read twice."""

    def __init__(self, model: StaticModel) -> None:
        self._model = model
        whole, *parts = (model.read(text)[1:] for text in (" ".join(_PARTS), *_PARTS))
        self._adds = whole == tuple(map(sum, zip(*parts, strict=True)))
        self._windows: dict[str, StaticRead] = {}
        self._turns: dict[str, StaticRead] = {}

    def windows(self, texts: Sequence[str]) -> list[StaticRead]:
        """How each of these texts reads, without white space around them."""
        known = self._windows
        if len(known) >= _KEPT:
            self._windows = known = {}
        found: dict[str, StaticRead] = {}
        for text in sorted(set(texts), key=len):
            read = known.get(text) or self._joined(text, found)
            if read is None:
                read = StaticRead(*self._model.read(text), words_of(text))
            found[text] = known[text] = read
        return [found[text] for text in texts]

    def exchanges(self, turns: Sequence[str], texts: Sequence[str]) -> list[StaticRead]:
        """How each of these texts reads as the answer to its turn; without words. The texts were read before."""
        return [self._exchange(turn, text) for turn, text in zip(turns, texts, strict=True)]

    def _exchange(self, turn: str, text: str) -> StaticRead:
        answer = self._windows.get(text)
        if answer is None or not self._adds:
            return StaticRead(*self._model.read(exchange(turn, text)))
        asked = self._turns.get(turn)
        if asked is None:
            if len(self._turns) >= _KEPT:
                self._turns = {}
            asked = self._turns[turn] = StaticRead(*self._model.read(exchange(turn, "")))
        return StaticRead(asked.total + answer.total, asked.tokens + answer.tokens, asked.known + answer.known)

    def _joined(self, text: str, found: dict[str, StaticRead]) -> StaticRead | None:
        """The text as one that was read before with one of those just read behind it."""
        if not self._adds:
            return None
        for end, last in found.items():
            if not end or len(end) >= len(text) or not text.endswith(end):
                continue
            start = text[: -len(end)]
            first = found.get(start.rstrip()) or self._windows.get(start.rstrip())
            if first is None or not (start[-1:].isspace() or not start[-1:].isalnum()):
                continue
            further = len(text) - len(end)
            words = [*first.words, *(Word(norm, a + further, b + further) for norm, a, b in last.words)]
            return StaticRead(first.total + last.total, first.tokens + last.tokens, first.known + last.known, words)
        return None


def unit(reads: Sequence[StaticRead]) -> Vectors:
    """Their vectors [n, dimensions], of length 1; zeros for a text without a known token."""
    totals: Vectors = np.stack([read.total for read in reads])
    vectors: Vectors = totals / np.maximum(np.linalg.norm(totals, axis=1, keepdims=True), _TINY)
    return vectors
