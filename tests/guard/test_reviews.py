"""Reviews confirm or dismiss what the stages suspect; what none can decide follows the policy."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from guard.cascade import Cascade, Finding, Outcome, Review, Stage
from guard.detector import Evidence, Suspect, Window
from guard.errors import DetectorUnavailable
from guard.policy import Disclosure, FactScope, Policy, Rule, Rules, Undecided
from guard.scan import verdict_of
from guard.verdict import Action, Kind, Match, Side
from tests.guard.test_cascade import CLEAR, CONVICT, Scores, judge


class Opinions:
    """A reviewer that gives each entry the score it was built with; an entry without one stays suspect."""

    def __init__(self, name: str, opinions: dict[str, float] | None = None) -> None:
        self.name, self.opinions, self.asked = name, opinions, list[Suspect]()

    def review(self, suspects: Sequence[Suspect]) -> Sequence[Sequence[Evidence]]:
        self.asked += suspects
        if self.opinions is None:
            raise DetectorUnavailable(self.name, "switched off")
        return [
            [
                Evidence(e.entry_id, e.kind, self.opinions[e.entry_id], e.start, e.end)
                for e in suspect.evidence
                if e.entry_id in self.opinions
            ]
            for suspect in suspects
        ]


def reviewed(*reviewers: Opinions, wanted=lambda e: True) -> Cascade:  # type: ignore[no-untyped-def]
    stage = Stage(Scores("embedding"), CONVICT, CLEAR)
    return Cascade((stage,), reviews=tuple(Review(r, {Kind.FACT: 0.6}, {Kind.FACT: 0.4}, wanted) for r in reviewers))


def only(cascade: Cascade, text: str) -> Finding:
    (finding,), _ = judge(cascade, text)
    return finding


def test_a_conviction_that_a_review_confirms_is_the_reviews_match() -> None:
    finding = only(reviewed(Opinions("claims", {"f1": 0.9})), "f1=0.95")
    assert [(m.detector, m.score, m.threshold) for m in finding.matches] == [("claims", 0.9, 0.6)]
    assert not finding.suspects
    assert finding.peaks == {Kind.FACT: 0.95}, "peaks stay on the scale of the stages"


def test_a_conviction_that_a_review_dismisses_is_none() -> None:
    finding = only(reviewed(Opinions("claims", {"f1": 0.1})), "f1=0.95")
    assert not finding.matches
    assert not finding.suspects


def test_what_one_review_cannot_decide_goes_to_the_next() -> None:
    claims, last = Opinions("claims", {"f1": 0.5, "f2": 0.1}), Opinions("judge", {"f1": 1.0})
    finding = only(reviewed(claims, last), "f1=0.95 f2=0.9")
    assert [m.detector for m in finding.matches] == ["judge"]
    assert [[e.entry_id for e in s.evidence] for s in last.asked] == [["f1"]], "what was dismissed is not asked again"


def test_near_the_threshold_is_suspect_and_far_below_is_not() -> None:
    reviewer = Opinions("judge", {"f1": 1.0})
    findings, reports = judge(reviewed(reviewer), "f1=0.5", "f1=0.2", "")
    assert [bool(f.matches) for f in findings] == [True, False, False]
    assert len(reviewer.asked) == 1
    assert reports[1].stage == "judge"
    assert reports[1].outcomes == {Outcome.CONVICT: 1}


def test_evidence_that_no_review_wants_convicts_at_once() -> None:
    reviewer = Opinions("claims", {})
    finding = only(reviewed(reviewer, wanted=lambda e: e.entry_id == "other"), "f1=0.9")
    assert [m.detector for m in finding.matches] == ["embedding"]
    assert not reviewer.asked


def test_the_stage_and_the_reviews_can_run_apart() -> None:
    cascade = reviewed(Opinions("claims", {"f1": 0.9}))
    cases, first = cascade.stage([Window("f1=0.9", 0, 6), Window("f1=0.1", 0, 6)], lambda: 0.0)
    assert [bool(case.suspects) for case in cases] == [True, False]
    second = cascade.review(cases, lambda: 0.0)
    assert [case.finding() for case in cases] == judge(cascade, "f1=0.9", "f1=0.1")[0]
    assert [r.stage for r in (*first, *second)] == ["embedding", "claims"]


def test_a_review_that_fails_leaves_a_conviction_standing_and_a_near_miss_to_the_policy() -> None:
    rules = {kept: Rules(1, {"f1": _rule(kept)}) for kept in Undecided}
    convicted, near = (only(reviewed(Opinions("judge")), text) for text in ("f1=0.9", "f1=0.5"))
    assert all(verdict_of(convicted, told).action is Action.BLOCK for told in rules.values()), "it fails closed"
    assert {kept: verdict_of(near, told).action for kept, told in rules.items()} == {
        Undecided.ALLOW: Action.ALLOW,
        Undecided.FLAG: Action.FLAG,
        Undecided.SUPPRESS: Action.BLOCK,
    }
    assert not verdict_of(near, rules[Undecided.ALLOW]).matches


def test_a_match_can_be_weakened_and_is_then_no_more_than_that() -> None:
    rules = Rules(1, {"f1": _rule(Undecided.ALLOW)})
    match = Match("f1", Kind.FACT, "embedding", 0.9, 0.8, 0, 3)
    for most in (Action.ALLOW, Action.FLAG, Action.BLOCK):
        verdict = rules.decide([match], Side.ANSWER, weaken=lambda m, p, most=most: most)
        assert verdict.action is most
        assert bool(verdict.matches) is (most is not Action.ALLOW)


def test_a_view_goes_with_the_match() -> None:
    cascade = Cascade((Stage(Scores("embedding"), CONVICT, CLEAR),))
    window = Window("f1=0.9", 4, 20, view="base64", places=[(4 + 2 * i, 6 + 2 * i) for i in range(6)])
    (finding,), _ = cascade.judge([window], lambda: 0.0)
    assert [m.view for m in finding.matches] == ["base64"]
    assert window.span(1, 3) == (6, 10)
    assert Window("plain", 4, 9).span(1, 3) == (5, 7)


@pytest.mark.parametrize("field", ["in_context", "fact_scope", "on_undecided", "disclosure"])
def test_a_policy_has_careful_defaults(field: str) -> None:
    assert {
        "in_context": "suppress",
        "fact_scope": FactScope.CLAIMS,
        "on_undecided": Undecided.ALLOW,
        "disclosure": Disclosure.LABEL,
    }[field] == getattr(Policy(), field)


def _rule(kept: Undecided) -> Rule:
    return Rule("f1", Kind.FACT, Policy("p", on_undecided=kept))
