"""What is held of benign answers because an unfinished sentence seems to become something forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from guard.segments import Segmenter
from guard.words import TokenSplitter, Word, words_of_token
from index.snapshot import View

FIRST: Final = 3
"""Words of an answer that are its first."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of benign answers: words, those near something, answers, those near in their first words, looks."""

    words: int
    near: int
    answers: int
    first: int
    looks: int

    @property
    def row(self) -> list[str]:
        """As cells."""
        shares = (self.near / self.words, self.first / self.answers)
        return [*(f"{100 * share:.2f} %" for share in shares), f"{1000 * self.looks / self.words:.1f}"]


def segments(view: View, text: str) -> Iterator[list[Word]]:
    """The words of each segment."""
    splitter, segmenter, words = TokenSplitter(), Segmenter(view.rule), list[Word]()
    tokens = [(token, text[token.end : token.end + 1]) for token in splitter.feed(text)]
    tokens += [(token, "\n") for token in splitter.end()]
    for token, following in tokens:
        own = words_of_token(token)
        words += own
        if segmenter.push(token, len(own), following):
            yield words
            words = []
    yield words


def held(view: View, texts: Sequence[str]) -> Held:
    """How much of these texts the glance would hold."""
    words = near = first = looks = 0
    for text in texts:
        before, early, glance = 0, False, view.glance()
        if glance is None:
            raise SystemExit("the index has no glance: is there a static model?")
        for own in segments(view, text):
            waiting = 0
            for at, word in enumerate(own):
                hit = glance.push((word,))
                near += hit
                early |= hit and before + at < FIRST
                waiting = waiting + 1 if hit else 0
                if waiting == view.adaptive.look_words:
                    looks, waiting = looks + 1, 0
            glance.cut()
            before += len(own)
        words, first = words + before, first + early
    return Held(words, near, len(texts), first, looks)
