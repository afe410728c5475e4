"""The embedding detector: windows become vectors, near vectors become evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np

from guard.detector import Evidence, Window
from guard.errors import DetectorUnavailable
from guard.fingerprint import Shingler
from guard.names import Mentions, agreement, mentions
from guard.policy import Rule
from guard.verdict import Kind
from guard.words import words_of
from index.embedder import Embedder, Vectors
from index.forms import PROMPT_FORMS, SHORTEST_STATEMENT, Form, exchange
from index.matching import Closeness, Scale, score, upper_score
from index.mentioned import hashed
from index.vectors import Hit, VectorTable

DETECTOR: Final = "embedding"

NEAR_MISS: Final = 0.1
"""Entries are looked at closely from this far below the lowest threshold."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a namespace's entries are known by: vectors per form, rules, and what each fact mentions (hashed)."""

    tables: Mapping[Form, VectorTable]
    rules: Mapping[str, Rule]
    mentions: Mapping[str, Mentions[int]]


@dataclass(slots=True)
class _Question:
    """One window on its way: the vectors that ask for it, and the rows near them, per form."""

    window: Window
    words: int
    vectors: dict[Form, Vectors] = field(default_factory=dict)
    hits: dict[Form, list[Hit]] = field(default_factory=dict)


class EmbeddingDetector:
    """Finds the entries that windows come near, in every form. Thread-safe: it holds nothing that changes."""

    name = DETECTOR

    def __init__(self, embedder: Embedder, known: Known, scale: Scale, shingler: Shingler) -> None:
        self._embedder, self._known, self._scale, self._shingler = embedder, known, scale, shingler

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
        """The evidence per window, strongest first: at most one piece per entry, passes included."""
        try:
            questions = self._asked(windows)
            self._search(questions)
            return [self._evidence(question) for question in questions]
        except (RuntimeError, MemoryError) as cause:
            raise DetectorUnavailable(self.name, type(cause).__name__) from cause

    # -- asking -----------------------------------------------------------------------------------------------------

    def _asked(self, windows: Sequence[Window]) -> list[_Question]:
        """Every window with its vectors, computed together."""
        questions = [_Question(window, len(words_of(window.text))) for window in windows]
        asked = [(q, form, text) for q in questions for form, text in self._texts(q)]
        texts = list(dict.fromkeys(text for _, _, text in asked))
        places_of = {text: i for i, text in enumerate(texts)}
        vectors = self._embedder.encode(texts)
        places: dict[tuple[int, Form], list[int]] = {}
        for question, form, text in asked:
            places.setdefault((id(question), form), []).append(places_of[text])
        for question in questions:
            for form in Form:
                if mine := places.get((id(question), form)):
                    question.vectors[form] = vectors[mine]
        return questions

    def _texts(self, question: _Question) -> list[tuple[Form, str]]:
        """What is asked about one window; a text that is too long for one vector asks in pieces."""
        window, tables = question.window, self._known.tables
        texts: list[tuple[Form, str]] = []
        brief = question.words < SHORTEST_STATEMENT and bool(window.context)
        for form in (Form.STATEMENT, Form.TURN):
            if len(tables.get(form, ())) and not brief:
                texts += [(form, piece) for piece in self._embedder.pieces(window.text.strip())]
        if window.context and len(tables.get(Form.EXCHANGE, ())):
            pair = exchange(window.context, window.text)
            texts += [(Form.EXCHANGE, piece) for piece in self._embedder.pieces(pair)]
        return texts

    def _search(self, questions: Sequence[_Question]) -> None:
        """Each table is searched once: a pass over it costs little more for many vectors than for one."""
        for form, table in self._known.tables.items():
            asking = [question for question in questions if form in question.vectors]
            if not asking:
                continue
            vectors = np.concatenate([question.vectors[form] for question in asking])
            lines = iter(table.search(vectors, self._scale.floor - NEAR_MISS))
            for question in asking:
                own = islice(lines, len(question.vectors[form]))
                question.hits[form] = [hit for line in own for hit in line]

    # -- weighing ---------------------------------------------------------------------------------------------------

    def _evidence(self, question: _Question) -> list[Evidence]:
        counters: dict[str, float] = {}
        cosines = {form: _best(hits, counters) for form, hits in question.hits.items()}
        floor = self._scale.floor - NEAR_MISS
        candidates = {e for found in cosines.values() for e, c in found.items() if c >= floor}
        best = max((c, e) for found in cosines.values() for e, c in found.items()) if any(cosines.values()) else None
        if best:
            candidates.add(best[1])
        self._complete(question, cosines, candidates, counters)
        brief = Form.STATEMENT not in question.vectors
        said = _Said(question.window, brief, self._shingler)
        evidence = [
            e
            for entry_id in candidates
            if not _explained(entry_id, cosines, counters) and (e := self._weigh(question, entry_id, cosines, said))
        ]
        return sorted(evidence, key=lambda e: -e.score)

    def _complete(
        self,
        question: _Question,
        cosines: Mapping[Form, dict[str, float]],
        entries: Iterable[str],
        counters: dict[str, float],
    ) -> None:
        """A candidate of one form is compared in the other one too, however far it is there."""
        for form, vectors in question.vectors.items():
            missing = [e for e in entries if e not in cosines[form]]
            if missing:
                cosines[form].update(_best(self._known.tables[form].rows_of(vectors, missing), counters))

    def _weigh(
        self, question: _Question, entry_id: str, cosines: Mapping[Form, Mapping[str, float]], said: _Said
    ) -> Evidence | None:
        rule = self._known.rules.get(entry_id)
        if rule is None:
            return None
        by_form = {form: found[entry_id] for form, found in cosines.items() if entry_id in found}
        alone = max((by_form[form] for form in PROMPT_FORMS if form in by_form), default=None)
        near = Closeness(alone, by_form.get(Form.EXCHANGE), question.words)
        value = upper_score(rule.kind, near)
        if value < -0.5:
            return None
        about = self._known.mentions.get(entry_id)
        if rule.kind is Kind.FACT and about is not None and self._matters(value, rule):
            value = score(rule.kind, near, agreement(about, said.mentions))
        placed = self._scale.placed(max(0.0, value), rule.kind, rule.policy)
        return Evidence(entry_id, rule.kind, placed, question.window.start, question.window.end)

    def _matters(self, value: float, rule: Rule) -> bool:
        return value >= self._scale.wanted(rule.kind, rule.policy) - NEAR_MISS


class _Said:
    """What an exchange mentions, read only when it matters. A brief answer must agree without its question's help."""

    def __init__(self, window: Window, brief: bool, shingler: Shingler) -> None:
        self._texts = (window.text,) if brief else (window.context, window.text)
        self._shingler = shingler
        self._mentions: Mentions[int] | None = None

    @property
    def mentions(self) -> Mentions[int]:
        if self._mentions is None:
            self._mentions = hashed(mentions(*self._texts), self._shingler)
        return self._mentions


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
