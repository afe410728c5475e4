"""The judge as a review: what it is asked, what its answers do, and that it never guesses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from guard.cascade import Cascade, Outcome, Stage
from guard.detector import Evidence, Suspect, Window
from guard.errors import DetectorUnavailable
from guard.policy import Disclosure, Policy, Rule, Rules
from guard.verdict import Kind
from index.entry import Content
from index.errors import EntryUnknown, StoreUnavailable
from server.disclosure import Discloser
from server.judges.judge import JudgeLimits, JudgeOutcome, ModelJudge, Question
from tests.guard.test_cascade import Scores

Answer = float | JudgeOutcome


class Opinions:
    """A model that says of each text what it is told to; remembers what it was asked."""

    inside = False
    version = "opinions 1"

    def __init__(self, opinion: Callable[[Question], Answer]) -> None:
        self.opinion, self.asked, self.closed = opinion, list[Question](), False

    def ask(self, questions: Sequence[Question], timeout_s: float) -> Sequence[Answer]:
        self.asked += questions
        return [self.opinion(question) for question in questions]

    def close(self) -> None:
        self.closed = True


TEXTS = {"f1": "The harbour froze in 1648.", "f2": "The treaty was signed on copper."}


def reveal(namespace: str, entry_id: str) -> Content:
    if entry_id not in TEXTS:
        raise EntryUnknown(entry_id)
    return Content(TEXTS[entry_id])


def rules(disclosure: Disclosure = Disclosure.TEXT, label: str = "harbour") -> Rules:
    policy = Policy(disclosure=disclosure)
    return Rules(1, {name: Rule(name, Kind.FACT, policy, label) for name in ("f1", "f2", "gone")})


class Bench:
    """A judge with its model, outcomes and a clock."""

    def __init__(self, opinion: Callable[[Question], Answer] = lambda q: 1.0, **limits: float) -> None:
        self.model, self.outcomes, self.now = Opinions(opinion), Counter[JudgeOutcome](), 0.0
        self.judge = ModelJudge(
            self.model,
            Discloser(reveal),
            JudgeLimits(**limits),  # type: ignore[arg-type]
            lambda outcome, count: self.outcomes.update({outcome: count}),
            lambda: self.now,
        )

    def review(self, *suspects: Suspect, under: Rules | None = None) -> Sequence[Sequence[Evidence]]:
        return self.judge.review("default", under or rules(), lambda e: True).reviewer.review(suspects)

    def cascade(self) -> Cascade:
        stage = Stage(Scores("embedding"), {Kind.FACT: 0.8}, {Kind.FACT: 0.3})
        return Cascade((stage,), reviews=(self.judge.review("default", rules(), lambda e: e.score < 0.8),))


def suspect(text: str, **scores: float) -> Suspect:
    window = Window(text, 0, len(text), "What happened?")
    return Suspect(window, tuple(Evidence(i, Kind.FACT, s, 1, 2) for i, s in scores.items()))


def test_each_entry_is_asked_about_with_the_window_and_its_turn() -> None:
    bench = Bench(lambda q: 1.0 if "harbour" in q.told.text else 0.0)
    (found,) = bench.review(suspect("It froze.", f1=0.6, f2=0.7))
    assert found == [Evidence("f2", Kind.FACT, 0.0, 1, 2), Evidence("f1", Kind.FACT, 1.0, 1, 2)]
    assert [(q.told.text, q.text, q.context) for q in bench.model.asked] == [
        (TEXTS["f2"], "It froze.", "What happened?"),
        (TEXTS["f1"], "It froze.", "What happened?"),
    ]
    assert bench.outcomes == {JudgeOutcome.SAME: 1, JudgeOutcome.DIFFERENT: 1}


@pytest.mark.parametrize(
    ("score", "outcome", "convicted", "left"),
    [
        (1.0, Outcome.CONVICT, 1, 0),
        (0.75, Outcome.CONVICT, 1, 0),
        (0.74, Outcome.UNDECIDED, 0, 1),
        (0.5, Outcome.UNDECIDED, 0, 1),
        (0.26, Outcome.UNDECIDED, 0, 1),
        (0.25, Outcome.CLEAR, 0, 0),
        (0.0, Outcome.CLEAR, 0, 0),
        (JudgeOutcome.UNPARSABLE, Outcome.UNDECIDED, 0, 1),
        (JudgeOutcome.TIMEOUT, Outcome.ERROR, 0, 1),
        (JudgeOutcome.UNREACHABLE, Outcome.ERROR, 0, 1),
    ],
)
def test_what_an_answer_does_in_the_cascade(score: Answer, outcome: Outcome, convicted: int, left: int) -> None:
    (finding,), reports = Bench(lambda q: score).cascade().judge([Window("f1=0.5", 0, 6)], lambda: 0.0)
    assert reports[1].stage == "judge"
    assert reports[1].outcomes == {outcome: 1}
    assert [m.detector for m in finding.matches] == ["judge"] * convicted
    assert len(finding.suspects) == left


def test_what_the_stages_decided_is_not_asked() -> None:
    bench = Bench()
    bench.cascade().judge([Window("f1=0.9", 0, 6), Window("f1=0.1", 0, 6)], lambda: 0.0)
    assert not bench.model.asked


def test_the_confidence_that_decides_is_a_setting() -> None:
    limits = JudgeLimits(confidence=1.0)
    assert limits.convict_at[Kind.FACT] == 1.0
    assert 0.0 < limits.clear_below[Kind.FACT] < 0.01


def test_the_same_question_is_asked_once() -> None:
    bench = Bench(lambda q: 0.9)
    window = suspect("It froze.", f1=0.6)
    assert bench.review(window, window) == bench.review(window, window)
    assert len(bench.model.asked) == 1
    assert bench.outcomes == {JudgeOutcome.SAME: 1, JudgeOutcome.CACHED: 1}


def test_another_text_of_the_entry_or_another_turn_is_another_question(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(lambda q: 0.9)
    bench.review(suspect("It froze.", f1=0.6))
    monkeypatch.setitem(TEXTS, "f1", "The harbour froze in 1649.")
    bench.review(suspect("It froze.", f1=0.6))
    bench.review(Suspect(Window("It froze.", 0, 9, "And then?"), (Evidence("f1", Kind.FACT, 0.6, 0, 9),)))
    assert len(bench.model.asked) == 3


def test_failures_are_not_remembered() -> None:
    bench = Bench(lambda q: JudgeOutcome.UNPARSABLE)
    for _ in range(2):
        assert bench.review(suspect("It froze.", f1=0.6)) == [[]]
    assert len(bench.model.asked) == 2


def test_over_budget_the_strongest_is_asked_and_the_rest_stays_suspect() -> None:
    bench = Bench(lambda q: 0.9, calls_per_minute=1)
    first, second = bench.review(suspect("It froze.", f1=0.5), suspect("They signed.", f2=0.7))
    assert first == []
    assert [e.entry_id for e in second] == ["f2"]
    assert bench.outcomes == {JudgeOutcome.SAME: 1, JudgeOutcome.OVER_BUDGET: 1}
    bench.now = 61.0
    assert bench.review(suspect("It froze.", f1=0.5))[0]


def test_a_model_that_answers_nothing_makes_the_review_unavailable() -> None:
    bench = Bench(lambda q: JudgeOutcome.TIMEOUT)
    with pytest.raises(DetectorUnavailable, match="judge"):
        bench.review(suspect("It froze.", f1=0.6, f2=0.5))
    half = Bench(lambda q: JudgeOutcome.TIMEOUT if "treaty" in q.told.text else 0.9)
    assert [e.entry_id for e in half.review(suspect("It froze.", f1=0.6, f2=0.5))[0]] == ["f1"]


def test_a_store_that_cannot_be_read_makes_the_review_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(namespace: str, entry_id: str) -> Content:
        raise StoreUnavailable("the disk is gone")

    bench = Bench()
    monkeypatch.setattr(bench.judge, "discloser", Discloser(broken))
    with pytest.raises(DetectorUnavailable):
        bench.review(suspect("It froze.", f1=0.6))


@pytest.mark.parametrize(("disclosure", "label"), [(Disclosure.NONE, "harbour"), (Disclosure.LABEL, "")])
def test_a_model_that_may_know_nothing_is_not_asked(disclosure: Disclosure, label: str) -> None:
    bench = Bench()
    assert bench.review(suspect("It froze.", f1=0.6, f2=0.5), under=rules(disclosure, label)) == [[]]
    assert not bench.model.asked
    assert bench.outcomes == {JudgeOutcome.UNDISCLOSED: 2}


def test_an_entry_that_was_removed_meanwhile_stays_suspect() -> None:
    bench = Bench()
    assert bench.review(suspect("It froze.", gone=0.6, unknown=0.6)) == [[]]
    assert not bench.model.asked


def test_the_log_says_once_that_the_model_fails_and_once_that_it_answers(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Answer] = [JudgeOutcome.TIMEOUT, JudgeOutcome.UNREACHABLE, 0.9, 0.8]
    bench = Bench(lambda q: answers.pop(0), cache_entries=0)
    with caplog.at_level("INFO", "lethe"):
        for n in range(4):
            window = suspect(f"It froze {n}.", f1=0.6)
            if n < 2:
                with pytest.raises(DetectorUnavailable):
                    bench.review(window)
            else:
                bench.review(window)
    assert [record.getMessage() for record in caplog.records] == ["judge_failing", "judge_answers_again"]
    assert "froze" not in caplog.text


def test_a_question_shows_nothing_of_itself() -> None:
    bench = Bench()
    bench.review(suspect("It froze.", f1=0.6))
    (question,) = bench.model.asked
    assert "froze" not in repr(question) + repr(question.told)


def test_closing_the_judge_closes_its_model() -> None:
    bench = Bench()
    bench.judge.close()
    assert bench.model.closed
