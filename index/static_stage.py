"""The static stage: clears the windows that nothing in the index comes near, before any transformer is asked.

It may clear, never convict. What it cannot judge it leaves to the next stage: windows of which it knows few tokens, and
all windows while an entry has no static vectors.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from guard.detector import Evidence, Window
from guard.errors import DetectorUnavailable
from guard.policy import Policy, Rule
from guard.verdict import Kind
from index.calibration import clopper_pearson
from index.embedder import Vectors
from index.forms import PROMPT_FORMS, Form, exchange
from index.static import StaticModel
from index.vectors import Row

DETECTOR: Final = "static"

LEAST_KNOWN: Final = 0.8
"""A window of whose tokens a smaller share is known is never cleared."""

LEAST_RECALL: Final = 0.995
"""The share of what the transformer convicts that the static stage must let through."""

MOST_BLOCKS: Final = 8

NEAR: Final = 1.0
"""The score of what must not be cleared."""

_STEP: Final = 1e-3


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows of one kind: their entries, their vectors [n, dimensions], and what is to be added to each score.

    `shut` is None, or [n] with -inf for the rows of entries that were removed.
    """

    entries: tuple[str, ...]
    matrix: Vectors
    shut: NDArray[np.float32] | None = None

    def without(self, gone: Collection[str]) -> _Block:
        """The same block, the rows of those entries shut."""
        hit = [i for i, entry_id in enumerate(self.entries) if entry_id in gone]
        if not hit:
            return self
        shut = np.zeros(len(self.entries), dtype=np.float32) if self.shut is None else self.shut.copy()
        shut[hit] = -np.inf
        return _Block(self.entries, self.matrix, shut)

    def open(self) -> tuple[list[str], Vectors]:
        """The rows that can be found."""
        if self.shut is None:
            return list(self.entries), self.matrix
        at = np.flatnonzero(np.isfinite(self.shut))
        return [self.entries[i] for i in at], self.matrix[at]


class StaticTable:
    """Static vectors of one form, by kind. Immutable: a change gives a new table that shares the blocks.

    Counterexamples are left out: only a look closer can tell that they explain a window.
    """

    __slots__ = ("_blocks", "entries")

    def __init__(self) -> None:
        self._blocks: Mapping[Kind, tuple[_Block, ...]] = {}
        self.entries: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """Entries that can be found."""
        return len(self.entries)

    def changed(self, removed: Collection[str], rows: Sequence[Row], matrix: Vectors) -> StaticTable:
        """The table without the rows of the entries in `removed`, and with these rows added."""
        if len(rows) != len(matrix):
            raise ValueError(f"{len(rows)} rows for {len(matrix)} vectors")
        table, gone = StaticTable(), frozenset(removed)
        blocks = {kind: tuple(b.without(gone) for b in found) for kind, found in self._blocks.items()}
        for kind in Kind:
            at = [i for i, row in enumerate(rows) if row.kind is kind and not row.counter]
            if at:
                added = _Block(tuple(rows[i].entry_id for i in at), np.ascontiguousarray(matrix[at], dtype=np.float32))
                blocks[kind] = _folded((*blocks.get(kind, ()), added))
        table._blocks = blocks
        table.entries = (self.entries - gone) | {row.entry_id for row in rows if not row.counter}
        return table

    def best(self, queries: Vectors) -> dict[Kind, list[tuple[float, str]]]:
        """Per kind that has rows, the highest score of each query and the entry it belongs to."""
        found: dict[Kind, list[tuple[float, str]]] = {}
        for kind, blocks in self._blocks.items():
            for block in blocks:
                best = _nearest(block, queries)
                known = found.get(kind)
                found[kind] = best if known is None else [max(a, b) for a, b in zip(known, best, strict=True)]
        return {kind: best for kind, best in found.items() if not best or math.isfinite(best[0][0])}


def _folded(blocks: tuple[_Block, ...]) -> tuple[_Block, ...]:
    """Few blocks: the last ones are joined as long as the one before is not much larger."""
    kept = list(blocks)
    while len(kept) > 1 and (len(kept) > MOST_BLOCKS or len(kept[-2].entries) < 2 * len(kept[-1].entries)):
        (first, above), (second, below) = kept[-2].open(), kept[-1].open()
        kept[-2:] = [_Block((*first, *second), np.concatenate([above, below]))]
    return tuple(kept)


def _nearest(block: _Block, queries: Vectors) -> list[tuple[float, str]]:
    scores = queries @ block.matrix.T
    if block.shut is not None:
        scores += block.shut
    at = scores.argmax(axis=1)
    best = scores[np.arange(len(queries)), at].tolist()
    return [(score, block.entries[i]) for score, i in zip(best, at.tolist(), strict=True)]


