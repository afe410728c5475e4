"""Concepts are weighed by their heads, and by their nearest example where they have none."""

from __future__ import annotations

import pytest

from guard.detector import Window
from guard.policy import Policy, Rule
from guard.verdict import Kind
from guard.words import words_of
from index.background import load_background
from index.concepts import CLOSE, Concept, ConceptWeigher, concept_of
from index.entry import Content
from index.forms import Form, exchange
from index.head import FEWEST_WINDOWS, HeadTrainer
from index.imprint import Imprint, Imprinter
from index.matching import Scale
from index.weighing import Asked
from tests.index.concept_samples import sample

THRESHOLD = 0.75
SCALE = Scale.of(dict.fromkeys(Kind, THRESHOLD), ())
RULE = Rule("c", Kind.CONCEPT, Policy())
CHATTER = "Rain is expected in the north for most of the week."
RAKE = "Rake the pins with light tension until the cylinder turns."


@pytest.fixture(scope="module")
def imprinter(embedder) -> Imprinter:
    from guard.fingerprint import Shingler

    return Imprinter(embedder, Shingler(b"k" * 32), head_maker=HeadTrainer(load_background(embedder)))


@pytest.fixture(scope="module")
def locks(imprinter) -> Imprint:
    return imprinter.imprint([(Kind.CONCEPT, sample("locks").content())])[0]


@pytest.fixture
def asked(embedder, shingler):
    def ask(text: str, context: str = "", alone: bool = True) -> Asked:
        made = Asked(Window(text, 0, len(text), context), len(words_of(text)), shingler)
        if alone:
            made.vectors[Form.STATEMENT] = embedder.encode([text])
        if context:
            made.vectors[Form.EXCHANGE] = embedder.encode([exchange(context, text)])
        return made

    return ask


def weigher(imprint: Imprint) -> ConceptWeigher:
    concept = concept_of(imprint)
    assert concept is not None
    return ConceptWeigher({"c": concept})


def test_what_the_concept_means_reaches_the_threshold_of_its_kind(locks, asked) -> None:
    made = weigher(locks)
    given = sample("locks")
    for example in given.examples:
        assert made.score(asked(example), RULE, SCALE) >= THRESHOLD
        assert made.candidates(asked(example)) == ["c"]
    for other in (*given.counterexamples, CHATTER):
        assert 0.0 <= made.score(asked(other), RULE, SCALE) < THRESHOLD
    assert made.score(asked(RAKE), RULE, SCALE) > THRESHOLD
    assert made.candidates(asked(CHATTER)) == []


def test_the_heads_threshold_stands_where_the_policy_puts_that_of_the_kind(locks, asked) -> None:
    concept = concept_of(locks)
    assert isinstance(concept, Concept)
    for level in (0.3, 0.75, 0.9):
        assert concept.placed(concept.head.threshold, level) == pytest.approx(level)
        assert (
            concept.placed(concept.head.threshold - 1, level)
            < level
            < concept.placed(concept.head.threshold + 1, level)
        )
    strict = Rule("c", Kind.CONCEPT, Policy(thresholds={Kind.CONCEPT: 0.9}))
    near, wanted = asked(RAKE), 0.9
    assert weigher(locks).score(near, strict, SCALE) >= wanted


def test_a_window_with_its_turn_is_the_mean_of_both(locks, asked) -> None:
    concept = concept_of(locks)
    assert concept is not None
    text, turn = "Lift each pin until it sets.", "How do I open a padlock without a key?"
    alone, both, paired = (
        concept.logit(asked(text)),
        concept.logit(asked(text, turn)),
        concept.logit(asked(text, turn, False)),
    )
    assert both == pytest.approx((alone + paired) / 2)
    assert concept.logit(asked(text, "", False)) is None
    assert ConceptWeigher({"c": concept}).score(asked(text, "", False), RULE, SCALE) is None


def test_a_long_window_counts_by_its_nearest_piece(locks, asked, embedder) -> None:
    concept = concept_of(locks)
    assert concept is not None
    long = asked(CHATTER)
    long.vectors[Form.STATEMENT] = embedder.encode([CHATTER, RAKE, CHATTER])
    assert concept.logit(long) == pytest.approx(concept.logit(asked(RAKE)))


def test_few_examples_are_weighed_by_the_nearest_one_as_before(imprinter, asked) -> None:
    (few,) = imprinter.imprint(
        [(Kind.CONCEPT, Content("A wizard who lights lamps with his breath.", "", ("Orskander",)))]
    )
    assert len(few.marks) < FEWEST_WINDOWS and few.head == b"" and concept_of(few) is None
    near = asked(CHATTER)
    near.cosines = {Form.STATEMENT: {"c": 0.6}, Form.EXCHANGE: {"c": 0.8}}
    made = ConceptWeigher()
    assert made.score(near, RULE, SCALE) == pytest.approx(0.7)
    assert made.candidates(near) == [] and not made.decides("c") and not made.needs_exchanges
    assert made.score(asked(CHATTER), RULE, SCALE) is None


def test_only_concepts_get_heads_and_heads_survive_storage(imprinter, locks) -> None:
    content = sample("locks").content()
    fact, passage = imprinter.imprint([(Kind.FACT, content), (Kind.PASSAGE, content)])
    assert fact.head == passage.head == b""
    again = Imprint.from_bytes(locks.vector_bytes(), locks.fingerprint_bytes())
    concept, kept = concept_of(locks), concept_of(again)
    assert concept is not None and kept is not None
    assert (concept.own == kept.own).all() and (concept.counters == kept.counters).all()
    assert concept.head.to_bytes() == kept.head.to_bytes()
    assert weigher(again).decides("c") and weigher(again).needs_exchanges


def test_many_concepts_are_weighed_together_as_each_alone(imprinter, asked) -> None:
    contents = [sample("locks").content(), sample("marrow").content(counterexamples=False), sample("marrow").content()]
    imprints = imprinter.imprint([(Kind.CONCEPT, content) for content in contents])
    concepts = {f"c{i}": concept for i, imprint in enumerate(imprints) if (concept := concept_of(imprint))}
    assert len(concepts) == 3
    together = ConceptWeigher(concepts)
    texts = [*sample("locks").test_positives[:5], *sample("marrow").test_positives[:5], CHATTER]
    for window in (*map(asked, texts), asked(texts[0], "How do I open it?"), asked("", "", False)):
        alone = [i for i, concept in concepts.items() if i in ConceptWeigher({i: concept}).candidates(window)]
        assert together.candidates(window) == alone
        for i, concept in concepts.items():
            logit = concept.logit(window)
            assert (i in alone) == (logit is not None and logit >= concept.head.threshold - CLOSE)
    assert together.candidates(asked(texts[0])) == ["c0"]
