"""Screening: what an entry would match among harmless exchanges, before it is kept.

An entry is compared with the background sample by the same weighers that judge live traffic, from the vectors that it
is kept with, so nothing is embedded for it. A concept with a head is judged by what its head scored out of fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from guard.fingerprint import Fingerprint, Shingler
from guard.policy import Policy, Rule
from guard.verdict import Kind
from guard.words import words_of
from index.background import Background, Rows
from index.concepts import ConceptWeigher, concept_of
from index.embedder import Vectors
from index.facts import FactWeigher
from index.forms import Form
from index.imprint import Imprint
from index.matching import Scale
from index.passages import PassageWeigher
from index.score_histogram import Histogram
from index.weighing import Asked, Weigher

LIMIT: Final = 0.005
"""Share of harmless exchanges above which an entry is too broad."""

FEWEST_FOUND: Final = 0.05
"""Share of a concept's own held-out windows below which its examples cannot be told from ordinary text."""

CLOSE: Final = 0.1
"""Windows are weighed exactly from this far below the threshold."""

NEAREST: Final = 3
"""Windows that are weighed exactly in any case."""

_INDISTINCT: Final = (
    "too broad: its examples cannot be told from ordinary text; say something narrower, add examples, or force it"
)
_ROWS: Final = 1024
_ENTRY: Final = "screened"


@dataclass(frozen=True, slots=True)
class Recent:
    """Recent traffic of the entry's kind: of `n` answers, the share whose best score against the entries held now
    reached the new entry's nearest benign score."""

    n: int
    share: float


@dataclass(frozen=True, slots=True)
class Screening:
    """What an entry would match. `nearest` is the highest score of a harmless exchange, on the scale of `threshold`.

    `matched` of `n` exchanges would convict; `reason` says why the entry is too broad, or "". It quotes nothing.
    """

    nearest: float
    threshold: float
    n: int
    matched: int
    recent: Recent | None = None
    reason: str = ""

    @property
    def share(self) -> float:
        """Matched exchanges of all."""
        return self.matched / self.n if self.n else 0.0


@dataclass(slots=True)
class _Found:
    """The nearest benign score, the exchanges that would match, and a reason that is not their number."""

    nearest: float = 0.0
    matched: set[int] = field(default_factory=set)
    reason: str = ""


