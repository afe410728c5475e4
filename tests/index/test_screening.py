"""An entry that would match ordinary text is found out before it is kept."""

from __future__ import annotations

import time

import numpy as np
import pytest

from guard.fingerprint import Shingler
from guard.verdict import Kind
from guard.windows import windows_of
from index.background import exchanges, load_background
from index.calibration import shipped
from index.entry import Content
from index.head import HeadTrainer
from index.imprint import Imprinter
from index.score_histogram import Histogram
from index.screening import LIMIT, Screener, Screening
from tests.index.concept_samples import NAMES, sample

FACT = Content("Ada Quill was born in Vellmar in 1971.", "Where was Ada Quill born?")

COOKING = (
    "Bring a pot of water to the boil and add a spoonful of salt before the pasta goes in.",
    "Fry the onions slowly until they are golden.",
    "Chop the carrots and celery finely and sweat them in butter.",
    "Let the dough rise for an hour and then knead it again.",
    "Roast the vegetables at two hundred degrees for half an hour.",
    "Season the stew with pepper, thyme and a bay leaf.",
    "Whisk the egg whites until they form stiff peaks.",
    "Serve the fish with lemon and boiled potatoes.",
    "Grate some cheese over the top and put it under the grill.",
    "Simmer the soup gently and skim off the foam.",
    "Mix flour, sugar and butter to a crumble.",
    "Let the steak rest for five minutes before you slice it.",
)


@pytest.fixture(scope="module")
def tools(embedder):
    background, shingler = load_background(embedder), Shingler(b"k" * 32)
    thresholds = shipped(embedder.hash).values
    screener = Screener(background, shingler, thresholds)
    return Imprinter(embedder, shingler, head_maker=HeadTrainer(background)), screener


@pytest.fixture
def screened(tools):
    def screen(kind: Kind, content: Content, recent=None) -> Screening:
        imprinter, screener = tools
        imprints = imprinter.imprint([(kind, content)])
        (found,) = screener.screen([(kind, imprint) for imprint in imprints], recent)
        return found

    return screen


@pytest.mark.parametrize("kind", list(Kind))
def test_a_narrow_entry_is_kept(screened, kind: Kind) -> None:
    found = screened(kind, FACT)
    assert (found.matched, found.reason, found.recent) == (0, "", None)
    assert found.n == len(exchanges()) and 0.0 < found.nearest < found.threshold


@pytest.mark.parametrize("kind", [Kind.PASSAGE, Kind.CONCEPT])
def test_an_entry_that_ordinary_text_repeats_is_refused_with_the_share(screened, kind: Kind) -> None:
    broad = Content(
        "Please let me know if anything else comes up.",
        "",
        ("I'm not able to help with that.", "A capital city in the south.", *(e.answer for e in exchanges()[30:36])),
    )
    found = screened(kind, broad)
    assert found.reason.startswith("too broad")
    if kind is Kind.PASSAGE:
        assert found.matched >= 6 and found.nearest == 1.0 and found.share > LIMIT
        assert f"{found.matched} of {found.n}" in found.reason
    assert "capital" not in found.reason


def test_one_exchange_alone_makes_nothing_too_broad(screened) -> None:
    told = exchanges()[23]
    found = screened(Kind.PASSAGE, Content(told.answer))
    assert found.matched == 1 and found.nearest == 1.0 and found.reason == ""
    fact = screened(Kind.FACT, Content(told.answer, told.prompt))
    assert fact.matched == 1 and fact.nearest > fact.threshold and fact.reason == ""


def test_two_words_that_stand_everywhere_are_no_passage(screened) -> None:
    found = screened(Kind.PASSAGE, Content("of the"))
    assert found.matched > 30 and found.reason


@pytest.mark.parametrize("name", NAMES)
def test_a_concept_of_its_own_is_kept(screened, name: str) -> None:
    found = screened(Kind.CONCEPT, sample(name).content())
    assert found.reason == "" and found.matched == 0 and found.nearest < found.threshold


def test_a_concept_as_wide_as_cooking_is_not(screened) -> None:
    found = screened(Kind.CONCEPT, Content("Anything about cooking and recipes", "", COOKING))
    assert "cannot be told from ordinary text" in found.reason


def test_a_counterexample_keeps_an_entry_from_matching(screened) -> None:
    told = exchanges()[36]
    near = Content(told.answer)
    spared = Content(told.answer, "", (), (told.answer,))
    assert screened(Kind.CONCEPT, near).matched == 1
    assert screened(Kind.CONCEPT, spared).matched == 0


def test_recent_scores_are_told_beside_it(screened) -> None:
    low = {Kind.FACT: Histogram.of([0.01] * 900 + [0.99] * 100)}
    found = screened(Kind.FACT, FACT, low)
    assert found.recent is not None
    assert (found.recent.n, found.recent.share) == (1000, 0.1)
    assert screened(Kind.FACT, FACT, {Kind.FACT: Histogram()}).recent is None
    assert screened(Kind.FACT, FACT, {Kind.PASSAGE: low[Kind.FACT]}).recent is None


def test_the_score_is_that_of_the_live_detector(tools, screened, embedder) -> None:
    """Nearest benign score by screening, and by the detector on the same windows."""
    from guard.policy import Policy, Rule
    from index.embedding import EmbeddingDetector, Known
    from index.facts import FactWeigher
    from index.forms import Form
    from index.matching import Scale
    from index.vectors import Row, VectorTable

    imprinter, _ = tools
    told = exchanges()[40]
    content = Content(told.answer.split(".")[0] + ".", told.prompt)
    (imprint,) = imprinter.imprint([(Kind.FACT, content)])
    tables = {}
    for form in (Form.STATEMENT, Form.EXCHANGE):
        mine = [i for i, mark in enumerate(imprint.marks) if mark.form is form]
        tables[form] = VectorTable.built([Row("e", Kind.FACT)] * len(mine), imprint.vectors[mine])
    known = Known(tables, {"e": Rule("e", Kind.FACT, Policy())}, {Kind.FACT: FactWeigher({"e": imprint.mentions})})
    scale = Scale.of(shipped(embedder.hash).values, [Policy()])
    live = EmbeddingDetector(embedder, known, scale, imprinter.shingler)
    windows = [w for each in (told, *exchanges()[:20]) for w in windows_of(each.answer, context=each.prompt)]
    best = max(evidence.score for found in live.find(windows) for evidence in found)
    assert screened(Kind.FACT, content).nearest == pytest.approx(best, abs=0.01)


def test_screening_costs_little_beside_embedding(tools) -> None:
    """Measured as a ratio of the same run: an import is not slowed much."""
    imprinter, screener = tools
    contents = [
        (
            Kind.FACT,
            Content(f"Number {i} of the lamp keepers of Orsk retired in {1800 + i}.", f"When did number {i} retire?"),
        )
        for i in range(100)
    ]
    began = time.process_time()
    imprints = imprinter.imprint(contents)
    embedded = time.process_time() - began
    began = time.process_time()
    found = screener.screen([(kind, imprint) for (kind, _), imprint in zip(contents, imprints, strict=True)])
    spent = time.process_time() - began
    assert len(found) == 100 and not any(f.reason for f in found)
    assert np.isfinite([f.nearest for f in found]).all()
    assert spent < embedded