class StaticDetector:
    """Says per kind how near the nearest entry is. Thread-safe: it holds nothing that changes.

    An entry of `rules` without a row in any table counts as near whatever is asked.
    """

    name = DETECTOR

    def __init__(self, model: StaticModel, tables: Mapping[Form, StaticTable], rules: Mapping[str, Rule]) -> None:
        self._model, self._tables = model, {form: table for form, table in tables.items() if len(table)}
        seen = frozenset[str]().union(*(table.entries for table in self._tables.values()))
        self._first = {rule.kind: entry_id for entry_id, rule in rules.items()}
        self._unseen = {rule.kind: entry_id for entry_id, rule in rules.items() if entry_id not in seen}

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
        """Per window the nearest entry of each kind, strongest first."""
        try:
            return self._found(windows)
        except (RuntimeError, MemoryError, ValueError) as cause:
            raise DetectorUnavailable(self.name, type(cause).__name__) from cause

    def _found(self, windows: Sequence[Window]) -> list[list[Evidence]]:
        asked: dict[str, int] = {}
        alone = [asked.setdefault(window.text.strip(), len(asked)) for window in windows]
        paired: dict[int, int] = {}
        if Form.EXCHANGE in self._tables:
            for i, window in enumerate(windows):
                if window.context:
                    paired[i] = asked.setdefault(exchange(window.context, window.text), len(asked))
        vectors, known = self._model.encode_known(list(asked))
        nearest: list[dict[Kind, tuple[float, str]]] = [{} for _ in windows]
        for form in PROMPT_FORMS:
            self._search(form, dict(enumerate(alone)), vectors, nearest)
        self._search(Form.EXCHANGE, paired, vectors, nearest)
        return [
            self._evidence(window, near, bool(known[at] >= LEAST_KNOWN))
            for window, near, at in zip(windows, nearest, alone, strict=True)
        ]

    def _search(
        self, form: Form, asking: Mapping[int, int], vectors: Vectors, nearest: list[dict[Kind, tuple[float, str]]]
    ) -> None:
        table = self._tables.get(form)
        if table is None or not asking:
            return
        for kind, best in table.best(vectors[list(asking.values())]).items():
            for i, found in zip(asking, best, strict=True):
                nearest[i][kind] = max(found, nearest[i].get(kind, found))

    def _evidence(self, window: Window, near: dict[Kind, tuple[float, str]], legible: bool) -> list[Evidence]:
        """A window that cannot be read is near to one entry of every kind that there is."""
        near = near | {kind: (NEAR, entry_id) for kind, entry_id in self._unseen.items()}
        if not legible:
            near = near | {kind: (NEAR, entry_id) for kind, entry_id in self._first.items()}
        found = [Evidence(entry_id, kind, score, window.start, window.end) for kind, (score, entry_id) in near.items()]
        return sorted(found, key=lambda e: -e.score)


@dataclass(frozen=True, slots=True)
class Clearance:
    """A score below which a window is cleared, and the share of `n` convicted windows that is let through.

    `low..high` is the 95 % Clopper-Pearson interval of that share.
    """

    below: float
    recall: float
    n: int
    low: float
    high: float


def static_clearance(
    scores: Sequence[float], convicted: Sequence[bool], least_recall: float = LEAST_RECALL
) -> Clearance:
    """The highest threshold below which at most a share 1 - `least_recall` of the convicted windows lies.

    `scores` are the static scores of windows, `convicted` says which of them the transformer convicts. Raises
    `ValueError` when it convicts none: then there is nothing to go by.
    """
    ranked = sorted(score for score, hit in zip(scores, convicted, strict=True) if hit)
    if not ranked or not 0.0 < least_recall <= 1.0:
        raise ValueError("a clearance needs convicted windows and a recall above 0 and at most 1")
    lost = math.floor((1.0 - least_recall) * len(ranked) + 1e-9)
    below = round(math.floor(ranked[lost] / _STEP) * _STEP, 3)
    kept = sum(score >= below for score in ranked)
    low, high = clopper_pearson(kept, len(ranked))
    return Clearance(below, kept / len(ranked), len(ranked), low, high)


def authority(
    clear_below: Mapping[Kind, float], calibrated: Mapping[Kind, float], policies: Iterable[Policy]
) -> dict[Kind, float]:
    """`clear_below` without the kinds for which a policy convicts from a lower score than was calibrated."""
    lowered = {
        kind for policy in policies for kind, level in policy.thresholds.items() if level < calibrated.get(kind, 1.0)
    }
    return {kind: below for kind, below in clear_below.items() if kind not in lowered}
