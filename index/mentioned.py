"""Mentions under the store's key: names and words of an entry can be compared without being known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from guard.fingerprint import Shingler
from guard.names import Mentions, names_of, plain
from guard.words import Word

_COUNT_BYTES = 4
_MOST_KEPT: Final = 8192
_LONGEST_KEPT: Final = 32  # characters of a word above which it is not worth keeping

NOTHING: Final[Mentions[int]] = Mentions(frozenset(), frozenset())
"""What is mentioned by what is not known."""


def hashed(found: Mentions[str], shingler: Shingler) -> Mentions[int]:
    """The same mentions as 64-bit keyed hashes."""
    known = {word: shingler.digest((word,)) for word in found.words | found.names}
    return Mentions(frozenset(known[w] for w in found.names), frozenset(known[w] for w in found.words))


def to_bytes(found: Mentions[int]) -> bytes:
    """Hashed mentions as bytes."""
    names, words = (np.array(sorted(known), dtype="<u8").tobytes() for known in (found.names, found.words))
    return len(found.names).to_bytes(_COUNT_BYTES, "little") + names + words


def from_bytes(data: bytes) -> Mentions[int]:
    """The reverse."""
    count = int.from_bytes(data[:_COUNT_BYTES], "little")
    hashes = np.frombuffer(data, dtype="<u8", offset=_COUNT_BYTES).tolist()
    return Mentions(frozenset(hashes[:count]), frozenset(hashes[count:]))


class Mentioned:
    """What entries and texts mention, hashed. Entries and words are remembered when asked for again. Thread-safe: at
    worst something is made twice."""

    def __init__(self, entries: Mapping[str, Mentions[int]], shingler: Shingler) -> None:
        self._entries, self._shingler = entries, shingler
        self._known: dict[str, Mentions[int]] = {}
        self._hashes: dict[str, int] = {}

    def of(self, entry_id: str) -> Mentions[int]:
        """What an entry mentions; `NOTHING` for one of which that is not known."""
        known = self._known
        found = known.get(entry_id)
        if found is None:
            found = self._entries.get(entry_id, NOTHING)
            if len(known) >= _MOST_KEPT:
                self._known = known = {}
            known[entry_id] = found
        return found

    def read(self, text: str, words: Sequence[Word]) -> Mentions[int]:
        """What a text of these words mentions."""
        known, found = self._hashes.get, self._hash
        said = {known(word.norm) or found(word.norm) for word in words}
        return Mentions({found(name) for name in names_of(text, words)}, said)

    def _hash(self, norm: str) -> int:
        hashes = self._hashes
        known = hashes.get(norm)
        if known is None:
            known = self._shingler.terms(plain(norm)).alone
            if len(hashes) >= _MOST_KEPT:
                self._hashes = hashes = {}
            if len(norm) <= _LONGEST_KEPT:
                hashes[norm] = known
        return known
