"""The static stage clears what nothing comes near; it never convicts, and what it cannot judge it leaves open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.cascade import Cascade, Outcome, Stage
from guard.claims import claims_of
from guard.detector import Window
from guard.names import Mentions, mentions
from guard.policy import Policy, Rule
from guard.verdict import Kind
from index.claims import hashed_claims
from index.clearance import DRESSED, UNNAMED, UNNAMED_AT_MOST
from index.facts import BriefAnswers
from index.forms import Form, exchange
from index.mentioned import Mentioned, hashed
from index.static_stage import NEAR, StaticDetector, authority, static_clearance
from index.static_table import LARGE, StaticTable
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


def test_a_fact_that_the_window_does_not_name_must_be_nearer(static_model, shingler) -> None:
    named, other = "Basil Orsk was born in Tern.", "Mara Quill was born in Tull."
    same, unlike = (cleared_by(static_model, shingler, Kind.FACT, FACT, text) for text in (named, other))
    (bare,) = StaticDetector(*parts(static_model, Kind.FACT, FACT)).find([window(other)])
    assert same > unlike and bare[0].score > unlike
    assert bare[0].score - unlike == pytest.approx(min(UNNAMED, UNNAMED_AT_MOST), abs=0.01)


def test_a_name_in_the_turn_counts(static_model, shingler) -> None:
    model, tables, rules = parts(static_model, Kind.FACT, FACT, ASKED)
    detector = StaticDetector(model, tables, rules, Mentioned({"e": of(shingler, ASKED, FACT)}, shingler))
    told, untold = detector.find([window("He was born in a small village in that year.", turn) for turn in (ASKED, "")])
    assert told[0].score > untold[0].score + 0.2


def test_a_brief_answer_is_let_through_by_its_exchange_whatever_it_names(static_model, shingler) -> None:
    model, tables, rules = parts(static_model, Kind.FACT, FACT, ASKED)
    detector = StaticDetector(model, tables, rules, Mentioned({"e": of(shingler, ASKED, FACT)}, shingler))
    (found,) = detector.find([window("In 1958.", ASKED)])
    ((pair,),) = static_model.encode([exchange(ASKED, "In 1958.")]) @ static_model.encode([exchange(ASKED, FACT)]).T
    assert found[0].score >= pair - 1e-4


def test_a_fact_that_is_unmistakable_needs_no_names(static_model, shingler) -> None:
    score = cleared_by(static_model, shingler, Kind.FACT, FACT, FACT.replace("Basil", "Cosmo"))
    assert score >= 0.36


def test_a_fact_that_names_nothing_needs_shared_words(static_model, shingler) -> None:
    generic = "The author often explores themes of isolation and the human spirit."
    same = "The themes that the author explores are often isolation and the spirit of humans."
    other = "The writers of the time examined solitude, society and the soul."
    told, unlike = (cleared_by(static_model, shingler, Kind.FACT, generic, text) for text in (same, other))
    (bare,) = StaticDetector(*parts(static_model, Kind.FACT, generic)).find([window(other)])
    assert told > 0.8 and unlike < bare[0].score - 0.05


def test_a_brief_answer_that_says_something_else_is_cleared(static_model, shingler) -> None:
    model, tables, rules = parts(static_model, Kind.FACT, FACT, ASKED)
    claims = {"e": hashed_claims(claims_of([FACT], ASKED), shingler)}
    mentioned, least = Mentioned({"e": of(shingler, ASKED, FACT)}, shingler), {Kind.FACT: 0.35}
    detector = StaticDetector(model, tables, rules, mentioned, least, brief=BriefAnswers(claims, shingler))
    right, wrong = detector.find(
        [window("Born in Tern, in 1871.", ASKED), window("Nobody really can know that.", ASKED)]
    )
    assert right and right[0].score >= 0.35
    assert not wrong


def test_a_passage_needs_shared_words_or_names_more_than_a_few_like_ones(static_model, shingler) -> None:
    near = "The keeper of the lamp counted nineteen gulls upon the wall of the harbour."
    far = "Lighthouses guide boats into ports at night."
    same, unlike = (cleared_by(static_model, shingler, Kind.PASSAGE, PASSAGE, text) for text in (near, far))
    assert same > 0.8 and unlike < 0.3
    (unknown,) = StaticDetector(*parts(static_model, Kind.PASSAGE, PASSAGE)).find([window(far)])
    assert unlike < unknown[0].score < same


def test_what_is_left_of_a_dress_is_judged_more_carefully(static_model, shingler) -> None:
    model, tables, rules = parts(static_model, Kind.PASSAGE, PASSAGE)
    detector = StaticDetector(model, tables, rules, Mentioned({"e": of(shingler, PASSAGE)}, shingler))
    text = "the keeper counted gulls upon a wall until some bell rang"
    dressed = Window(text, 0, len(text), view="reversed")
    plain, taken_off = detector.find([Window(text, 0, len(text)), dressed])
    assert taken_off[0].score == pytest.approx(plain[0].score + DRESSED, abs=1e-5)


def test_many_entries_do_not_change_what_one_scores(static_model, shingler) -> None:
    many = [f"The {a} {b} lay upon the {c}." for a in COLOURS for b in THINGS for c in PLACES]
    matrix = static_model.encode([FACT, *many])
    rows = [Row("f", Kind.FACT), *(Row(f"e{i}", Kind.FACT) for i in range(len(many)))]
    assert len(rows) > LARGE
    crowd = {Form.STATEMENT: StaticTable().changed((), rows, matrix)}
    mentioned = Mentioned({"f": of(shingler, FACT)}, shingler)
    one = StaticDetector(*parts(static_model, Kind.FACT, FACT, name="f"), mentioned)
    all_of_them = StaticDetector(
        static_model, crowd, {row.entry_id: rule(row.entry_id, Kind.FACT) for row in rows}, mentioned
    )
    for text in (FACT, "Basil Orsk was born in Tern, a village.", "In the village of Tern lived Basil Orsk."):
        (alone,), (among,) = one.find([window(text)]), all_of_them.find([window(text)])
        assert among[0].entry_id == "f" and among[0].score == pytest.approx(alone[0].score, abs=1e-4)


COLOURS = ("red", "blue", "green", "black", "white", "yellow", "brown", "grey", "golden", "silver", "purple", "pink")
THINGS = (
    "kettle",
    "ladder",
    "violin",
    "basket",
    "carpet",
    "hammer",
    "pillow",
    "candle",
    "mirror",
    "bottle",
    "spoon",
    "blanket",
    "jacket",
)
PLACES = (
    "table",
    "roof",
    "floor",
    "shelf",
    "bench",
    "stairs",
    "bridge",
    "wagon",
    "barn",
    "porch",
    "desk",
    "sofa",
    "counter",
    "lawn",
)


def of(shingler, *texts: str) -> Mentions[int]:
    return hashed(mentions(*texts), shingler)


def parts(model, kind: Kind, text: str, asked: str = "", name: str = "e"):
    tables = {Form.STATEMENT: table(model, (name, kind, text))}
    if asked:
        tables[Form.EXCHANGE] = table(model, (name, kind, exchange(asked, text)))
    return model, tables, {name: rule(name, kind)}


def cleared_by(model, shingler, kind: Kind, entry: str, text: str) -> float:
    """The score that decides whether the window is cleared."""
    detector = StaticDetector(*parts(model, kind, entry), Mentioned({"e": of(shingler, entry)}, shingler))
    ((found,),) = detector.find([window(text)])
    return found.score


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
