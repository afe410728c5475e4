"""Mentions under the store's key: names and words of an entry can be compared without being known."""

from __future__ import annotations

from guard.fingerprint import Shingler
from guard.names import Mentions


def hashed(found: Mentions[str], shingler: Shingler) -> Mentions[int]:
    """The same mentions as 64-bit keyed hashes."""
    known = {word: shingler.digest((word,)) for word in found.words | found.names}
    return Mentions(frozenset(known[w] for w in found.names), frozenset(known[w] for w in found.words))
