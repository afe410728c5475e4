"""Letter runs: what convicts verbatim text whose words are no longer parted as they were.

Spelled out, spaced, hyphenated, one initial per line: the letters of a passage keep their order and lose their words.
So a passage is also known by runs of L letters, hashed under the key. Of each W neighbouring runs one is kept, the one
with the smallest hash (winnowing: Schleimer, Wilkerson and Aiken, Winnowing: local algorithms for document
fingerprinting, SIGMOD 2003), so every shared run of L + W - 1 letters is found, all of it but at most W - 1
letters at either end. The first and the last run are always kept: a whole passage is found from end to end.

A letter is read as in a word, without diacritics; digits do not count, and l is read as i, as they are one in leet.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from guard.detector import Evidence
from guard.shingler import PRIME, Shingler
from guard.verdict import Kind
from guard.words import words_of

RUN_LETTERS: Final = 28
"""L. A passage with fewer letters is known by all of them together. Ordinary answers share runs of up to 24 letters
with novels, and twelve words have 31 letters or more in 999 of 1,000 places of a novel."""

SHORTEST_RUN: Final = 16
"""A passage with fewer letters than this has no letter runs."""

WINNOW: Final = 4
"""W."""

_ASCII_FOLD: Final = str.maketrans("l", "i", "0123456789")


@dataclass(frozen=True, slots=True)
class LetterPrint:
    """One passage: the runs of `length` letters that were kept of it, as 64-bit hashes."""

    length: int
    picks: frozenset[int]


class LetterTable(Protocol):
    """The letter runs of all passages of one namespace."""

    @property
    def letter_lengths(self) -> Sequence[int]:
        """The distinct run lengths, ascending; empty when no passage has letter runs."""

    def letter_entries(self, digest: int) -> Sequence[tuple[str, Kind]]:
        """The entries that hold this run."""


class Letters(NamedTuple):
    """The letters of a text in order; the i-th was read from text[starts[i]:ends[i]]."""

    norms: str
    starts: Sequence[int]
    ends: Sequence[int]


def letters_of(text: str) -> Letters:
    """All letters of a text. In a word that is not plain ASCII each letter has the span of the word."""
    norms: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for norm, start, end in words_of(text):
        if text[start:end].isascii():
            kept = [at for at, char in enumerate(norm, start) if char > "9"]
            norms.append(norm.translate(_ASCII_FOLD))
            starts += kept
            ends += [at + 1 for at in kept]
            continue
        plain = [c for c in unicodedata.normalize("NFKD", norm) if unicodedata.category(c)[0] == "L"]
        norms.append("".join(plain).replace("l", "i"))
        starts += [start] * len(plain)
        ends += [end] * len(plain)
    return Letters("".join(norms), starts, ends)


def _runs(letters: str, length: int, shingler: Shingler) -> list[int]:
    """The hash of each run of `length` letters, in order; each from the one before it."""
    if len(letters) < length:
        return []
    point, spread_out = shingler.point, shingler.spread_out
    known = {letter: shingler.id(letter) for letter in set(letters)}
    leaves = pow(point, length, PRIME)
    leaving = {letter: own * leaves % PRIME for letter, own in known.items()}
    value = 0
    for letter in letters[:length]:
        value = (value * point + known[letter]) % PRIME
    runs = [spread_out(value)]
    for first, last in zip(letters, letters[length:], strict=False):
        value = (value * point + known[last] - leaving[first]) % PRIME
        runs.append(spread_out(value))
    return runs


def letter_print(text: str, shingler: Shingler) -> LetterPrint | None:
    """The letter runs of a passage, or None when it has fewer than `SHORTEST_RUN` letters."""
    letters = letters_of(text).norms
    if len(letters) < SHORTEST_RUN:
        return None
    length = min(RUN_LETTERS, len(letters))
    runs = _runs(letters, length, shingler)
    picks = {min(runs[i : i + WINNOW]) for i in range(len(runs) - WINNOW + 1)}
    return LetterPrint(length, frozenset(picks | {runs[0], runs[-1]}))


def find_letters(text: str, table: LetterTable, shingler: Shingler) -> list[Evidence]:
    """Passages whose letters stand in `text`, with positions in it. Linear in the text per length in the table."""
    if not table.letter_lengths:
        return []
    letters = letters_of(text)
    spans: dict[tuple[str, Kind], list[tuple[int, int]]] = {}
    for length in table.letter_lengths:
        for first, digest in enumerate(_runs(letters.norms, length, shingler)):
            for owner in table.letter_entries(digest):
                spans.setdefault(owner, []).append((letters.starts[first], letters.ends[first + length - 1]))
    return [
        Evidence(entry_id, kind, 1.0, start, end)
        for (entry_id, kind), found in spans.items()
        for start, end in joined(found)
    ]


def joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same stretches of text, in order, with those that touch made one."""
    whole: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(whole[-1][1], end))
        else:
            whole.append((start, end))
    return whole
