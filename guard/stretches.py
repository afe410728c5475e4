"""Stretches: short windows inside text that runs on, so that filler glued to a sentence cannot dilute what it says."""

from __future__ import annotations

from collections.abc import Sequence

from guard.segments import WindowRule
from guard.words import Word


class Stretches:
    """Collects the words of the unfinished segment and of the one before.

    ```
        words:      1 … 6 | 7 … 12 | 13 … 18 | 19 … 24     of two segments
        stretches:  |--------------|
                            |----------------|              those that end in the second one are new
                                     |---------------|
    ```
    """

    def __init__(self, rule: WindowRule) -> None:
        self._rule = rule
        self._before: list[tuple[int, int]] = []
        self._now: list[tuple[int, int]] = []

    @property
    def words(self) -> int:
        """Words of the unfinished segment."""
        return len(self._now)

    def push(self, words: Sequence[Word]) -> None:
        """The next words, in order."""
        self._now.extend((word.start, word.end) for word in words)

    def finish(self) -> list[tuple[int, int]]:
        """The segment ends: the spans of its stretches. Sentences of ordinary length have none: they say what they say
        as a whole. Segments without words do not count."""
        if not self._now:
            return []
        size, step = self._rule.stretch_words, self._rule.stretch_step
        words, old = self._before + self._now, len(self._before)
        runs_on = max(len(self._now), old) >= self._rule.max_words
        self._before, self._now = self._now, []
        if not size or not runs_on or len(words) <= size:
            return []
        ends = [end for end in range(size, len(words), step) if end > old]
        return [(words[end - size][0], words[end - 1][1]) for end in (*ends, len(words))]
