"""Imprints: what the index knows an entry by, vectors and fingerprints, and how that is kept as bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Final

import numpy as np

from guard.fingerprint import Fingerprint, Shingler, fingerprint
from guard.names import Mentions, mentions
from guard.segments import DEFAULT_RULE, WindowRule
from guard.verdict import Kind
from index.embedder import Embedder, Vectors
from index.entry import Content
from index.forms import Form, entry_windows, exchange
from index.mentioned import hashed

_VERSION: Final = 1
_VECTORS: Final = struct.Struct("<BII")
_PRINTS: Final = struct.Struct("<BI")
_PRINT: Final = struct.Struct("<HII")
_MENTIONS: Final = struct.Struct("<II")
_COUNTER: Final = 0x80
_FORMS: Final = tuple(Form)


NOTHING_MENTIONED: Final[Mentions[int]] = Mentions(frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class Mark:
    """What one vector of an entry stands for."""

    form: Form
    counter: bool = False


@dataclass(frozen=True, slots=True)
class Imprint:
    """`vectors` has one row per mark; `fingerprints` one per text of a passage, none for other kinds.

    `mentions` are the names and words of a fact with its prompt, hashed; other kinds are not compared by them.
    """

    marks: tuple[Mark, ...]
    vectors: Vectors
    fingerprints: tuple[Fingerprint, ...] = ()
    mentions: Mentions[int] = NOTHING_MENTIONED

    def vector_bytes(self) -> bytes:
        """Marks and vectors as bytes."""
        flags = bytes(_FORMS.index(m.form) | _COUNTER * m.counter for m in self.marks)
        count, dimensions = self.vectors.shape
        return _VECTORS.pack(_VERSION, count, dimensions) + flags + self.vectors.astype("<f4").tobytes()

    def fingerprint_bytes(self) -> bytes:
        """Fingerprints and mentions as bytes."""
        parts = [_PRINTS.pack(_VERSION, len(self.fingerprints))]
        for known in self.fingerprints:
            parts.append(_PRINT.pack(known.length, len(known.shingles), len(known.grams)))
            parts += [_packed(known.shingles), _packed(known.grams)]
        parts.append(_MENTIONS.pack(len(self.mentions.names), len(self.mentions.words)))
        parts += [_packed(self.mentions.names), _packed(self.mentions.words)]
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, vectors: bytes, fingerprints: bytes) -> Imprint:
        """The reverse. Raises `ValueError` when the bytes are of a version that is not known."""
        version, count, dimensions = _VECTORS.unpack_from(vectors)
        if version != _VERSION:
            raise ValueError(f"vectors of version {version} cannot be read")
        start = _VECTORS.size
        flags = vectors[start : start + count]
        matrix = np.frombuffer(vectors, dtype="<f4", offset=start + count).reshape(count, dimensions)
        marks = tuple(Mark(_FORMS[f & ~_COUNTER], bool(f & _COUNTER)) for f in flags)
        return cls(marks, matrix.astype(np.float32), *_hashes(fingerprints))


def _packed(hashes: Set[int]) -> bytes:
    return np.fromiter(sorted(hashes), dtype="<u8", count=len(hashes)).tobytes()


def _hashes(data: bytes) -> tuple[tuple[Fingerprint, ...], Mentions[int]]:
    version, count = _PRINTS.unpack_from(data)
    if version != _VERSION:
        raise ValueError(f"fingerprints of version {version} cannot be read")
    at = _PRINTS.size

    def hashes(n: int) -> frozenset[int]:
        nonlocal at
        found = np.frombuffer(data, dtype="<u8", count=n, offset=at)
        at += 8 * n
        return frozenset(found.tolist())

    prints = []
    for _ in range(count):
        length, shingles, grams = _PRINT.unpack_from(data, at)
        at += _PRINT.size
        prints.append(Fingerprint(length, hashes(shingles), hashes(grams)))
    names, words = _MENTIONS.unpack_from(data, at)
    at += _MENTIONS.size
    return tuple(prints), Mentions(hashes(names), hashes(words))


@dataclass(frozen=True, slots=True)
class Imprinter:
    """Makes imprints: the texts of many entries are embedded together."""

    embedder: Embedder
    shingler: Shingler
    rule: WindowRule = DEFAULT_RULE

    def imprint(self, contents: Sequence[tuple[Kind, Content]]) -> list[Imprint]:
        """One imprint per entry."""
        texts: list[str] = []
        marks: list[list[Mark]] = []
        for _, content in contents:
            pairs = list(self._texts(content))
            texts += [text for _, text in pairs]
            marks.append([mark for mark, _ in pairs])
        vectors = self.embedder.encode(texts)
        imprints, at = [], 0
        for (kind, content), own in zip(contents, marks, strict=True):
            prints = self._prints(content) if kind is Kind.PASSAGE else ()
            known = self._mentions(content) if kind is Kind.FACT else NOTHING_MENTIONED
            imprints.append(Imprint(tuple(own), vectors[at : at + len(own)], prints, known))
            at += len(own)
        return imprints

    def _texts(self, content: Content) -> Iterator[tuple[Mark, str]]:
        for turn in self.embedder.pieces(content.prompt) if content.prompt else ():
            yield Mark(Form.TURN), turn
        sources = [(text, False) for text in (content.text, *content.examples)]
        sources += [(text, True) for text in content.counterexamples]
        for source, counter in sources:
            for window in entry_windows(source, self.rule):
                for piece in self.embedder.pieces(window):
                    yield Mark(Form.STATEMENT, counter), piece
                if content.prompt:
                    for piece in self.embedder.pieces(exchange(content.prompt, window)):
                        yield Mark(Form.EXCHANGE, counter), piece

    def _mentions(self, content: Content) -> Mentions[int]:
        return hashed(mentions(content.prompt, content.text, *content.examples), self.shingler)

    def _prints(self, content: Content) -> tuple[Fingerprint, ...]:
        found = (fingerprint(text, self.shingler) for text in (content.text, *content.examples))
        return tuple(known for known in found if known is not None)
