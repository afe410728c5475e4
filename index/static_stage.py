"""The static stage: clears the windows that nothing in the index comes near, before any transformer is asked.

It may clear, never convict. What it cannot judge it leaves to the next stage: windows of which it knows few tokens, and
all windows while an entry has no static vectors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from guard.detector import Evidence, Window
from guard.errors import DetectorUnavailable
from guard.names import Mentions
from guard.policy import Policy, Rule
from guard.verdict import Kind
from index.calibration import clopper_pearson
from index.clearance import FLOOR, Facing, combined, nearest
from index.facts import BriefAnswers
from index.forms import PROMPT_FORMS, Form
from index.mentioned import Mentioned
from index.rulebook import RuleBook
from index.static import StaticModel
from index.static_reader import StaticReader, unit
from index.static_table import StaticTable

DETECTOR: Final = "static"

LEAST_KNOWN: Final = 0.8
"""A window of whose tokens a smaller share is known is never cleared."""

LEAST_RECALL: Final = 0.995
"""The share of what the transformer convicts that the static stage must let through."""

NEAR: Final = 1.0
"""The score of what must not be cleared."""

_STEP: Final = 1e-3

_Cosines = Mapping[str, float]
_NONE: Final[_Cosines] = {}
_NO_LEVELS: Final[Mapping[Kind, float]] = {}


class StaticDetector:
    """Says per kind how near the nearest entry is. Thread-safe: it holds nothing that changes what it says.

    An entry of `rules` without a row in any table counts as near whatever is asked. `mentioned` says what entries name;
    without it, only vectors count. Scores below `least` of their kind are not told. Without `brief`, any brief answer
    to a question that is near is near.
    """

    name = DETECTOR

    def __init__(
        self,
        model: StaticModel,
        tables: Mapping[Form, StaticTable],
        rules: Mapping[str, Rule],
        mentioned: Mentioned | None = None,
        least: Mapping[Kind, float] = _NO_LEVELS,
        *,
        brief: BriefAnswers | None = None,
    ) -> None:
        self._reader, self._tables = StaticReader(model), {form: table for form, table in tables.items() if len(table)}
        self._mentioned, self._least, self._brief = mentioned, least, brief
        self._floor = min([FLOOR, *least.values()])
        seen = frozenset[str]().union(*(table.entries for table in self._tables.values()))
        # A rule book makes each rule when it is asked for: not all of hundreds of thousands at every change.
        self._first = (
            rules.examples if isinstance(rules, RuleBook) else {rule.kind: entry_id for entry_id, rule in rules.items()}
        )
        whole = len(seen) == len(rules)  # tables hold no entry that has no rule
        self._unseen = {} if whole else {rule.kind: e for e, rule in rules.items() if e not in seen}

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
        """Per window the nearest entry of each kind, strongest first."""
        try:
            return self._found(windows)
        except (RuntimeError, MemoryError, ValueError) as cause:
            raise DetectorUnavailable(self.name, type(cause).__name__) from cause

    def _found(self, windows: Sequence[Window]) -> list[list[Evidence]]:
        spoken: dict[str, int] = {}
        paired: dict[tuple[str, str], int] = {}
        texts = [window.text.strip() for window in windows]
        alone = [spoken.setdefault(text, len(spoken)) for text in texts]
        asks = Form.EXCHANGE in self._tables
        pairs = [
            paired.setdefault((window.context, text), len(paired)) if asks and window.context else -1
            for window, text in zip(windows, texts, strict=True)
        ]
        reads = self._reader.windows(list(spoken))
        tables = [self._tables[form] for form in PROMPT_FORMS if form in self._tables]
        own = [table.near(unit(reads), self._floor) for table in tables] if reads else []
        both: Mapping[Kind, Sequence[_Cosines]] = {}
        if paired:
            turns, answers = zip(*paired, strict=True)
            both = self._tables[Form.EXCHANGE].near(unit(self._reader.exchanges(turns, answers)), self._floor)
        kinds = {kind for found in (*own, both) for kind in found}
        contexts: dict[str, Mentions[int]] = {}
        found: list[list[Evidence]] = []
        for window, at, pair in zip(windows, alone, pairs, strict=True):
            facing = Facing(window, texts[len(found)], reads[at].words, self._mentioned, contexts)
            near = {}
            for kind in kinds:
                statement = _joined([table[kind][at] for table in own if kind in table])
                together = both[kind][pair] if pair >= 0 and kind in both else _NONE
                if best := self._nearest(kind, statement, together, facing):
                    near[kind] = best
            found.append(self._evidence(window, near, reads[at].share >= LEAST_KNOWN))
        return found

    def _nearest(self, kind: Kind, statement: _Cosines, together: _Cosines, facing: Facing) -> tuple[float, str] | None:
        """The entry of the highest score; a brief answer may be let through by its exchange, whatever it names."""
        least = self._least.get(kind, -1.0)
        best = nearest(kind, combined(kind, statement, together, facing, self._floor), facing, least)
        if kind is Kind.FACT and together and facing.brief:
            paired = self._paired({e: cosine for e, cosine in together.items() if cosine >= least}, facing.window)
            return paired if best is None or (paired is not None and paired > best) else best
        return best

    def _paired(self, together: _Cosines, window: Window) -> tuple[float, str] | None:
        """The nearest exchange of an entry that says what this brief answer says."""
        if self._brief is not None and together:
            said = self._brief.read(window)
            together = {e: cosine for e, cosine in together.items() if self._brief.penalty(e, said) is not None}
        return max(((cosine, entry_id) for entry_id, cosine in together.items()), default=None)

    def _evidence(self, window: Window, near: dict[Kind, tuple[float, str]], legible: bool) -> list[Evidence]:
        """A window that cannot be read is near to one entry of every kind that there is."""
        near = near | {kind: (NEAR, entry_id) for kind, entry_id in self._unseen.items()}
        if not legible:
            near = near | {kind: (NEAR, entry_id) for kind, entry_id in self._first.items()}
        found = [
            Evidence(entry_id, kind, min(NEAR, score), window.start, window.end)
            for kind, (score, entry_id) in near.items()
        ]
        return sorted(found, key=lambda e: -e.score)


def _joined(found: Sequence[_Cosines]) -> _Cosines:
    """The best of several forms."""
    if len(found) < 2:
        return found[0] if found else _NONE
    best = dict(found[0])
    for cosines in found[1:]:
        for entry_id, cosine in cosines.items():
            best[entry_id] = max(cosine, best.get(entry_id, -1.0))
    return best


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
