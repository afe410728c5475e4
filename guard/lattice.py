"""The lattice: which readings of a growing text are judged beside the plain text, and what is held back for them.

Each segment is looked at once for signs of a dress. Where there are any, the tail of the text is read again and the
readings are cut into windows as plain text is; letters that are picked from their places (acrostics) are read from
small streams of their own. Everything is a function of the text and its segments, never of how the text arrived.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from guard.decoders.cipher import ENOUGH, evidence_of
from guard.decoders.initials import Initials
from guard.decoders.lexicon import EVIDENCE
from guard.decoders.signs import Signs, signs_of, spots_of
from guard.detector import Window
from guard.reading import Reading, readings
from guard.segments import DEFAULT_RULE, Segmenter, WindowRule
from guard.windows import windows_of
from guard.words import Token, TokenSplitter, Word, words_of, words_of_token

SHORT_TAIL: Final = 240
LONG_TAIL: Final = 1536
"""Characters before the end of a segment that are read again when it looks dressed: between these, six to sixteen
segments like the longer of the last two. So short segments cost little, and a character is read a bounded number of
times."""

NEAR: Final = 300
"""Characters between segments whose evidence is taken together."""

HELD: Final = 4096
"""Characters that an open run holds back at most."""

LONG_TOKEN: Final = 24
"""A token from this length on looks like a run of an encoding."""

SPELLED: Final = 10
"""Tokens of one letter or sign in a row that look like words spelled out."""

_WORD_START: Final = re.compile(r"(?<![^\W_])([^\W_])")
_LINE_START: Final = re.compile(r"(?:\A|\n)(?:[^\S\n]|[-*+\u2022>#|]|\d{1,4}[.)])*([^\W\d_])")
# A segment ends before the white space that follows it, so what ends or begins a line is seen from its other side.
_LINE_END: Final = re.compile(r"(?:\A|([^\W\d_])[^\w\n]{0,8})\n")
_SENTENCE: Final = re.compile(r"(?:\A|(?<=[.!?\"')\]\u201d\u2019*_]))\s+[\"'(\[\u201c\u2018*_]*([^\W\d_])")
_INNER: Final = re.compile(r"[.!?]\S{0,3}\s")


class Lattice:
    """Watches one channel. `push` each token; `windows` where a segment ends."""

    watch_from: int | None = None
    """Where the open run begins that looks dressed and is not judged yet; None when there is none."""

    def __init__(self, rule: WindowRule) -> None:
        self._rule = rule
        self._before: deque[tuple[int, Signs]] = deque()  # of segments with evidence, and where each ends
        self._given: deque[str] = deque(maxlen=64)
        self._run: int | None = None  # where the segments began to look dressed
        self._words = Initials("word acrostic", _WORD_START)
        self._lines = Initials("line acrostic", _LINE_START)
        self._ends = Initials("line ends", _LINE_END, 44)
        self._sentences = Initials("sentence acrostic", _SENTENCE)
        self._short = self._short_from = 0  # tokens of one letter or sign in a row, and where they begin
        self._hints: list[Word] = []  # words of the unfinished segment that show a transform

    def push(self, token: Token, words: Sequence[Word]) -> None:
        """Take the next token."""
        if self.watch_from is not None:
            self.watch_from = max(self.watch_from, token.end - HELD)
            return
        size = token.end - token.start
        if size <= 2:
            self._short += 1
            if self._short == 1:
                self._short_from = token.start
            elif self._short >= SPELLED:
                self.watch_from = self._short_from
            return
        self._short = 0
        if size >= LONG_TOKEN:
            if not token.text.isspace():
                self.watch_from = token.start
        elif words and words[0].norm in EVIDENCE:
            self._hints.append(words[0])
            if evidence_of([word.norm for word in self._hints]).most_common(1)[0][1] >= ENOUGH:
                self.watch_from = self._hints[0].start

    def windows(self, text: str, starts: Sequence[int], context: str) -> tuple[Window, ...]:
        """The dressed windows that the segment from starts[-1] to the end of `text` adds."""
        begin = starts[-1]
        segment = text[begin:]
        words = spots_of(segment)
        found = list(self._acrostics(text, begin, words))
        signs = signs_of(segment, words)
        while self._before and self._before[0][0] < begin - NEAR:
            self._before.popleft()
        shown = signs.shown([before for _, before in self._before])
        dressed = False
        if shown or self._run is not None:
            near = starts[self._rule.exchange_segments] if len(starts) > self._rule.exchange_segments else len(text)
            tail = self._tail(starts, len(text))
            for reading in readings(text[tail:]):
                dressed = True
                found += self._cut(reading, tail, text, (begin, near), context)
        if shown:
            self._run = starts[max(0, len(starts) - 2)] if self._run is None else self._run
        else:
            self._run = None
        self.watch_from = max(self._run, len(text) - HELD) if dressed and self._run is not None else None
        if signs.evidence or signs.backwards:
            self._before.append((len(text), signs))
        self._hints.clear()
        return tuple(found)

    def _tail(self, starts: Sequence[int], end: int) -> int:
        """Where the text begins that is read again: whole segments before the last one, more the longer it is."""
        last = len(starts) - 1
        segment = max(end - starts[last], starts[last] - starts[max(0, last - 1)])
        size = min(max(SHORT_TAIL, min(16 * segment, 640), 6 * segment), LONG_TAIL)
        first = last
        while first > 0 and end - starts[first - 1] <= size:
            first -= 1
        return starts[first]

    def _cut(self, reading: Reading, tail: int, text: str, since: tuple[int, int], context: str) -> Iterator[Window]:
        """The windows of a reading of text[tail:] that reach into the last segment and were not given before."""
        begin, near = since
        cut = [Window(reading.text, 0, len(reading.text))] if reading.lettered else windows_of(reading.text, self._rule)
        for window in cut:
            places = [(a + tail, b + tail) for a, b in reading.places[window.start : window.end]]
            start, end = min(a for a, _ in places), max(b for _, b in places)
            if end <= begin or window.text in self._given or (reading.view != "lines" and _same(text, window, places)):
                continue
            self._given.append(window.text)
            yield Window(window.text, start, end, context if start < near else "", reading.view, places)

    def _acrostics(self, text: str, begin: int, words: Sequence[str]) -> Iterator[Window]:
        told = [self._words] if self._words.take("".join([word[0] for word in words]), begin, len(text)) else []
        if "\n" in text[begin:] or not begin:
            told += [stream for stream in (self._lines, self._ends) if stream.look(text, begin, len(text))]
        if self._sentences.look(text, begin, len(text) if _INNER.search(text, begin) else min(len(text), begin + 12)):
            told.append(self._sentences)
        for stream in told:
            reading = stream.reading(text)
            if reading is not None:
                yield Window(
                    reading.text, reading.places[0][0], reading.places[-1][1], "", reading.view, reading.places
                )


def _same(text: str, window: Window, places: Sequence[tuple[int, int]]) -> bool:
    """True when the words of a reading are those that the plain text has there: its windows show them."""
    start, end = min(a for a, _ in places), max(b for _, b in places)
    return [word.norm for word in words_of(window.text)] == [word.norm for word in words_of(text[start:end])]


def dressed_windows(text: str, context: str = "", rule: WindowRule = DEFAULT_RULE) -> list[Window]:
    """The dressed windows of a complete text, the same that a stream judges, in order."""
    splitter, segmenter, lattice = TokenSplitter(), Segmenter(rule), Lattice(rule)
    starts = [0]
    found: list[Window] = []
    tokens = [(token, text[token.end : token.end + 1]) for token in splitter.feed(text)]
    tokens += [(token, "\n") for token in splitter.end()]
    for token, following in tokens:
        words = words_of_token(token)
        lattice.push(token, words)
        if segmenter.push(token, len(words), following):
            found += lattice.windows(text[: token.end], starts, context)
            starts.append(token.end)
    if starts[-1] < len(text):
        found += lattice.windows(text, starts, context)
    return found
