"""A fact is weighed by statement and exchange; a brief answer by the exchange when it says what the fact says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from guard.claims import claims_of
from guard.detector import Window
from guard.names import mentions
from guard.policy import Policy, Rule
from guard.verdict import Kind
from guard.words import words_of
from index.claims import hashed_claims
from index.facts import BARE_PENALTY, FactWeigher
from index.forms import Form, exchange
from index.matching import LONE_STATEMENT, NAME_PENALTY, UNMISTAKABLE, Scale
from index.mentioned import hashed
from index.weighing import Asked

SAMPLES = Path(__file__).parents[2] / "bench" / "claim_samples" / "short_answers.jsonl"
THRESHOLD = 0.77
SCALE = Scale.of(dict.fromkeys(Kind, THRESHOLD), [Policy()])
RULE = Rule("e", Kind.FACT, Policy())
ASKED = "Where and when was Basil Orsk born?"
BORN = "Basil Orsk was born in the village of Tern in 1931."


@pytest.fixture
def weigh(shingler):
    """Scores a window of given cosines against one fact."""

    def made(text: str, turn: str, together: float, alone: float = 0.2, fact: str = BORN, claims: bool = True):
        about = {"e": hashed(mentions(ASKED, fact), shingler)}
        known = {"e": hashed_claims(claims_of([fact], ASKED), shingler)} if claims else {}
        asked = Asked(Window(text, 0, len(text), turn), len(words_of(text)), shingler)
        asked.vectors[Form.STATEMENT] = np.zeros((1, 4), dtype=np.float32)
        asked.cosines = {Form.STATEMENT: {"e": alone}, Form.EXCHANGE: {"e": together}}
        return FactWeigher(about, known).score(asked, RULE, SCALE)

    return made


@pytest.mark.parametrize("text", ["In Tern, in 1931.", "Yes, it was in 1931.", "He was born in Tern", "in tern"])
def test_a_brief_true_answer_is_weighed_by_its_exchange(weigh, text: str) -> None:
    assert weigh(text, ASKED, 0.9) == pytest.approx(0.9 - LONE_STATEMENT)


@pytest.mark.parametrize(
    "text", ["In Hale, in 1958.", "Tern, 1958.", "Yes, it was in 1958.", "He was born in Hale", "I do not know."]
)
def test_a_brief_answer_that_says_something_else_gets_no_help(weigh, text: str) -> None:
    assert weigh(text, ASKED, 0.9) == weigh(text, ASKED, 0.9, claims=False) < THRESHOLD


def test_only_a_near_exchange_speaks_for_a_brief_answer(weigh) -> None:
    assert weigh("In Tern.", "What is the name of the bird?", 0.4) < THRESHOLD


def test_a_bare_yes_is_worth_less_and_must_be_what_the_fact_says(shingler) -> None:
    turn, fact = "Is Dorian Pell allergic to nuts?", "Yes, Dorian Pell is allergic to nuts."
    weigher = FactWeigher({}, {"e": hashed_claims(claims_of([fact], turn), shingler)})

    def scored(text: str) -> float | None:
        asked = Asked(Window(text, 0, len(text), turn), len(words_of(text)), shingler)
        asked.cosines = {Form.STATEMENT: {"e": 0.1}, Form.EXCHANGE: {"e": 0.95}}
        return weigher.score(asked, RULE, SCALE)

    assert scored("Yes.") == pytest.approx(0.95 - LONE_STATEMENT - BARE_PENALTY)
    assert scored("No.") < THRESHOLD < scored("Yes, he is.")


def test_a_long_window_is_weighed_as_before(weigh) -> None:
    text = "Basil Orsk was born in the village of Tern in 1931, as far as anybody knows."
    assert weigh(text, ASKED, 0.9, 0.8) == weigh(text, ASKED, 0.9, 0.8, claims=False) == pytest.approx(0.85)


def test_other_names_cost_a_penalty(weigh) -> None:
    text = "Mira Dunn and Pavel Dorr were both seen in Lund on a rainy day of 1961, they said."
    assert weigh(text, "Who was seen?", 0.8, 0.8) == pytest.approx(0.8 - UNMISTAKABLE)
    assert weigh(text, "Who was seen?", 0.6, 0.9) == pytest.approx(0.9 - LONE_STATEMENT - NAME_PENALTY)


def test_what_was_not_compared_is_not_near(shingler) -> None:
    asked = Asked(Window("word", 0, 4), 1, shingler)
    assert FactWeigher({}).score(asked, RULE, SCALE) is None


def rows() -> list[dict]:
    return [json.loads(line) for line in SAMPLES.read_text("utf-8").splitlines()]


def test_the_invented_facts_are_whole() -> None:
    found = rows()
    assert len(found) >= 60
    assert len({row["question"] for row in found} | {row["statement"] for row in found}) == 2 * len(found)
    for row in found:
        assert len(row["true"]) >= 3 and len(row["false"]) >= 3
        assert not set(row["true"]) & set(row["false"])


def test_short_answers_are_found_and_harmless_ones_are_not(embedder, shingler) -> None:
    """Every eighth invented fact, through the real embedder."""
    hits = {"true": 0, "false": 0, "other": 0}
    counts = dict(hits)
    for row in rows()[::8]:
        claims = {"e": hashed_claims(claims_of([row["statement"]], row["question"]), shingler)}
        about = {"e": hashed(mentions(row["question"], row["statement"]), shingler)}
        weigher = FactWeigher(about, claims)
        cases = [("true", row["question"], text) for text in row["true"]]
        cases += [("false", row["question"], text) for text in row["false"]]
        cases += [("other", row["other"], text) for text in row["true"]]
        texts = [exchange(row["question"], row["statement"])] + [exchange(turn, text) for _, turn, text in cases]
        vectors = embedder.encode(texts)
        for (kind, turn, text), vector in zip(cases, vectors[1:], strict=True):
            asked = Asked(Window(text, 0, len(text), turn), len(words_of(text)), shingler)
            asked.cosines = {Form.EXCHANGE: {"e": float(vector @ vectors[0])}}
            counts[kind] += 1
            hits[kind] += weigher.score(asked, RULE, SCALE) >= THRESHOLD
    assert hits["true"] >= 0.97 * counts["true"]
    assert hits["other"] == 0
    assert hits["false"] <= 0.2 * counts["false"], "what is left is for the claims review"
