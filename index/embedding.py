"""The embedding detector: windows become vectors, near vectors become evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np

from guard.detector import Evidence, Window
from guard.errors import DetectorUnavailable
from guard.fingerprint import Shingler
from guard.policy import Rule
from guard.verdict import Kind
from guard.words import words_of
from index.embedder import Embedder
from index.forms import SHORTEST_STATEMENT, Form, exchange
from index.matching import BRIEF_WORDS, Scale
from index.vectors import FIRST, Hit, VectorTable
from index.weighing import Asked, Weigher

DETECTOR: Final = "embedding"

NEAR_MISS: Final = 0.1
"""Entries are looked at closely from this far below the lowest threshold."""

DOUBTED: Final = 0.05
"""Scores from this far below the lowest threshold matter: a judge, where there is one, is asked about them."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a namespace's entries are known by: vectors per form, rules, and how each kind is weighed."""

    tables: Mapping[Form, VectorTable]
    rules: Mapping[str, Rule]
    weighers: Mapping[Kind, Weigher]


class EmbeddingDetector:
    """Finds the entries that windows come near, in every form. Thread-safe: it holds nothing that changes."""

    name = DETECTOR

    def __init__(self, embedder: Embedder, known: Known, scale: Scale, shingler: Shingler) -> None:
        self._embedder, self._known, self._scale, self._shingler = embedder, known, scale, shingler
        self._pairs = any(weigher.needs_exchanges for weigher in known.weighers.values())

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
        """The evidence per window, strongest first: at most one piece per entry, passes included."""
        try:
            questions = [Asked(window, len(words_of(window.text)), self._shingler) for window in windows]
            self._ask([(q, form, text) for q in questions for form, text in self._alone(q)])
            near = [q for q in questions if self._matters(q)]
            self._ask([(q, Form.EXCHANGE, text) for q in near for text in self._together(q)])
            return [self._evidence(question) for question in questions]
        except (RuntimeError, MemoryError) as cause:
            raise DetectorUnavailable(self.name, type(cause).__name__) from cause

    # -- asking -----------------------------------------------------------------------------------------------------

    def _alone(self, question: Asked) -> list[tuple[Form, str]]:
        """What is asked about one window by itself, and at once with its turn where its turn matters in any case; a
        text that is too long for one vector asks in pieces."""
        window, tables = question.window, self._known.tables
        texts: list[tuple[Form, str]] = []
        if question.words >= SHORTEST_STATEMENT or not window.context:
            for form in (Form.STATEMENT, Form.TURN):
                if len(tables.get(form, ())):
                    texts += [(form, piece) for piece in self._embedder.pieces(window.text.strip())]
        if self._surely(question):
            texts += [(Form.EXCHANGE, text) for text in self._together(question, True)]
        return texts

    def _surely(self, question: Asked) -> bool:
        """True when the turn matters whatever the window says: a few words, or half a sentence, say little alone."""
        return self._pairs or question.words < BRIEF_WORDS or question.window.unfinished

    def _together(self, question: Asked, surely: bool = False) -> Sequence[str]:
        """What is asked about a window with its turn; `surely` says whether this is the first or the second time."""
        window, tables = question.window, self._known.tables
        if not window.context or self._surely(question) is not surely:
            return ()
        if Form.EXCHANGE not in tables or not (len(tables[Form.EXCHANGE]) or self._pairs):
            return ()
        return self._embedder.pieces(exchange(window.context, window.text))

    def _matters(self, question: Asked) -> bool:
        """False when no entry can come near whatever the exchange says: a score is at most the mean of both cosines, a
        passage's that of the statement."""
        if not question.hits:
            return True
        needed = 2.0 * (self._scale.floor - DOUBTED) - 1.0
        for hits in question.hits.values():
            above = [hit for hit in hits if hit.cosine >= needed]
            # Rows that were not found are no nearer than the last of the first ones that were.
            if len(above) >= FIRST or any(hit.row.kind is not Kind.PASSAGE for hit in above):
                return True
        return False

    def _ask(self, asked: Sequence[tuple[Asked, Form, str]]) -> None:
        """Give the questions their vectors, computed together, and what these come near."""
        texts = list(dict.fromkeys(text for _, _, text in asked))
        if not texts:
            return
        places_of = {text: i for i, text in enumerate(texts)}
        vectors = self._embedder.encode(texts)
        places: dict[tuple[int, Form], list[int]] = {}
        askers: dict[Form, dict[int, Asked]] = {}
        for question, form, text in asked:
            places.setdefault((id(question), form), []).append(places_of[text])
            askers.setdefault(form, {})[id(question)] = question
        for form, asking in askers.items():
            for key, question in asking.items():
                question.vectors[form] = vectors[places[key, form]]
            self._search(form, list(asking.values()))

    def _search(self, form: Form, asking: Sequence[Asked]) -> None:
        """Each table is searched once: a pass over it costs little more for many vectors than for one."""
        vectors = np.concatenate([question.vectors[form] for question in asking])
        lines = iter(self._known.tables[form].search(vectors, self._scale.floor - NEAR_MISS))
        for question in asking:
            own = islice(lines, len(question.vectors[form]))
            question.hits[form] = [hit for line in own for hit in line]

    # -- weighing ---------------------------------------------------------------------------------------------------

    def _evidence(self, asked: Asked) -> list[Evidence]:
        counters: dict[str, float] = {}
        cosines = {form: _best(hits, counters) for form, hits in asked.hits.items()}
        floor = self._scale.floor - NEAR_MISS
        candidates = {e for found in cosines.values() for e, c in found.items() if c >= floor}
        best = max((c, e) for found in cosines.values() for e, c in found.items()) if any(cosines.values()) else None
        if best:
            candidates.add(best[1])
        for weigher in self._known.weighers.values():
            candidates.update(weigher.candidates(asked))
        self._complete(asked, cosines, candidates, counters)
        asked.cosines = cosines
        evidence = [
            e
            for entry_id in candidates
            if (self._decided(entry_id) or not _explained(entry_id, cosines, counters))
            and (e := self._weigh(asked, entry_id))
        ]
        return sorted(evidence, key=lambda e: -e.score)

    def _complete(
        self,
        asked: Asked,
        cosines: Mapping[Form, dict[str, float]],
        entries: Iterable[str],
        counters: dict[str, float],
    ) -> None:
        """A candidate of one form is compared in the other one too, however far it is there."""
        for form, vectors in asked.vectors.items():
            missing = [e for e in entries if e not in cosines[form]]
            if missing:
                cosines[form].update(_best(self._known.tables[form].rows_of(vectors, missing), counters))

    def _decided(self, entry_id: str) -> bool:
        rule = self._known.rules.get(entry_id)
        return rule is not None and self._known.weighers[rule.kind].decides(entry_id)

    def _weigh(self, asked: Asked, entry_id: str) -> Evidence | None:
        rule = self._known.rules.get(entry_id)
        if rule is None:
            return None
        value = self._known.weighers[rule.kind].score(asked, rule, self._scale)
        if value is None:
            return None
        placed = self._scale.placed(max(0.0, value), rule.kind, rule.policy)
        return Evidence(entry_id, rule.kind, placed, asked.window.start, asked.window.end)


def _best(hits: Sequence[Hit], counters: dict[str, float]) -> dict[str, float]:
    """The best cosine per entry; those of counterexamples go into `counters`."""
    own: dict[str, float] = {}
    for hit in hits:
        into = counters if hit.row.counter else own
        into[hit.row.entry_id] = max(hit.cosine, into.get(hit.row.entry_id, -1.0))
    return own


def _explained(entry_id: str, cosines: Mapping[Form, Mapping[str, float]], counters: Mapping[str, float]) -> bool:
    """True when a counterexample of the entry is at least as near as anything that the entry stands for."""
    counter = counters.get(entry_id)
    return counter is not None and all(found.get(entry_id, -1.0) <= counter for found in cosines.values())
