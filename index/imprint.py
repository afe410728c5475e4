"""Imprints: what the index knows an entry by, vectors and fingerprints, and how that is kept as bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import numpy as np

from guard.claims import Claims, claims_of, sentences_of
from guard.fingerprint import Fingerprint, Shingler, fingerprint
from guard.letters import LetterPrint, letter_print
from guard.names import Mentions, mentions
from guard.segments import DEFAULT_RULE, WindowRule
from guard.verdict import Kind
from index.claims import from_bytes as claims_from_bytes
from index.claims import hashed_claims
from index.claims import to_bytes as claims_to_bytes
from index.embedder import Embedder, Vectors
from index.entry import Content
from index.forms import Form, entry_windows, exchange
from index.mentioned import hashed
from index.openings import Codes, codes_of, no_openings, openings_of
from index.openings import from_bytes as openings_from_bytes
from index.openings import to_bytes as openings_to_bytes

_VERSION: Final = 2
READING: Final = 3
"""Raised whenever words, letters, mentions, openings or heads are made in another way than before: what was made by
older code is then made again at start."""

HASH_BYTES: Final = 8
_VECTORS: Final = struct.Struct(
    f"<BIIII{HASH_BYTES}s"
)  # version, rows, dimensions, those of the static model, bytes of the head, static model
_PRINTS: Final = struct.Struct("<BII")  # version, fingerprints, letter prints
_PRINT: Final = struct.Struct("<HII")
_LETTERS: Final = struct.Struct("<HI")
_COUNT: Final = struct.Struct("<I")
_MENTIONED: Final = ("names", "words")
"""The sets of hashes in `Mentions`, in the order in which they are kept."""

_COUNTER: Final = 0x80
_FORMS: Final = tuple(Form)


NOTHING_MENTIONED: Final[Mentions[int]] = Mentions(*(frozenset() for _ in _MENTIONED))


def _none() -> Vectors:
    return np.zeros((0, 0), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Mark:
    """What one vector of an entry stands for."""

    form: Form
    counter: bool = False


HeadMaker = Callable[[Sequence[Mark], Vectors], bytes]
"""Trains a concept's head on its vectors, one row per mark."""


class StaticModel(Protocol):
    """Another, quicker model of the same texts. `encode` gives float32 [n, dimensions], rows of length 1 or 0."""

    @property
    def dimensions(self) -> int: ...

    @property
    def hash(self) -> str:
        """64 hexadecimal digits: vectors of another hash must not be compared with these."""

    def encode(self, texts: Sequence[str]) -> Vectors: ...


def static_key(model: StaticModel) -> bytes:
    """Which static model made the vectors of an imprint, in `HASH_BYTES` bytes."""
    return bytes.fromhex(model.hash)[:HASH_BYTES]


@dataclass(frozen=True, slots=True)
class Imprint:
    """`vectors` has one row per mark; `fingerprints` one per text of a passage, `letters` one per text of a passage
    that is long enough; none for other kinds.

    `mentions` are the names and words of a fact (with its prompt) or a passage, hashed; concepts have none.
    `static` holds the vectors of the static model `static_hash`, one row per mark, or nothing, as (0, 0), when there is
    no such model. `head` is what a concept is weighed by, opaque here; empty for other kinds. `claims` is what a fact
    claims, hashed. `openings` are those of its statements (`index.openings`), by the static model too.
    """

    marks: tuple[Mark, ...]
    vectors: Vectors
    fingerprints: tuple[Fingerprint, ...] = ()
    mentions: Mentions[int] = NOTHING_MENTIONED
    letters: tuple[LetterPrint, ...] = ()
    static: Vectors = field(default_factory=_none)
    static_hash: bytes = bytes(HASH_BYTES)
    head: bytes = b""
    claims: Claims[int] | None = None
    openings: Codes = field(default_factory=no_openings)

    def vector_bytes(self) -> bytes:
        """Marks, both kinds of vectors, the head and the openings as bytes."""
        flags = bytes(_FORMS.index(m.form) | _COUNTER * m.counter for m in self.marks)
        count, dimensions = self.vectors.shape
        top = _VECTORS.pack(_VERSION, count, dimensions, self.static.shape[1], len(self.head), self.static_hash)
        parts = (top, flags, _floats(self.vectors), _floats(self.static), self.head, openings_to_bytes(self.openings))
        return b"".join(parts)

    def fingerprint_bytes(self) -> bytes:
        """Fingerprints, letter runs and mentions as bytes."""
        parts = [_PRINTS.pack(_VERSION, len(self.fingerprints), len(self.letters))]
        for known in self.fingerprints:
            parts.append(_PRINT.pack(known.length, len(known.shingles), len(known.grams)))
            parts += [_packed(known.shingles), _packed(known.grams)]
        for run in self.letters:
            parts += [_LETTERS.pack(run.length, len(run.picks)), _packed(run.picks)]
        for name in _MENTIONED:
            hashes: Set[int] = getattr(self.mentions, name)
            parts += [_COUNT.pack(len(hashes)), _packed(hashes)]
        claims = b"" if self.claims is None else claims_to_bytes(self.claims)
        return b"".join((*parts, claims))

    @classmethod
    def from_bytes(cls, vectors: bytes, fingerprints: bytes) -> Imprint:
        """The reverse. Raises `ValueError` when the bytes are of a version that is not known."""
        _refuse_other_version("vectors", vectors)
        _, count, dimensions, static_dimensions, head_bytes, static_hash = _VECTORS.unpack_from(vectors)
        at = _VECTORS.size
        marks = tuple(Mark(_FORMS[f & ~_COUNTER], bool(f & _COUNTER)) for f in vectors[at : at + count])
        at += count
        matrix = np.frombuffer(vectors, dtype="<f4", offset=at, count=count * dimensions).reshape(count, dimensions)
        at += matrix.nbytes
        rows = count if static_dimensions else 0
        static = np.frombuffer(vectors, dtype="<f4", offset=at, count=rows * static_dimensions)
        at += static.nbytes
        prints, letters, mentioned, rest = _hashes(fingerprints)
        return cls(
            marks=marks,
            vectors=matrix.astype(np.float32),
            fingerprints=prints,
            mentions=mentioned,
            letters=letters,
            static=static.reshape(rows, static_dimensions).astype(np.float32),
            static_hash=static_hash,
            head=vectors[at : at + head_bytes],
            claims=claims_from_bytes(rest) if rest else None,
            openings=openings_from_bytes(vectors[at + head_bytes :]),
        )


