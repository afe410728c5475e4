"""Units: what of an entry a growing text says, word by word, in pieces far too short to be a match.

```
    passage   ... the [iron stair and the lamp] of ...       a run of words of one passage. Its units are its words,
                                                             each told from the same word elsewhere by the one before.
    fact      Ada Quill ............ born ... 1971 ...       its subject was named in the turn, or up to `REACH` words
              |<-        in play        ->|                  before. Its units are its names, numbers and words; of one
                                                             with many sentences, the sentences that any of them tells.
```

A fact whose subject nobody named is not recognised, and neither is a run of two words: they are in every text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from guard.claims import term_of
from guard.fingerprint import SHINGLE_WORDS
from guard.names import plain
from guard.numerals import numerals
from guard.shingler import Shingler, Terms
from guard.verdict import Kind
from guard.words import Word, words_of

RUN_WORDS: Final = 3
SURE_WORDS: Final = 4
TELLING_WORDS: Final = 2
"""Words of a run that counts if so many of them say something, and words from which on any counts."""

LEAST_OF_PASSAGE: Final = SHINGLE_WORDS - 1
"""Words of a passage that may leave in any case: so many may stand in one text."""

SHORT_PASSAGE: Final = 36
"""Words below which a passage is soon told by ordinary phrases: its runs must say more to count. Three words must all
say something, four and more two of them."""

FEWEST_SENTENCES: Final = 5
"""Sentences from which on a fact is counted by them."""

MOST_SHARING: Final = 32
"""A run, or a name, that more entries share tells none of them apart."""

REACH: Final = 40
"""Words after its subject was named for which a fact is in play."""

MOST_IN_PLAY: Final = 256
_TAIL: Final = 64
_NUMBER_WORDS: Final = 8
_NUMBER_BITS: Final = 16
_FOR_GOOD: Final = 1 << 60


class Extent(NamedTuple):
    """How many units an entry has, and how many of them may leave in any case; None: as its policy says."""

    size: int
    least: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What tells a fact, hashed. `units` are its terms. `sentences` says which sentence is told by a term, where it is
    counted by them: its number by the term's hash; `count` is how many there are.
    """

    units: Set[int]
    sentences: Mapping[int, int] | None = None
    count: int = 0

    @property
    def extent(self) -> Extent:
        """How many units it has."""
        return Extent(len(self.units)) if self.sentences is None else Extent(self.count, 1)

    def told_by(self, terms: Sequence[int]) -> list[int]:
        """The units that these terms tell."""
        if self.sentences is None:
            return [term for term in terms if term in self.units]
        found = {self.sentences[term] for term in terms if term in self.sentences}
        return [number | number << _NUMBER_BITS for number in found]


NOTHING_ASKED: Final[Mapping[str, Told]] = {}


class Known(NamedTuple):
    """What a word is to the entries of a namespace: what it adds to a run; whether it says something (`counts`) and
    stands in a passage; the facts whose subject it names beside another name (`names`), or by itself (`is_name`): none
    where more than `MOST_SHARING` facts have it.
    """

    terms: Terms
    counts: bool
    passage: bool
    names: Set[str]
    is_name: Sequence[str]


class UnitTable(Protocol):
    """The units of the entries of one namespace."""

    def known(self, norm: str) -> Known:
        """What a word is here."""

    def continues(self, digest: int) -> bool:
        """True when this run of three words is in a passage."""

    def passages(self, digest: int) -> Sequence[str] | None:
        """The passages that hold it; None where more than `MOST_SHARING` do."""

    def fact(self, entry_id: str) -> Told | None:
        """What tells a fact; None when nothing does."""

    def extent(self, entry_id: str, kind: Kind) -> Extent:
        """How many units an entry has."""


class Said(NamedTuple):
    """Units of an entry that a text says with the words from `start` to `end`; `norms` are those words."""

    entry_id: str
    kind: Kind
    units: Sequence[int]
    start: int
    end: int
    norms: Sequence[str]


def subjects(table: UnitTable, shingler: Shingler, turns: Sequence[str]) -> dict[str, Told]:
    """The facts whose subject these texts name."""
    reader = UnitReader(table, shingler)
    for turn in turns:
        reader.hear(turn)
    return reader.subjects


class _Read(NamedTuple):
    word: Word
    known: Known