class Screener:
    """Screens entries against one background. Thread-safe: what it computes late comes out the same for everyone.

    `thresholds` are those of the answer side.
    """

    def __init__(self, background: Background, shingler: Shingler, thresholds: Mapping[Kind, float]) -> None:
        self._background, self._shingler = background, shingler
        self._scale = Scale.of(thresholds, ())
        self._brief = np.full(len(background.windows), True)
        self._brief[background.statements.windows] = False
        self._nothing: Vectors = np.full(len(background.windows), -1.0, dtype=np.float32)
        self._asked: dict[int, Asked] = {}
        self._runs: dict[int, Mapping[int, set[int]]] = {}

    def screen(
        self,
        imprints: Sequence[tuple[Kind, Imprint]],
        recent: Mapping[Kind, Histogram] | None = None,
    ) -> list[Screening]:
        """One screening per imprint. `recent` says how high the answers of recent traffic scored, by kind."""
        return [self._screened(kind, imprint, (recent or {}).get(kind)) for kind, imprint in imprints]

    def _screened(self, kind: Kind, imprint: Imprint, recent: Histogram | None) -> Screening:
        if imprint.head:
            return self._judged(kind, self._by_head(imprint), recent)
        alone = self._cosines(imprint, Form.STATEMENT, self._background.statements)
        paired = self._cosines(imprint, Form.EXCHANGE, self._background.pairs)
        return self._judged(kind, self._weighed(kind, imprint, alone, paired), recent)

    # -- by the weighers --------------------------------------------------------------------------------------------

    def _cosines(self, imprint: Imprint, form: Form, rows: Rows) -> tuple[Vectors, Vectors]:
        """The best cosine of each window to the entry's texts, and to its counterexamples [windows]; -1.0: none."""
        best: tuple[Vectors, Vectors] = (self._nothing.copy(), self._nothing.copy())
        for counter in (False, True):
            mine = [i for i, mark in enumerate(imprint.marks) if mark.form is form and mark.counter is counter]
            for at in range(0, len(mine), _ROWS):
                cosines = (imprint.vectors[mine[at : at + _ROWS]] @ rows.vectors.T).max(axis=0)
                np.maximum.at(best[counter], rows.windows, cosines)
        return best

    def _weighed(
        self, kind: Kind, imprint: Imprint, alone: tuple[Vectors, Vectors], paired: tuple[Vectors, Vectors]
    ) -> _Found:
        found = _Found(matched=self._verbatim(imprint.fingerprints))
        found.nearest = 1.0 if found.matched else 0.0
        own, counters = np.maximum(alone[0], paired[0]), np.maximum(alone[1], paired[1])
        threshold = self._scale.thresholds[kind]
        close = max(NEAREST, int((own >= threshold - CLOSE).sum()))
        weigher, rule = _weigher(kind, imprint), Rule(_ENTRY, kind, Policy())
        for window in np.argsort(-own)[:close].tolist():
            if -1.0 < own[window] <= counters[window]:
                continue  # a counterexample is at least as near
            asked = self._asking(window, float(alone[0][window]), float(paired[0][window]))
            value = weigher.score(asked, rule, self._scale)
            if value is None:
                continue
            found.nearest = max(found.nearest, min(1.0, value))
            if value >= threshold:
                found.matched.add(int(self._background.owners[window]))
        return found

    def _asking(self, window: int, alone: float, paired: float) -> Asked:
        """The window as the detector would ask for it, with the cosines to the entry. Its mentions are read once."""
        before = self._asked.get(window)
        if before is None:
            shown = self._background.windows[window]
            nothing = self._background.statements.vectors[:0]
            vectors = {} if self._brief[window] else {Form.STATEMENT: nothing}
            before = Asked(shown, len(words_of(shown.text)), self._shingler, vectors)
            before.mentions  # noqa: B018  # read here, so that copies have them
            self._asked[window] = before
        cosines: dict[Form, dict[str, float]] = {}
        if alone > -1.0:
            cosines[Form.STATEMENT] = {_ENTRY: alone}
        if paired > -1.0:
            cosines[Form.EXCHANGE] = {_ENTRY: paired}
        return Asked(before.window, before.words, self._shingler, before.vectors, {}, cosines, before.mentions)

    def _verbatim(self, prints: Sequence[Fingerprint]) -> set[int]:
        """The exchanges that hold a run of words of the passage."""
        found: set[int] = set()
        for known in prints:
            if known.length not in self._runs:
                self._runs[known.length] = self._hashed(known.length)
            runs = self._runs[known.length]
            for digest in known.shingles & runs.keys():
                found |= runs[digest]
        return found

    def _hashed(self, length: int) -> Mapping[int, set[int]]:
        """The runs of that many words in the background, and the exchanges that hold them."""
        held: dict[int, set[int]] = {}
        for i, each in enumerate(self._background.exchanges):
            ids = [self._shingler.id(word.norm) for word in words_of(each.answer)]
            for start in range(len(ids) - length + 1):
                held.setdefault(self._shingler.run(ids[start : start + length]), set()).add(i)
        return held

    # -- by a head --------------------------------------------------------------------------------------------------

    def _by_head(self, imprint: Imprint) -> _Found:
        """What the head scored on harmless text that it had not seen: its threshold lies above that."""
        concept = concept_of(imprint)
        if concept is None:
            return _Found()
        nearest = concept.placed(concept.head.peak, self._scale.thresholds[Kind.CONCEPT])
        broad = concept.head.found < FEWEST_FOUND
        return _Found(nearest, reason=_INDISTINCT if broad else "")

    # -- concluding -------------------------------------------------------------------------------------------------

    def _judged(self, kind: Kind, found: _Found, recent: Histogram | None) -> Screening:
        n, matched, threshold = len(self._background.exchanges), len(found.matched), self._scale.thresholds[kind]
        reason = found.reason
        if matched > LIMIT * n:
            reason = (
                f"too broad: it would match {matched} of {n} ordinary exchanges (nearest score {found.nearest:.2f}, "
                f"threshold {threshold:.2f}); make it narrower, or force it"
            )
        seen = None if recent is None or not recent.n else Recent(recent.n, recent.share_from(found.nearest))
        return Screening(found.nearest, threshold, n, matched, seen, reason)


def _weigher(kind: Kind, imprint: Imprint) -> Weigher:
    if kind is Kind.FACT:
        return FactWeigher({_ENTRY: imprint.mentions})
    return PassageWeigher() if kind is Kind.PASSAGE else ConceptWeigher()
