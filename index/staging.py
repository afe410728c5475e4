"""The stages and reviews that judge one namespace, put together from what it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from guard.cascade import Cascade, Review, Stage
from guard.detector import Detector, Evidence, Window
from guard.fingerprint import FingerprintDetector
from guard.policy import FactScope, InContext, Policy, Rules
from guard.reading import is_lettered
from guard.verdict import PLAIN, Action, Kind, Match, Side
from index.claims import SAME_CLAIM, SURE_CLAIM, ClaimReviewer
from index.concepts import ConceptWeigher
from index.embedder import Vectors
from index.embedding import DOUBTED, EmbeddingDetector, Known
from index.facts import BriefAnswers, FactWeigher
from index.forms import ANSWER_FORMS, PROMPT_FORMS, Form
from index.holding import Holding
from index.matching import Scale
from index.mentioned import Mentioned
from index.passages import PassageWeigher
from index.static import StaticModel
from index.static_stage import StaticDetector, authority
from index.tools import Tools
from index.weighing import Weigher

NOTHING: Final = Cascade(())
"""Judges by nothing: the cascade of a namespace without entries."""

_CERTAIN: Final[Mapping[Kind, float]] = dict.fromkeys(Kind, 1.0)


class DressedPrints(FingerprintDetector):
    """Fingerprints of dressed windows only: the watcher has seen the plain words of an answer already."""

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
        """See `FingerprintDetector.find`."""
        return [() if window.view == PLAIN else self._find(window) for window in windows]


class Worded:
    """A detector that is shown windows of words only: letters in a row mean nothing to an embedding."""

    def __init__(self, detector: Detector) -> None:
        self.name, self._detector = detector.name, detector

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
        """See `Detector.find`; nothing is found in lettered windows."""
        worded = [window for window in windows if not is_lettered(window.view)]
        found = iter(self._detector.find(worded)) if worded else iter(())
        return [() if is_lettered(window.view) else next(found) for window in windows]


def cascade_of(side: Side, namespace: str, holding: Holding, tools: Tools, rules: Rules) -> Cascade:
    """The cascade that judges one side of a namespace."""
    stages = _stages(side, holding, tools)
    reviews = _reviews(namespace, holding, tools, rules) if side is Side.ANSWER else ()
    return Cascade(stages, _sure(rules, side), tuple(reviews)) if stages else NOTHING


def policies_of(holding: Holding) -> list[Policy]:
    """The few distinct policies that the active entries use."""
    return list({rule.policy.name: rule.policy for rule in holding.by_entry.few}.values())


def weighers_of(holding: Holding) -> Mapping[Kind, Weigher]:
    """How each kind of entry is weighed."""
    return {
        Kind.PASSAGE: PassageWeigher(),
        Kind.FACT: FactWeigher(holding.mentions, holding.claims),
        Kind.CONCEPT: ConceptWeigher(holding.concepts),
    }


def _stages(side: Side, holding: Holding, tools: Tools) -> tuple[Stage, ...]:
    stages: list[Stage] = []
    if holding.shingles.lengths:
        prints = DressedPrints if side is Side.ANSWER else FingerprintDetector
        stages.append(Stage(prints(holding.shingles, tools.shingler), convict_at=_CERTAIN, quick=True))
    forms = ANSWER_FORMS if side is Side.ANSWER else PROMPT_FORMS
    tables = {form: holding.tables[form] for form in forms}
    if any(len(table) for table in tables.values()):
        policies = policies_of(holding)
        stages += _static(side, holding, tools, policies)
        scale = Scale.of(tools.calibration.values_of(side), policies)
        known = Known(tables, holding.by_entry, weighers_of(holding))
        detector = EmbeddingDetector(tools.embedder, known, scale, tools.shingler)
        doubt = DOUBTED if tools.judge is not None and side is Side.ANSWER else 0.0
        clear_below = {kind: level - doubt for kind, level in scale.convict_at.items()}
        stages.append(Stage(Worded(detector), scale.convict_at, clear_below))
    return tuple(stages)


def _static(side: Side, holding: Holding, tools: Tools, policies: Sequence[Policy]) -> Iterator[Stage]:
    """The static stage, where it may clear every kind of entry that there is."""
    if tools.static is None or holding.concepts:
        return  # a head may convict what is far from every example
    clear_below = authority(tools.calibration.clear_below, tools.calibration.values_of(side), policies)
    if all(kind in clear_below for kind in holding.by_entry.counts):
        forms = ANSWER_FORMS if side is Side.ANSWER else PROMPT_FORMS
        tables = {form: holding.static[form] for form in forms}
        mentioned = Mentioned(holding.mentions, tools.shingler)
        brief = BriefAnswers(holding.claims, tools.shingler)
        detector = StaticDetector(tools.static, tables, holding.by_entry, mentioned, clear_below, brief=brief)
        yield Stage(Worded(detector), clear_below=clear_below, quick=True)


def glancing(holding: Holding, tools: Tools) -> StaticModel | None:
    """The static model, where it may let text of an answer go: where the static stage may clear it."""
    found = list(_static(Side.ANSWER, holding, tools, policies_of(holding)))
    return tools.static if found else None


def _reviews(namespace: str, holding: Holding, tools: Tools, rules: Rules) -> Iterator[Review]:
    """What confirms or dismisses what the stages suspect in answers."""
    thresholds = tools.calibration.values_of(Side.ANSWER)
    scale = Scale.of(thresholds, policies_of(holding))

    def claimed(evidence: Evidence) -> bool:
        rule = rules.by_entry.get(evidence.entry_id)
        if rule is None or rule.kind is not Kind.FACT or rule.policy.fact_scope is not FactScope.CLAIMS:
            return False
        return evidence.score >= scale.convict_at[Kind.FACT]

    def doubtful(evidence: Evidence) -> bool:
        below = evidence.score < scale.convict_at[evidence.kind]
        return evidence.entry_id in rules.by_entry and (below or claimed(evidence))

    if any(rule.policy.fact_scope is FactScope.CLAIMS for rule in holding.by_entry.few if rule.kind is Kind.FACT):
        reviewer = ClaimReviewer(tools.embedder, _vectors_in(holding), holding.claims, tools.shingler)
        sure = SAME_CLAIM if tools.judge is None else SURE_CLAIM
        yield Review(reviewer, {Kind.FACT: sure}, {Kind.FACT: SAME_CLAIM}, claimed)
    if tools.judge is not None:
        yield tools.judge.review(namespace, rules, doubtful)


def _vectors_in(holding: Holding) -> Callable[[Form, str], Vectors]:
    return lambda form, entry_id: holding.tables[form].vectors_of(entry_id)


def _sure(rules: Rules, side: Side) -> Callable[[Match], bool]:
    """Only a match that blocks is enough: no later one can ask for more. One that may be excused is never enough."""

    def sure(match: Match) -> bool:
        rule = rules.by_entry.get(match.entry_id)
        excusable = rule is not None and rule.policy.in_context is not InContext.SUPPRESS
        return not excusable and rules.decide((match,), side).action is Action.BLOCK

    return sure