def _refuse_other_version(what: str, data: bytes) -> None:
    if data[0] != _VERSION:
        raise ValueError(f"{what} of version {data[0]} cannot be read")


def _floats(matrix: Vectors) -> bytes:
    return matrix.astype("<f4").tobytes()


def _packed(hashes: Set[int]) -> bytes:
    return np.fromiter(sorted(hashes), dtype="<u8", count=len(hashes)).tobytes()


def _hashes(data: bytes) -> tuple[tuple[Fingerprint, ...], tuple[LetterPrint, ...], Mentions[int], bytes]:
    _refuse_other_version("fingerprints", data)
    _, prints, runs = _PRINTS.unpack_from(data)
    at = _PRINTS.size

    def numbers(layout: struct.Struct) -> tuple[int, ...]:
        nonlocal at
        found = layout.unpack_from(data, at)
        at += layout.size
        return found

    def hashes(n: int) -> frozenset[int]:
        nonlocal at
        found = np.frombuffer(data, dtype="<u8", count=n, offset=at)
        at += 8 * n
        return frozenset(found.tolist())

    fingerprints, letters = [], []
    for _ in range(prints):
        length, shingles, grams = numbers(_PRINT)
        fingerprints.append(Fingerprint(length, hashes(shingles), hashes(grams)))
    for _ in range(runs):
        length, picks = numbers(_LETTERS)
        letters.append(LetterPrint(length, hashes(picks)))
    mentioned = [hashes(*numbers(_COUNT)) for _ in _MENTIONED]
    return tuple(fingerprints), tuple(letters), Mentions(*mentioned), data[at:]


@dataclass(frozen=True, slots=True)
class Imprinter:
    """Makes imprints: the texts of many entries are embedded together.

    `static` and `head_maker` may be missing: imprints then have no static vectors, and concepts no head.
    """

    embedder: Embedder
    shingler: Shingler
    rule: WindowRule = DEFAULT_RULE
    static: StaticModel | None = None
    head_maker: HeadMaker | None = None

    @property
    def format(self) -> str:
        """Names what imprints depend on besides the embedder and the rule; ones of another format are made again."""
        return f"imprint{_VERSION}.{READING}"

    def imprint(self, contents: Sequence[tuple[Kind, Content]]) -> list[Imprint]:
        """One imprint per entry."""
        texts: list[str] = []
        marks: list[tuple[Mark, ...]] = []
        for _, content in contents:
            pairs = list(self._texts(content))
            texts += [text for _, text in pairs]
            marks.append(tuple(mark for mark, _ in pairs))
        vectors = self.embedder.encode(texts)
        static = self.static.encode(texts) if self.static else None
        opened = self._openings(contents)
        imprints, at = [], 0
        for (kind, content), own, openings in zip(contents, marks, opened, strict=True):
            rows = slice(at, at + len(own))
            quick = _none() if static is None else static[rows]
            imprints.append(self._imprint(kind, content, own, (vectors[rows], quick, openings)))
            at += len(own)
        return imprints

    def _imprint(
        self, kind: Kind, content: Content, marks: tuple[Mark, ...], matrices: tuple[Vectors, Vectors, Codes]
    ) -> Imprint:
        vectors, static, openings = matrices
        passage = kind is Kind.PASSAGE
        return Imprint(
            marks=marks,
            vectors=vectors,
            fingerprints=self._prints(content) if passage else (),
            mentions=self._mentions(content) if kind is not Kind.CONCEPT else NOTHING_MENTIONED,
            letters=self._letters(content) if passage else (),
            static=static,
            static_hash=static_key(self.static) if self.static else bytes(HASH_BYTES),
            head=self.head_maker(marks, vectors) if self.head_maker and kind is Kind.CONCEPT else b"",
            claims=self._claims(content) if kind is Kind.FACT else None,
            openings=openings,
        )

    def _openings(self, contents: Sequence[tuple[Kind, Content]]) -> Iterator[Codes]:
        """The openings of each entry."""
        if self.static is None:
            yield from (no_openings() for _ in contents)
            return
        texts = [openings_of(kind, content, self.rule) for kind, content in contents]
        codes = codes_of(self.static.encode([text for own in texts for text in own]))
        at = 0
        for own in texts:
            yield codes[at : at + len(own)]
            at += len(own)

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

    def _claims(self, content: Content) -> Claims[int]:
        texts = (content.text, *content.examples)
        found = replace(claims_of(texts, content.prompt), parts=sentences_of(texts, content.prompt))
        return hashed_claims(found, self.shingler)

    def _prints(self, content: Content) -> tuple[Fingerprint, ...]:
        found = (fingerprint(text, self.shingler) for text in (content.text, *content.examples))
        return tuple(known for known in found if known is not None)

    def _letters(self, content: Content) -> tuple[LetterPrint, ...]:
        found = (letter_print(text, self.shingler) for text in (content.text, *content.examples))
        return tuple(known for known in found if known is not None)
