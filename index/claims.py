"""The claims review: does a text that comes near a fact claim what the fact claims, or something else?

Whatever answers the question of a fact comes near it. The review takes the question out of both: of two vectors, only
what lies beyond the vector of the question is compared, and of two texts, only the terms that the question does not
hold. It needs no text of the entry: its vectors and the keyed hashes of its terms (`guard.claims`) are enough.

A score is `1 / (1 + exp(-z))`, where z is a weighted sum of these; `SAME_CLAIM` divides what is told from what is not.
How the weights were found, and what they cost, is in docs/benchmarks.md.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from guard.claims import Agreement, Claims, Stand, claims_of, compare
from guard.detector import Evidence, Suspect, Window
from guard.errors import DetectorUnavailable
from guard.fingerprint import Shingler
from guard.verdict import PLAIN, Kind
from guard.words import words_of
from index.embedder import Embedder, Vectors
from index.forms import TURN_WORDS, Form, exchange

REVIEWER: Final = "claims"

SAME_CLAIM: Final = 0.5
"""From here on a text is taken to claim what the entry claims: 99.5 % of true answers in other words lie above."""

SURE_CLAIM: Final = 0.99
"""From here on hardly a false answer is found: where a judge follows, what lies between the two is its to decide."""

BRIEF: Final = 8
"""Words below which a window with its turn is also judged by its terms: it has little else to be judged by."""


class Measures(NamedTuple):
    """What is measured between a window and a fact that has a question: cosines, then 1 or 0."""

    statement: float  # best cosine of the window to a statement of the entry
    beyond: float  # the same beyond the question
    in_exchange: float  # the same of the exchanges, beyond both questions
    as_a_whole: float  # beyond the question, to the mean of the entry's statements
    other_numbers: float
    new_names: float


WEIGHTS: Final = Measures(2.0, 1.0, 5.0, 10.0, -1.75, -1.05)
"""Found by logistic regression on halves of the authors of TOFU forget10, then rounded."""

ASKED_FOR: Final = -9.5
COMPLETE: Final = 1.0  # the least z of a text with all names and numbers of the entry and no others
# Without a question nothing can be taken out.
UNASKED_STATEMENT: Final = 8.8
UNASKED_AS_A_WHOLE: Final = 16.7
UNASKED_OTHER_NUMBERS: Final = -2.8
UNASKED_NEW_NAMES: Final = -1.45
UNASKED: Final = -18.8
# Of brief answers. Found by logistic regression on the invented facts of bench/claim_samples, then rounded.
BORNE: Final = 5.0
TOLD: Final = 2.5
BRIEF_BEYOND: Final = 4.0
BRIEF_OTHER_NUMBERS: Final = -3.5
BRIEF_OTHER_NAMES: Final = -2.0
BRIEFLY: Final = -4.6
SAME_STAND: Final = 3.0  # z of a bare "Yes." that agrees with the entry, and its negative of one that does not

_COUNTS: Final = struct.Struct("<BB6I")  # version, stand, sizes
_VERSION: Final = 2
_PART: Final = struct.Struct("<I")
_STANDS: Final = tuple(Stand)
_SETS: Final = ("asked", "names", "numbers", "figures", "words", "said")
PART_OF_A_SENTENCE: Final = -2.2
"""Added to z of a window that is part of a sentence: what it leaves out may be what differs, so it must be surer."""

_TINY: Final = 0.05
"""Two questions that differ by less than this are one."""


def hashed_claims(found: Claims[str], shingler: Shingler) -> Claims[int]:
    """The same claims as 64-bit keyed hashes."""
    return found.keyed(lambda term: shingler.digest((term,)))


def to_bytes(claims: Claims[int]) -> bytes:
    """Hashed claims as bytes."""
    sets = [getattr(claims, name) for name in _SETS]
    head = _COUNTS.pack(_VERSION, _STANDS.index(claims.stand), *(len(found) for found in sets))
    parts = b"".join(_PART.pack(len(part)) + _packed(part) for part in claims.parts)
    return head + b"".join(_packed(found) for found in sets) + parts


def _packed(hashes: Set[int]) -> bytes:
    return np.array(sorted(hashes), dtype="<u8").tobytes()


def from_bytes(data: bytes) -> Claims[int]:
    """The reverse. Raises `ValueError` when the bytes are of a version that is not known, or cut short."""
    if len(data) < _COUNTS.size or data[0] not in (1, _VERSION):  # the first version had no parts
        raise ValueError("claims of this version cannot be read")
    _, stand, *counts = _COUNTS.unpack_from(data)
    end = _COUNTS.size + 8 * sum(counts)
    if stand >= len(_STANDS) or len(data) < end:
        raise ValueError("claims were cut short")
    hashes = np.frombuffer(data, dtype="<u8", offset=_COUNTS.size, count=sum(counts)).tolist()
    ends = np.cumsum([0, *counts]).tolist()
    sets: dict[str, frozenset[int]] = {
        name: frozenset(hashes[start:end]) for name, (start, end) in zip(_SETS, pairwise(ends), strict=True)
    }
    return Claims(**sets, stand=_STANDS[stand], parts=tuple(_parts(data, end)))


def _parts(data: bytes, at: int) -> Iterator[frozenset[int]]:
    while at < len(data):
        if len(data) < at + _PART.size:
            raise ValueError("claims were cut short")
        (count,) = _PART.unpack_from(data, at)
        at += _PART.size
        if len(data) < at + 8 * count:
            raise ValueError("claims were cut short")
        yield frozenset(np.frombuffer(data, dtype="<u8", offset=at, count=count).tolist())
        at += 8 * count


@dataclass(frozen=True, slots=True)
class _Said:
    """A window on its way: its vectors, one row per piece, and what it claims. Without a turn, three are missing."""

    window: Window
    words: int
    claims: Claims[int]
    statement: Vectors
    exchange: Vectors | None = None
    turn: Vectors | None = None


class ClaimReviewer:
    """Scores facts that a window comes near by whether it claims what they claim. Thread-safe.

    `vectors` gives the rows of one entry in one form, [n, dimensions], counterexamples left out; `claims` what each
    fact claims, hashed. Evidence of other kinds, of entries whose claims are not known and of dressed windows is left
    out: it stays what it was.
    """

    name = REVIEWER

    def __init__(
        self,
        embedder: Embedder,
        vectors: Callable[[Form, str], Vectors],
        claims: Mapping[str, Claims[int]],
        shingler: Shingler,
    ) -> None:
        self._embedder, self._vectors, self._claims, self._shingler = embedder, vectors, claims, shingler

    def review(self, suspects: Sequence[Suspect]) -> Sequence[Sequence[Evidence]]:
        """See `Reviewer.review`."""
        try:
            return self._reviewed(suspects)
        except (RuntimeError, MemoryError) as cause:
            raise DetectorUnavailable(self.name, type(cause).__name__) from cause

    def _reviewed(self, suspects: Sequence[Suspect]) -> list[list[Evidence]]:
        wanted = [[e for e in suspect.evidence if self._can_judge(suspect.window, e)] for suspect in suspects]
        windows = [suspect.window for suspect, evidence in zip(suspects, wanted, strict=True) if evidence]
        said = iter(self._said(windows) if windows else ())
        found: list[list[Evidence]] = []
        for evidence in wanted:
            if not evidence:
                found.append([])
                continue
            own = next(said)
            found.append([Evidence(e.entry_id, e.kind, self._score(own, e.entry_id), e.start, e.end) for e in evidence])
        return found

    def _can_judge(self, window: Window, evidence: Evidence) -> bool:
        return evidence.kind is Kind.FACT and window.view == PLAIN and evidence.entry_id in self._claims

    def _said(self, windows: Sequence[Window]) -> list[_Said]:
        """Every window with its vectors, computed together."""
        texts: list[str] = []
        places: list[tuple[list[int], list[int], list[int]]] = []

        def asked(text: str) -> list[int]:
            pieces = self._embedder.pieces(text)
            texts.extend(pieces)
            return list(range(len(texts) - len(pieces), len(texts)))

        for window in windows:
            turn = asked(" ".join(window.context.split()[-TURN_WORDS:])) if window.context else []
            pair = asked(exchange(window.context, window.text)) if window.context else []
            places.append((asked(window.text.strip()), pair, turn))
        different = list(dict.fromkeys(texts))
        at = {text: i for i, text in enumerate(different)}
        encoded = self._embedder.encode(different)
        vectors = encoded[[at[text] for text in texts]]
        return [
            _Said(
                window,
                len(words_of(window.text)),
                hashed_claims(claims_of([window.text], window.context), self._shingler),
                vectors[statement],
                vectors[pair] if pair else None,
                vectors[turn] if turn else None,
            )
            for window, (statement, pair, turn) in zip(windows, places, strict=True)
        ]

    # -- weighing ---------------------------------------------------------------------------------------------------

    def _score(self, said: _Said, entry_id: str) -> float:
        """How sure it is that the window claims what the entry claims, 0 to 1."""
        agreement = compare(self._claims[entry_id], said.claims)
        statements = self._vectors(Form.STATEMENT, entry_id)
        if not len(statements):
            return SURE_CLAIM  # nothing to compare: what convicted it stands
        least = COMPLETE if agreement.complete else -math.inf
        part = PART_OF_A_SENTENCE if said.window.part else 0.0
        if not len(self._vectors(Form.TURN, entry_id)):
            return _logistic(max(least, _unasked(said, statements, agreement) + part))
        measures = self._measured(said, entry_id, agreement)
        z = sum(w * m for w, m in zip(WEIGHTS, measures, strict=True)) + ASKED_FOR
        if said.words < BRIEF and said.window.context:
            z = _brief(z, measures.in_exchange, agreement)
        return _logistic(max(least, z + part))

    def measures(self, window: Window, entry_id: str) -> Measures:
        """What a score is made of, for an entry with a question."""
        (said,) = self._said([window])
        return self._measured(said, entry_id, compare(self._claims[entry_id], said.claims))

    def _measured(self, said: _Said, entry_id: str, agreement: Agreement) -> Measures:
        statements, turns = self._vectors(Form.STATEMENT, entry_id), self._vectors(Form.TURN, entry_id)
        exchanges = self._vectors(Form.EXCHANGE, entry_id)
        beyond = _beyond(said.statement, statements, turns)
        together = beyond
        if said.exchange is not None and said.turn is not None and len(exchanges):
            together = _beyond(said.exchange, exchanges, np.concatenate([turns, said.turn]))
        return Measures(
            statement=float((said.statement @ statements.T).max()),
            beyond=beyond,
            in_exchange=together,
            as_a_whole=_beyond(said.statement, _mean(statements), turns),
            other_numbers=float(agreement.numbers_differ),
            new_names=float(agreement.new_names),
        )


def _unasked(said: _Said, statements: Vectors, agreement: Agreement) -> float:
    z = UNASKED_STATEMENT * float((said.statement @ statements.T).max())
    z += UNASKED_AS_A_WHOLE * float((said.statement @ _mean(statements).T).max()) + UNASKED
    return z + UNASKED_OTHER_NUMBERS * agreement.numbers_differ + UNASKED_NEW_NAMES * agreement.new_names


def _brief(z: float, beyond: float, agreement: Agreement) -> float:
    """What a brief answer is worth; `z` is what it would be worth as a statement."""
    if agreement.stands_differ:
        return -SAME_STAND
    if agreement.bare:
        return SAME_STAND if agreement.stands_agree else z
    told = 0.5 if agreement.told is None else agreement.told
    own = BORNE * (agreement.borne or 0.0) + TOLD * told + BRIEF_BEYOND * beyond + BRIEFLY
    own += BRIEF_OTHER_NUMBERS * agreement.numbers_differ
    own += BRIEF_OTHER_NAMES * (agreement.names_differ or agreement.new_names)
    return max(z, own)


def _mean(rows: Vectors) -> Vectors:
    return _unit(rows.mean(axis=0, keepdims=True, dtype=np.float32))


def _beyond(first: Vectors, second: Vectors, turns: Vectors) -> float:
    """The best cosine between two sets of rows after everything in the direction of `turns` is taken out of both."""
    taken = np.zeros((0, turns.shape[1]), dtype=np.float32)
    for turn in turns:
        rest = turn[None] - (turn[None] @ taken.T) @ taken
        if np.linalg.norm(rest) > _TINY:
            taken = np.concatenate([taken, _unit(rest)])
    left = [_unit(rows - (rows @ taken.T) @ taken) for rows in (first, second)]
    return float((left[0] @ left[1].T).max())


def _unit(rows: NDArray[np.floating[Any]]) -> Vectors:
    """The rows at length 1, as float32."""
    lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    unit: Vectors = (rows / lengths).astype(np.float32)
    return unit


def _logistic(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))
