"""Where a text is cut into segments, and which windows are judged: functions of the text alone.

A segment is a sentence, a line, or a stretch of at most `max_words` words. A very short sentence says nothing by
itself and is joined to the next one. What has next to no words for its length (codes, signs, pictures) is cut by its
length: no prose comes near that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from guard.words import Token

_TERMINAL: Final = frozenset(".!?\u2026\u3002\uff01\uff1f\uff0e\u203d\u061f\u0964")
_CLOSERS: Final = frozenset("\"')]}*_`\u201d\u2019\u00bb\u203a\u300d\u300f\uff09")
_NEWLINES: Final = frozenset("\n\r\u2028\u2029\x0b\x0c\x85")
_FULL_WIDTH: Final = frozenset("\u3002\uff01\uff1f")

LONG: Final = 400
"""Characters of a segment with next to no words after which it ends at the next white space."""

LONGEST: Final = 2000
"""Characters of such a segment after which it ends whatever follows."""

SPARSE: Final = 20
"""Characters per word from which a text has next to no words."""


@dataclass(frozen=True, slots=True)
class WindowRule:
    """How windows are cut. Thresholds belong to a rule: another rule needs another calibration.

    A window is one segment, and that segment joined to each run of up to `overlap` segments before it.
    `opening_words` is how often, in words, the unfinished segment is judged in adaptive mode.
    `exchange_segments` is how many first segments are judged together with the turn that they answer. A segment
    that was cut for its length, and what follows it, are also judged in stretches of `stretch_words` words, one
    beginning every `stretch_step` words; 0 for none.
    """

    min_words: int = 4
    max_words: int = 32
    overlap: int = 1
    opening_words: int = 8
    exchange_segments: int = 3
    stretch_words: int = 12
    stretch_step: int = 6

    def __post_init__(self) -> None:
        if not 1 <= self.min_words <= self.max_words:
            raise ValueError("a window rule needs 1 <= min_words <= max_words")
        if self.overlap < 0 or self.opening_words < 1 or self.exchange_segments < 0:
            raise ValueError("overlap and exchange_segments must not be negative, opening_words at least 1")
        if self.stretch_words < 0 or self.stretch_step < 1:
            raise ValueError("stretch_words must not be negative, stretch_step at least 1")


DEFAULT_RULE: Final = WindowRule()


class Segmenter:
    """Says after each token whether a segment ends there.

    ```
        "It rained. | In 1648 the treaty was signed | …"
          terminal ^ then white space: a cut          ^ max_words: a cut
    ```
    """

    def __init__(self, rule: WindowRule) -> None:
        self._rule = rule
        self.words = 0
        self._terminal = False
        self._wide = False
        self._bulk = 0  # characters, without words in scripts that write no white space between them

    def push(self, token: Token, words: int, following: str) -> bool:
        """True when the segment ends at `token.end`. `following` is the character there."""
        self.words += words
        if not words or token.text.isascii():
            self._bulk += token.end - token.start
        for char in reversed(token.text):
            if char not in _CLOSERS:
                self._terminal = char in _TERMINAL
                self._wide = char in _FULL_WIDTH
                break
        if self._cuts(following):
            self.words = self._bulk = 0
            self._terminal = self._wide = False
            return True
        return False

    def _cuts(self, following: str) -> bool:
        if self.words >= self._rule.max_words:
            return True
        if self._bulk >= LONG and self._bulk >= SPARSE * self.words and (following.isspace() or self._bulk >= LONGEST):
            return True
        if self.words < self._rule.min_words:
            return False
        if self._terminal and (following.isspace() or (self._wide and following not in _CLOSERS)):
            return True
        return following in _NEWLINES
