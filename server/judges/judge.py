"""The judge: the last review of the cascade, a model that is asked about what nothing else could decide.

```
    suspect --> what may be told? --> asked before? --> calls left? --> the model --> score 0..1
                 | undisclosed         | cached          | over_budget   | timeout, unparsable, unreachable
                 v                     v                 v               v
                 stays suspect         its score         stays suspect   stays suspect
```
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from guard.cascade import Review
from guard.detector import Evidence, Suspect
from guard.errors import DetectorUnavailable
from guard.policy import Rules
from guard.verdict import Kind
from index.errors import StoreUnavailable, WrongKey
from server.disclosure import Discloser, Told
from server.judges.budget import CallBudget, ScoreCache
from server.logs import record

NAME: Final = "judge"
"""The name of the stage."""


class JudgeOutcome(StrEnum):
    """What came of one question."""

    SAME = "same"
    DIFFERENT = "different"
    UNSURE = "unsure"
    CACHED = "cached"
    UNDISCLOSED = "undisclosed"
    OVER_BUDGET = "over_budget"
    TIMEOUT = "timeout"
    UNPARSABLE = "unparsable"
    UNREACHABLE = "unreachable"
    TOO_LONG = "too_long"


FAILURES: Final = frozenset({JudgeOutcome.TIMEOUT, JudgeOutcome.UNREACHABLE})
"""Outcomes that say that the model is out of order."""


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """Does `text`, said in answer to `context`, tell what `told` describes? Its repr shows nothing."""

    told: Told
    text: str
    context: str = ""

    def __repr__(self) -> str:
        return "Question(…)"

    def parts(self) -> Iterator[str]:
        """All that the answer depends on."""
        told = self.told
        yield from (told.kind.value, told.label, told.text, told.prompt, str(len(told.examples)), *told.examples)
        yield from (self.text, self.context)


class JudgeModel(Protocol):
    """A model that can be asked. Thread-safe and synchronous.

    `inside` says that it runs in this process, so that asking it discloses nothing. `version` names all that its
    answers depend on. `ask` answers per question how sure it is that both say the same (0 to 1), or why it cannot
    tell; it never raises and takes `timeout_s` at most, unless it computes here.
    """

    @property
    def inside(self) -> bool: ...
    @property
    def version(self) -> str: ...
    def ask(self, questions: Sequence[Question], timeout_s: float) -> Sequence[float | JudgeOutcome]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class JudgeLimits:
    """`timeout_s` is for all questions about one text; `confidence` is what the model needs to decide, 0 to 1."""

    timeout_s: float = 2.0
    calls_per_minute: int = 120
    cache_entries: int = 10_000
    confidence: float = 0.5

    @property
    def convict_at(self) -> Mapping[Kind, float]:
        """Scores from which the judge convicts."""
        return dict.fromkeys(Kind, 0.5 + self.confidence / 2)

    @property
    def clear_below(self) -> Mapping[Kind, float]:
        """Scores below which the judge clears."""
        return dict.fromkeys(Kind, 0.5 - self.confidence / 2 + 1e-9)


def _ignore(outcome: JudgeOutcome, count: int) -> None:
    return None


class ModelJudge:
    """Asks a model within its budget. One for all namespaces; thread-safe.

    `count` is told how many questions ended how. `clock` gives seconds.
    """

    def __init__(
        self,
        model: JudgeModel,
        discloser: Discloser,
        limits: JudgeLimits,
        count: Callable[[JudgeOutcome, int], None] = _ignore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model, self.discloser, self.limits = model, discloser, limits
        self._count = count
        self._budget = CallBudget(limits.calls_per_minute, clock)
        self._cache = ScoreCache(limits.cache_entries)
        self._lock = threading.Lock()
        self._failing = False

    def close(self) -> None:
        """Give back what the model holds."""
        self.model.close()

    def review(self, namespace: str, rules: Rules, wanted: Callable[[Evidence], bool]) -> Review:
        """The judge as the review of one namespace. `wanted` says which evidence it is asked about."""
        reviewer = NamespaceJudge(self, namespace, rules)
        return Review(reviewer, self.limits.convict_at, self.limits.clear_below, wanted)

    def scores(self, questions: Sequence[Question]) -> list[float | JudgeOutcome]:
        """How sure the model is that each question's text says the same as its entry, or why that is not known.

        What was asked before is not asked again; what exceeds the budget is not asked.
        """
        keys = [self._cache.key((self.model.version, *question.parts())) for question in questions]
        answers: dict[bytes, float | JudgeOutcome] = {}
        outcomes: Counter[JudgeOutcome] = Counter()
        asked: dict[bytes, Question] = {}
        for key, question in zip(keys, questions, strict=True):
            if key in answers or key in asked:
                continue
            if (score := self._cache.get(key)) is not None:
                answers[key] = score
                outcomes[JudgeOutcome.CACHED] += 1
            elif self._budget.take():
                asked[key] = question
            else:
                answers[key] = JudgeOutcome.OVER_BUDGET
                outcomes[JudgeOutcome.OVER_BUDGET] += 1
        told = self.model.ask(list(asked.values()), self.limits.timeout_s) if asked else ()
        for key, answer in zip(asked, told, strict=True):
            answers[key] = answer
            outcomes[self._outcome(answer)] += 1
            if not isinstance(answer, JudgeOutcome):
                self._cache.put(key, answer)
        self.tell(outcomes)
        return [answers[key] for key in keys]

    def tell(self, outcomes: Mapping[JudgeOutcome, int]) -> None:
        """Count outcomes, and log when the model begins or ceases to fail."""
        for outcome, count in outcomes.items():
            self._count(outcome, count)
        failed = sorted(outcome.value for outcome in FAILURES & outcomes.keys())
        if not failed and not outcomes.keys() & {JudgeOutcome.SAME, JudgeOutcome.DIFFERENT, JudgeOutcome.UNSURE}:
            return
        with self._lock:
            changed, self._failing = self._failing != bool(failed), bool(failed)
        if changed and failed:
            record("judge_failing", logging.WARNING, fields={"reasons": ",".join(failed)})
        elif changed:
            record("judge_answers_again")

    def _outcome(self, answer: float | JudgeOutcome) -> JudgeOutcome:
        if isinstance(answer, JudgeOutcome):
            return answer
        if answer >= self.limits.convict_at[Kind.FACT]:
            return JudgeOutcome.SAME
        return JudgeOutcome.DIFFERENT if answer < self.limits.clear_below[Kind.FACT] else JudgeOutcome.UNSURE


class NamespaceJudge:
    """The judge as a reviewer of one namespace under its rules."""

    def __init__(self, judge: ModelJudge, namespace: str, rules: Rules) -> None:
        self.name = NAME
        self._judge, self._namespace, self._rules = judge, namespace, rules

    def review(self, suspects: Sequence[Suspect]) -> Sequence[Sequence[Evidence]]:
        """The evidence that the model could decide, re-scored; the strongest is asked about first."""
        found: list[list[Evidence]] = [[] for _ in suspects]
        asked = sorted(
            ((at, e) for at, suspect in enumerate(suspects) for e in suspect.evidence), key=lambda pair: -pair[1].score
        )
        told = self._told({e.entry_id for _, e in asked})
        puttable = [(at, e, known) for at, e in asked if (known := told.get(e.entry_id))]
        if hidden := len(asked) - len(puttable):
            self._judge.tell({JudgeOutcome.UNDISCLOSED: hidden})
        windows = [suspect.window for suspect in suspects]
        questions = [Question(t.near(windows[at].text), windows[at].text, windows[at].context) for at, _, t in puttable]
        scores = self._judge.scores(questions)
        if scores and all(score in FAILURES for score in scores):
            raise DetectorUnavailable(self.name, "the judge model does not answer")
        for (at, e, _), score in zip(puttable, scores, strict=True):
            if not isinstance(score, JudgeOutcome):
                found[at].append(Evidence(e.entry_id, e.kind, score, e.start, e.end))
        return found

    def _told(self, entry_ids: set[str]) -> dict[str, Told]:
        told: dict[str, Told] = {}
        try:
            for entry_id in entry_ids:
                rule = self._rules.by_entry.get(entry_id)
                known = self._judge.discloser.told(self._namespace, rule, self._judge.model.inside) if rule else None
                if known is not None:
                    told[entry_id] = known
        except (StoreUnavailable, WrongKey):
            raise DetectorUnavailable(self.name, "the entries cannot be read") from None
        return told
