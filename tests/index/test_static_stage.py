"""The static stage clears what nothing comes near; it never convicts, and what it cannot judge it leaves open."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.cascade import Cascade, Outcome, Stage
from guard.detector import Window
from guard.policy import Policy, Rule
from guard.verdict import Kind
from index.forms import Form, exchange
from index.static_stage import NEAR, StaticDetector, StaticTable, authority, static_clearance
from index.vectors import Row

FACT = "Basil Orsk was born in the village of Tern in 1871."
ASKED = "Where was Basil Orsk born?"
PASSAGE = "The lamp keeper counted nineteen gulls upon the harbour wall before the bell rang."
BENIGN = [
    "To sort a list in Python, call sorted with a key function.",
    "Preheat the oven and whisk the eggs with sugar until they are pale.",
    "Here are some tips for writing a better cover letter.",
]


def rule(entry_id: str, kind: Kind) -> Rule:
    return Rule(entry_id=entry_id, kind=kind, policy=Policy())


def table(model, *rows: tuple[str, Kind, str]) -> StaticTable:
    return StaticTable().changed((), [Row(e, k) for e, k, _ in rows], model.encode([text for *_, text in rows]))


@pytest.fixture
def detector(static_model) -> StaticDetector:
    statements = table(static_model, ("f", Kind.FACT, FACT), ("p", Kind.PASSAGE, PASSAGE))
    pairs = table(static_model, ("f", Kind.FACT, exchange(ASKED, FACT)))
    rules = {"f": rule("f", Kind.FACT), "p": rule("p", Kind.PASSAGE)}
    return StaticDetector(static_model, {Form.STATEMENT: statements, Form.EXCHANGE: pairs}, rules)


def window(text: str, context: str = "") -> Window:
    return Window(text, 5, 5 + len(text), context)


def test_it_says_how_near_the_nearest_entry_of_each_kind_is(detector) -> None:
    (found,) = detector.find([window("Basil Orsk was born in Tern, a village, in 1871.")])
    assert [e.entry_id for e in found] == ["f", "p"] and {e.kind for e in found} == {Kind.FACT, Kind.PASSAGE}
    assert found[0].score > 0.8 > found[1].score and found[0].start == 5
    assert detector.find([]) == []


def test_a_short_answer_is_near_only_with_the_turn_that_it_answers(detector) -> None:
    alone, asked = (found[0].score for found in detector.find([window("In Tern."), window("In Tern.", ASKED)]))
    assert asked > alone


def test_batches_and_company_do_not_matter(detector) -> None:
    windows = [window(text, context) for text in (FACT, PASSAGE, *BENIGN) for context in ("", ASKED)]
    together = detector.find(windows)
    for one, found in zip(windows, together, strict=True):
        (alone,) = detector.find([one])
        assert [(e.entry_id, e.kind) for e in alone] == [(e.entry_id, e.kind) for e in found]
        assert [e.score for e in alone] == pytest.approx([e.score for e in found], abs=1e-5)


def test_as_a_stage_it_clears_and_never_convicts(detector) -> None:
    stage = Stage(detector, clear_below={Kind.FACT: 0.4, Kind.PASSAGE: 0.5})
    windows = [window(FACT), window(PASSAGE), *map(window, BENIGN)]
    findings, (report,) = Cascade((stage,)).judge(windows, lambda: 0.0)
    assert report.outcomes == {Outcome.UNDECIDED: 2, Outcome.CLEAR: len(BENIGN)}
    assert not any(f.matches or f.failed or f.peaks for f in findings)


def test_text_of_unknown_tokens_is_never_cleared(detector) -> None:
    stage = Stage(detector, clear_below={Kind.FACT: 0.99, Kind.PASSAGE: 0.99})
    for text in ("ꙮꙮ ꙮꙮꙮ ꙮꙮ ꙮꙮꙮ", "", "Orsk ꙮꙮ ꙮꙮꙮ"):
        (found,) = detector.find([window(text)])
        assert {e.kind for e in found} == {Kind.FACT, Kind.PASSAGE} and all(e.score == NEAR for e in found)
        findings, _ = Cascade((stage,)).judge([window(text)], lambda: 0.0)
        assert findings[0].undecided


def test_an_entry_without_static_vectors_keeps_everything_open(static_model) -> None:
    rules = {"f": rule("f", Kind.FACT), "g": rule("g", Kind.FACT)}
    tables = {Form.STATEMENT: table(static_model, ("f", Kind.FACT, FACT))}
    for found in StaticDetector(static_model, tables, rules).find([window(text) for text in BENIGN]):
        assert found[0].entry_id == "g" and found[0].score == NEAR


def test_a_counterexample_makes_nothing_nearer(static_model) -> None:
    rows = [Row("f", Kind.FACT), Row("f", Kind.FACT, counter=True)]
    known = StaticTable().changed((), rows, static_model.encode([FACT, BENIGN[0]]))
    ((score, _),) = known.best(static_model.encode([BENIGN[0]]))[Kind.FACT]
    assert score < 0.5


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.integers(1, 5)), min_size=1, max_size=25), st.integers())
def test_a_changed_table_finds_what_a_search_of_all_rows_finds(steps, seed) -> None:
    draw = np.random.default_rng(abs(seed))
    live: dict[str, np.ndarray] = {}
    found = StaticTable()
    for number, drop, count in steps:
        entry_id = f"e{number}"
        live.pop(entry_id, None)
        if drop:
            found = found.changed({entry_id}, [], np.zeros((0, 4), dtype=np.float32))
            continue
        live[entry_id] = draw.standard_normal((count, 4)).astype(np.float32)
        found = found.changed({entry_id}, [Row(entry_id, Kind.FACT)] * count, live[entry_id])
    queries = draw.standard_normal((3, 4)).astype(np.float32)
    assert found.entries == set(live)
    if not live:
        assert found.best(queries) == {}
        return
    for query, (score, entry_id) in zip(queries, found.best(queries)[Kind.FACT], strict=True):
        scores = {e: float((rows @ query).max()) for e, rows in live.items()}
        assert score == pytest.approx(max(scores.values()), abs=1e-4)
        assert scores[entry_id] == pytest.approx(score, abs=1e-4)


def test_a_clearance_is_the_highest_that_keeps_the_recall() -> None:
    scores = [i / 1000 for i in range(1000)]
    found = static_clearance(scores, [True] * 1000)
    assert found.below == 0.005 and found.recall == 0.995 and found.n == 1000
    assert found.low < 0.995 < found.high
    few = static_clearance([0.9, 0.1, 0.4456], [True, False, True])
    assert few.below == 0.445 and few.recall == 1.0 and few.low < 0.5
    with pytest.raises(ValueError, match="convicted"):
        static_clearance([0.1], [False])


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=300), st.sampled_from([0.9, 0.995, 1.0]))
def test_a_clearance_never_loses_more_than_it_may(scores, recall) -> None:
    found = static_clearance(scores, [True] * len(scores), recall)
    assert found.recall >= recall - 1e-9 and found.low <= found.recall <= found.high


def test_a_policy_that_convicts_from_lower_takes_the_authority_away() -> None:
    clear, calibrated = {Kind.FACT: 0.3, Kind.PASSAGE: 0.4}, {Kind.FACT: 0.7, Kind.PASSAGE: 0.75}
    assert authority(clear, calibrated, [Policy()]) == clear
    lower, higher = Policy(thresholds={Kind.FACT: 0.6}), Policy(thresholds={Kind.PASSAGE: 0.8})
    assert authority(clear, calibrated, [lower, higher]) == {Kind.PASSAGE: 0.4}
