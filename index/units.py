"""The units of a namespace's entries, out of what it holds: see `guard.units`. Nothing of its own is kept at rest."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from guard.claims import COMMON, Claims, term_of
from guard.names import plain
from guard.shingler import Shingler
from guard.units import FEWEST_SENTENCES, LEAST_OF_PASSAGE, MOST_SHARING, Extent, Known, Told
from guard.verdict import Kind
from guard.words import words_of
from index.background import exchanges
from index.holding import Holding

FEWEST_EXCHANGES: Final = 2
"""Harmless exchanges that must hold a term for it to tell no fact."""

_SHARED: Final = 3  # sentences up to which a term tells one of them
_RECURS: Final = 3  # sentences that share a name before it is taken for the subject's
_MOST_KEPT: Final = 1 << 15
_LONGEST_KEPT: Final = 32  # characters of a word above which it is not worth keeping


@lru_cache(maxsize=4)
def ordinary_words(shingler: Shingler) -> frozenset[int]:
    """Hashes of words that say nothing in a passage: function words, single letters and digits."""
    words = (*COMMON, *string.ascii_lowercase, *string.digits)
    return frozenset(shingler.terms(word).alone for word in words)


@lru_cache(maxsize=4)
def ordinary_terms(shingler: Shingler) -> frozenset[int]:
    """Hashes of terms that tell no fact: those of the background sample, and of function words."""
    seen: dict[str, int] = {}
    for each in exchanges():
        for term in {term_of(plain(word.norm)) for word in words_of(f"{each.prompt}\n{each.answer}")}:
            seen[term] = seen.get(term, 0) + 1
    terms = {term for term, count in seen.items() if count >= FEWEST_EXCHANGES}
    return frozenset(shingler.terms(term).alone for term in terms | {term_of(word) for word in COMMON})


@dataclass(frozen=True, slots=True)
class _Fact:
    """`subject` are the terms by which its subject is named; where none are known, any name will do. `lone`: a single
    name is all that it has."""

    told: Told
    subject: Set[int]
    lone: bool

    def is_named_by(self, term: int) -> bool:
        return not self.subject or term in self.subject


class EntryUnits:
    """Implements `UnitTable`. Entries are looked up when a text comes near them, and remembered."""

    def __init__(self, holding: Holding, shingler: Shingler) -> None:
        self._holding, self._shingler = holding, shingler
        self._ordinary: Set[int] = ordinary_words(shingler)
        self._known: dict[str, Known] = {}
        self.continues = holding.shingles.continues
        self._facts: dict[str, _Fact | None] = {}
        self._extents: dict[str, Extent] = {}

    def known(self, norm: str) -> Known:
        """See `UnitTable.known`."""
        found = self._known.get(norm)
        if found is None:
            terms = self._shingler.terms(norm)
            name = self._shingler.terms(plain(norm)).alone
            passage = self.continues(terms.alone)
            found = Known(terms, name not in self._ordinary, passage, *self._named(norm, name))
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            if len(norm) <= _LONGEST_KEPT:
                self._known[norm] = found
        return found

    def passages(self, digest: int) -> Sequence[str] | None:
        """See `UnitTable.passages`."""
        return self._holding.shingles.sharers(digest, MOST_SHARING)

    def _named(self, norm: str, name: int) -> tuple[Set[str], Sequence[str]]:
        """The facts whose subject a word names, and those of which it is the only name."""
        owners = self._holding.named.sharers(name, MOST_SHARING) or ()
        if not owners:
            return frozenset(), ()
        term = self._shingler.terms(term_of(plain(norm))).alone
        known = [(entry_id, self._fact(entry_id)) for entry_id in owners]
        mine = [(entry_id, fact) for entry_id, fact in known if fact is not None and fact.is_named_by(term)]
        return frozenset(entry_id for entry_id, _ in mine), [entry_id for entry_id, fact in mine if fact.lone]

    def fact(self, entry_id: str) -> Told | None:
        """See `UnitTable.fact`."""
        found = self._fact(entry_id)
        return None if found is None else found.told

    def _fact(self, entry_id: str) -> _Fact | None:
        if entry_id not in self._facts:
            self._facts[entry_id] = self._read(entry_id)
        return self._facts[entry_id]

    def extent(self, entry_id: str, kind: Kind) -> Extent:
        """See `UnitTable.extent`."""
        known = self._extents.get(entry_id)
        if known is None:
            known = self._extents[entry_id] = self._measured(entry_id, kind)
        return known

    def _measured(self, entry_id: str, kind: Kind) -> Extent:
        if kind is Kind.FACT:
            told = self.fact(entry_id)
            return told.extent if told is not None else Extent(0)
        return Extent(self._holding.lengths.get(entry_id, 0), LEAST_OF_PASSAGE)

    def _read(self, entry_id: str) -> _Fact | None:
        claims, mentions = self._holding.claims.get(entry_id), self._holding.mentions.get(entry_id)
        if claims is None or mentions is None:
            return None
        label = self._labelled(entry_id, mentions.names)
        # More names than are new in it: the question has some, and they are the subject's.
        asked_for = len(mentions.names) > len(claims.names) + len(claims.numbers)
        subject = label or (claims.asked if asked_for else frozenset()) or _recurring(claims)
        lone = len(label or mentions.names) == 1
        told = Told(claims.new - ordinary_terms(self._shingler) - subject)
        if len(claims.parts) >= FEWEST_SENTENCES:
            told = replace(told, sentences=_telling(claims.parts, told.units), count=len(claims.parts))
        return _Fact(told, subject, lone)

    def _labelled(self, entry_id: str, names: Set[int]) -> frozenset[int]:
        """The terms of the names in an entry that its label has too."""
        words = [plain(word.norm) for word in words_of(self._holding.by_entry[entry_id].label)]
        named = (word for word in words if self._shingler.terms(word).alone in names)
        return frozenset(self._shingler.terms(term_of(word)).alone for word in named)


def _recurring(claims: Claims[int]) -> frozenset[int]:
    """The names that most sentences have, or the first one where none recurs; none of a fact of few sentences."""
    if len(claims.parts) < FEWEST_SENTENCES:
        return frozenset()
    seen = Counter(name for part in claims.parts for name in part & claims.names)
    most = max(seen.values(), default=0)
    if most < _RECURS:
        return frozenset(claims.parts[0] & claims.names)
    return frozenset(name for name, count in seen.items() if 2 * count > most)


def _telling(parts: Sequence[Set[int]], units: Set[int]) -> dict[int, int]:
    """Which sentence each term tells: the first that has it, and none when it stands in many."""
    seen = Counter(term for part in parts for term in part)
    told: dict[int, int] = {}
    for number, part in enumerate(parts):
        for term in part & units:
            if seen[term] <= _SHARED:
                told.setdefault(term, number)
    return told
