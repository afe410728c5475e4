"""Keyed hashes of runs of words, made from the hashes of the words.

A word becomes a 61-bit *id*: BLAKE2b under the key, kept in a bounded cache. A run of words w1..wn becomes the value
of a polynomial over the prime field of 2^61 - 1 (Carter and Wegman, Universal classes of hash functions, 1979; the
rolling form is Karp and Rabin's, 1987) at a secret point that the key determines, spread over 64 bits:

    x^n + id(w1) x^(n-1) + ... + id(wn)      so the order of the words counts, and so does their number

A run costs a few multiplications instead of a call of BLAKE2b. It stays keyed: without the key neither the ids nor
the point are known, so a hash confirms no guess. (Whoever holds many hashes *and* the texts of some may solve for the
point and the ids of those texts; hashes at rest are encrypted for that reason.)

Two given different runs of up to 32 words or letters share a hash with probability below 32 / 2^61: among 10^8 hashed
runs, a run of text that is none of them is taken for one with probability below 2 * 10^-9.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple

PRIME: Final = (1 << 61) - 1
_ALL_64: Final = (1 << 64) - 1
_MOST_KEPT: Final = 1 << 15
_LONGEST_KEPT: Final = 32
"""Words whose ids are kept, and characters of a word above which it is not worth keeping."""


class Terms(NamedTuple):
    """What one word adds to the hash of a run: `last` as its last word (its id), `middle` as the one before, `first` as
    the one before that; and `alone`, the hash of the word as a run of its own.
    """

    last: int
    middle: int
    first: int
    alone: int


@dataclass(frozen=True, slots=True)
class Shingler:
    """Hashes runs of normalised words under a key of 16 to 64 bytes: without it a hash confirms nothing."""

    key: bytes = field(repr=False)
    point: int = field(init=False, repr=False, compare=False)
    square: int = field(init=False, repr=False, compare=False)
    cube: int = field(init=False, repr=False, compare=False)
    spread: int = field(init=False, repr=False, compare=False)
    _terms: dict[str, Terms] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not 16 <= len(self.key) <= 64:
            raise ValueError("a fingerprint key has 16 to 64 bytes")
        object.__setattr__(self, "point", self._secret(b"point") % (PRIME - 2) + 2)
        object.__setattr__(self, "square", self.point**2 % PRIME)
        object.__setattr__(self, "cube", self.point**3 % PRIME)
        object.__setattr__(self, "spread", self._secret(b"spread") | 1)

    def _secret(self, purpose: bytes) -> int:
        return int.from_bytes(blake2b(purpose, digest_size=8, key=self.key, person=b"shingler").digest(), "big")

    def terms(self, word: str) -> Terms:
        """What a word, or a letter, adds to a run."""
        known = self._terms.get(word)
        if known is not None:
            return known
        data = word.encode("utf-8", "surrogatepass")
        own = int.from_bytes(blake2b(data, digest_size=8, key=self.key).digest(), "big") % PRIME
        middle = own * self.point % PRIME
        made = Terms(own, middle, middle * self.point % PRIME, self.run((own,)))
        if len(word) <= _LONGEST_KEPT:
            if len(self._terms) >= _MOST_KEPT:
                self._terms.clear()
            self._terms[word] = made
        return made

    def id(self, word: str) -> int:
        """61 bits for one word or letter."""
        return self.terms(word).last

    def run(self, ids: Iterable[int]) -> int:
        """64 bits for a run of ids."""
        value, point = 1, self.point
        for each in ids:
            value = (value * point + each) % PRIME
        return self.spread_out(value)

    def spread_out(self, value: int) -> int:
        """The value of a polynomial as 64 bits, each of which depends on all of it. One to one."""
        value = value * self.spread & _ALL_64
        return value ^ value >> 32

    def two(self, a: Terms, b: Terms) -> int:
        """The same as `run` of two ids."""
        value = (self.square + a[1] + b[0]) % PRIME * self.spread & _ALL_64
        return value ^ value >> 32

    def three(self, a: Terms, b: Terms, c: Terms) -> int:
        """The same as `run` of three ids."""
        value = (self.cube + a[2] + b[1] + c[0]) % PRIME * self.spread & _ALL_64
        return value ^ value >> 32

    def digest(self, words: Sequence[str]) -> int:
        """64 bits for this run of words."""
        return self.run([self.id(word) for word in words])
