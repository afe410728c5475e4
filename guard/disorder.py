"""Passages in another order than that of the text: backwards, or as every second or third word.

Each order follows *threads*, words that stood next to each other in a passage as far as its grams tell:

```
    every 2nd word:   the rain lamp falls keeper on of the orsk     a thread: the lamp keeper of orsk
    reversed words:   stair iron the climbs orsk's keeper           a thread: keeper orsk s climbs the iron stair
```

A thread begins with three words at the exact distance. Writers who turn words round or fill in between take what stands
between blanks for a word, and `orsk's` or `well-known` is two here: so a thread that breaks is mended where two words
were left in their order, or a filler was two words or none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from guard.shingler import Shingler, Terms
from guard.words import Word

FEWEST: Final = 3
"""Words of a thread, and of the grams that it is made of."""


class Grams(Protocol):
    """Runs of up to three words that occur in a passage."""

    def continues(self, digest: int) -> bool:
        """True when this gram occurs in a passage."""


class History:
    """The last `kept` words of a text, by their number in it. `terms` is None for a word that is in no passage."""

    def __init__(self, kept: int) -> None:
        self.words: deque[Word] = deque(maxlen=kept)
        self.terms: deque[Terms | None] = deque([None] * kept, maxlen=kept)
        self.count = 0

    def add(self, word: Word, terms: Terms | None) -> None:
        """The next word."""
        self.words.append(word)
        self.terms.append(terms)
        self.count += 1

    def terms_of(self, number: int) -> Terms | None:
        """What that word adds to a run."""
        return self.terms[number - self.count]

    def span(self, numbers: Sequence[int]) -> tuple[int, int]:
        """Where these words stand."""
        return self.words[min(numbers) - self.count].start, self.words[max(numbers) - self.count].end


def reach(stride: int) -> int:
    """How many words after the last one of a thread its next word may come: as if each filler were two words."""
    return max(2, 2 * stride - 1)


class Order:
    """One order of reading: every `stride`-th word, forwards or backwards. A thread is the numbers of its words, in the
    order in which the passage is come upon: from its end when it is read backwards. It keeps the last `longest`.
    """

    def __init__(self, view: str, stride: int, backwards: bool, longest: int) -> None:
        self.view, self.stride, self.backwards, self._longest = view, stride, backwards, longest
        self.reach = reach(stride)
        self.threads: list[list[int]] = []
        self._one_before, self._two_before = -1 - stride, -1 - 2 * stride

    def may_begin(self, history: History, grams: Grams, shingler: Shingler) -> bool:
        """True when the last word of `history` stands in a passage as it would behind two words of a thread."""
        terms = history.terms
        own, middle, first = terms[-1], terms[self._one_before], terms[self._two_before]
        if own is None or middle is None or first is None:
            return False
        run = (own, middle, first) if self.backwards else (first, middle, own)
        return grams.continues(shingler.three(*run))

    def push(self, history: History, grams: Grams, shingler: Shingler) -> list[list[int]]:
        """Take the last word of `history`; answer the threads that grew."""
        number, stride = history.count - 1, self.stride
        grown: list[list[int]] = []
        if self.threads:
            read = _Reader(history, grams, shingler, self.backwards)
            for thread in self.threads:
                more = self._turned(thread, number, read) if self.backwards else self._filled(thread, number, read)
                if more:
                    thread.extend(more)
                    del thread[: -self._longest]
                    grown.append(thread)
            self._drop(number)
        terms = history.terms
        own, middle, first = terms[-1], terms[self._one_before], terms[self._two_before]
        if own and middle and first:
            run = (own, middle, first) if self.backwards else (first, middle, own)
            begun = [number - 2 * stride, number - stride, number]
            if grams.continues(shingler.three(*run)) and all(thread[-FEWEST:] != begun for thread in self.threads):
                self.threads.append(begun)
                grown.append(begun)
        return grown

    def _drop(self, number: int) -> None:
        """Threads that no later word can continue, and of those that end alike all but the longest and the one whose
        last words stand at one distance for longest: fewer of those convict."""
        if len(self.threads) == 1:
            if number >= max(self.threads[0][-2:]) + self.reach:
                self.threads.clear()
            return
        kept: dict[tuple[int, int, bool], tuple[int, list[int]]] = {}
        for thread in self.threads:
            last, before = thread[-1], thread[-2]
            if number < max(last, before) + self.reach:
                for by_distance, length in ((False, len(thread)), (True, _even(thread))):
                    if length > kept.get((before, last, by_distance), (0, thread))[0]:
                        kept[before, last, by_distance] = (length, thread)
        self.threads = list({id(thread): thread for _, thread in kept.values()}.values())

    def _turned(self, thread: list[int], number: int, read: _Reader) -> list[int]:
        last = max(thread[-2:])
        if number == last + 1:
            return [number] if read.joins(thread, number) else []
        if number != last + 2 or not read.joins(thread, number):
            return []
        left = [number, number - 1]  # two words in their order: the later one is come upon first
        return left if read.joins([thread[-1], number], number - 1) else []

    def _filled(self, thread: list[int], number: int, read: _Reader) -> list[int]:
        last, expected = thread[-1], thread[-1] + self.stride
        if number < expected:
            return []
        nearer = range(number - 1, last, -1) if number == expected else ()
        return next(([other] for other in (number, *nearer) if read.joins(thread, other)), [])


def _even(thread: Sequence[int]) -> int:
    """How many of the last words of a thread stand at one distance."""
    gap = thread[-1] - thread[-2]
    count = 2
    while count < len(thread) and thread[-count] - thread[-count - 1] == gap:
        count += 1
    return count


class _Reader:
    def __init__(self, history: History, grams: Grams, shingler: Shingler, backwards: bool) -> None:
        self._history, self._grams, self._shingler, self._backwards = history, grams, shingler, backwards

    def joins(self, thread: Sequence[int], number: int) -> bool:
        """True when the last two words of the thread and this one are a gram."""
        one, two, three = (self._history.terms_of(n) for n in (*thread[-2:], number))
        if not (one and two and three):
            return False
        run = (three, two, one) if self._backwards else (one, two, three)
        return self._grams.continues(self._shingler.three(*run))