class UnitReader:
    """Reads one channel word by word. `asked` are facts that are in play from the start (see `subjects`)."""

    def __init__(self, table: UnitTable, shingler: Shingler, asked: Mapping[str, Told] = NOTHING_ASKED) -> None:
        self._table, self._shingler = table, shingler
        self._tail: deque[_Read] = deque(maxlen=_TAIL)
        self._alive = 0  # of the last words, how many stand in a passage
        self._runs: dict[str, int] = {}
        self._counted: set[str] = set()
        self._play = {entry_id: (told, _FOR_GOOD) for entry_id, told in asked.items()}
        self._count = 0

    @property
    def subjects(self) -> dict[str, Told]:
        """The facts that are in play."""
        return {entry_id: told for entry_id, (told, _) in self._play.items()}

    def hear(self, turn: str) -> None:
        """Read a text that is answered, all of it: what it names stays in play."""
        for word in words_of(turn):
            read = _Read(word, self._table.known(word.norm))
            self._tail.append(read)
            if read.known.names:
                self._name(read, _FOR_GOOD)
        self._tail.clear()

    def extent(self, said: Said) -> Extent:
        """How many units the entry has."""
        return self._table.extent(said.entry_id, said.kind)

    def push(self, word: Word) -> list[Said] | None:
        """Take the next word; answer what it completes."""
        known = self._table.known(word.norm)
        read, tail = _Read(word, known), self._tail
        tail.append(read)
        self._count += 1
        found: list[Said] | None = None
        if known.passage:
            self._alive += 1
            if self._alive >= RUN_WORDS:
                digest = self._shingler.three(tail[-3][1][0], tail[-2][1][0], known[0])
                if self._table.continues(digest):
                    found = self._run(digest)
                elif self._runs:
                    self._break()
        elif self._alive:
            self._break()
            self._alive = 0
        if known.names:
            self._name(read, self._count + REACH)
        if self._play:
            found = [*(found or ()), *self._facts(read)]
        return found

    def _break(self) -> None:
        self._runs = {}
        self._counted.clear()

    # -- passages ---------------------------------------------------------------------------------------------------

    def _run(self, digest: int) -> list[Said]:
        """The runs of passages that the last word goes on with; `digest` is that of the last three."""
        holders = self._table.passages(digest)
        before = self._runs
        names = before if holders is None else holders  # what very many share begins no run, and ends none
        self._runs = {name: min(before.get(name, RUN_WORDS - 1) + 1, _TAIL) for name in names}
        self._counted &= self._runs.keys()
        return [said for name, length in self._runs.items() if (said := self._in_run(name, length))]

    def _in_run(self, entry_id: str, length: int) -> Said | None:
        tail = self._tail
        begin = 1
        if entry_id not in self._counted:
            telling = sum(tail[at].known.counts for at in range(-length, 0))
            if not self._says_enough(entry_id, length, telling):
                return None
            self._counted.add(entry_id)
            begin = length
        terms = [tail[at].known.terms for at in range(-length, 0)]
        units = [self._shingler.two(terms[at - 1], terms[at]) for at in range(max(1, length - begin), length)]
        if begin == length:
            units.append(terms[0].alone)  # nothing is known before it
        norms = [tail[at].word.norm for at in range(-length, 0)]
        return Said(entry_id, Kind.PASSAGE, units, tail[-length].word.start, tail[-1].word.end, norms)

    def _says_enough(self, entry_id: str, length: int, telling: int) -> bool:
        if self._table.extent(entry_id, Kind.PASSAGE).size >= SHORT_PASSAGE:
            return length >= SURE_WORDS or telling >= TELLING_WORDS
        return telling >= (TELLING_WORDS if length >= SURE_WORDS else RUN_WORDS)

    # -- facts ------------------------------------------------------------------------------------------------------

    def _name(self, read: _Read, until: int) -> None:
        """Facts whose subject is named by this word, with the one before where it has two names, are in play."""
        for entry_id in read.known.is_name:
            self._put_in_play(entry_id, until)
        before = self._tail[-2] if len(self._tail) > 1 else None
        if before is not None and before.known.names and before.word.norm != read.word.norm:
            for entry_id in read.known.names & before.known.names:
                self._put_in_play(entry_id, until)

    def _put_in_play(self, entry_id: str, until: int) -> None:
        known = self._play.get(entry_id)
        told = known[0] if known is not None else self._table.fact(entry_id)
        if told is None:
            return
        if known is not None:
            until = max(until, known[1])
        elif len(self._play) >= MOST_IN_PLAY:
            del self._play[min(self._play, key=lambda name: self._play[name][1])]
        self._play[entry_id] = (told, until)

    def _term(self, term: str) -> int:
        return self._shingler.terms(term).alone

    def _facts(self, read: _Read) -> list[Said]:
        units = list(self._units(read))
        found: list[Said] = []
        for entry_id, (told, until) in list(self._play.items()):
            if until < self._count:
                del self._play[entry_id]
                continue
            own = told.told_by(units)
            if own:
                word = read.word
                found.append(Said(entry_id, Kind.FACT, own, word.start, word.end, (word.norm,)))
        return found

    def _units(self, read: _Read) -> Iterator[int]:
        """The hashes of the terms that this word says, with those before it where they are one number."""
        yield self._term(term_of(plain(read.word.norm)))
        last = [self._tail[at].word for at in range(-min(_NUMBER_WORDS, len(self._tail)), 0)]
        if any(_is_number(word.norm) for word in last[-2:]):
            for number in numerals("", last)[0]:
                yield self._term(number)


def _is_number(norm: str) -> bool:
    return any(c.isdigit() for c in norm) or bool(numerals("", (Word(norm, 0, len(norm)),))[1])
