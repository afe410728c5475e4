"""The detector finds what means the same, and says how near it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from guard.detector import Window
from guard.errors import DetectorUnavailable
from guard.policy import Policy, Rule
from guard.verdict import Kind
from index.calibration import shipped
from index.concepts import ConceptWeigher
from index.embedder import Embedder, Vectors
from index.embedding import DOUBTED, EmbeddingDetector, Known
from index.entry import Content
from index.facts import FactWeigher
from index.forms import Form
from index.imprint import Imprinter
from index.matching import Scale
from index.passages import PassageWeigher
from index.vectors import Row, VectorTable

BORN = "Basil Orsk was born in the village of Tern in 1931."
ASKED = "Where was Basil Orsk born?"


@pytest.fixture
def detector(embedder, shingler) -> Callable[..., EmbeddingDetector]:
    """Builds a detector of entries given by name."""

    def build(entries: dict[str, tuple[Kind, Content]], policies: dict[str, Policy] | None = None) -> EmbeddingDetector:
        imprints = Imprinter(embedder, shingler).imprint(list(entries.values()))
        rules = {n: Rule(n, kind, (policies or {}).get(n, Policy())) for n, (kind, _) in entries.items()}
        tables = {}
        for form in Form:
            picked = [
                (Row(name, rules[name].kind, mark.counter), vector)
                for name, made in zip(entries, imprints, strict=True)
                for mark, vector in zip(made.marks, made.vectors, strict=True)
                if mark.form is form
            ]
            matrix = np.array([v for _, v in picked], dtype=np.float32).reshape(-1, embedder.dimensions)
            tables[form] = VectorTable.built([row for row, _ in picked], matrix)
        scale = Scale.of(shipped(embedder.hash).values, [r.policy for r in rules.values()])
        about = {name: made.mentions for name, made in zip(entries, imprints, strict=True)}
        weighers = {
            Kind.PASSAGE: PassageWeigher(),
            Kind.FACT: FactWeigher(about),
            Kind.CONCEPT: ConceptWeigher(),
        }
        return EmbeddingDetector(embedder, Known(tables, rules, weighers), scale, shingler)

    return build


def scores(detector: EmbeddingDetector, text: str, context: str = "") -> dict[str, float]:
    (found,) = detector.find([Window(text, 3, 3 + len(text), context)])
    assert all((e.start, e.end) == (3, 3 + len(text)) for e in found)
    assert [e.score for e in found] == sorted((e.score for e in found), reverse=True)
    return {e.entry_id: e.score for e in found}


def test_a_paraphrase_is_nearer_than_anything_else(detector) -> None:
    made = detector(
        {"born": (Kind.FACT, Content(BORN)), "lamps": (Kind.FACT, Content("Nine lamps light the harbour."))}
    )
    near = scores(made, "The birthplace of Basil Orsk, in 1931, was Tern village.")
    assert near["born"] > 0.8 > near.get("lamps", 0.0)
    assert max(scores(made, "I had soup with bread for lunch.").values()) < 0.4


def test_a_short_answer_is_found_with_its_question(detector) -> None:
    made = detector({"born": (Kind.FACT, Content(BORN, ASKED))})
    alone, asked = scores(made, "In Tern.")["born"], scores(made, "In Tern.", "Where was Basil Orsk born?")["born"]
    assert asked > 0.8 > alone


def test_an_example_finds_its_entry_and_a_counterexample_keeps_it_away(detector) -> None:
    content = Content("The wizard Orskander", "", ("A wizard who lights lamps with his breath.",))
    saved = Content(content.text, "", content.examples, ("The wizard of the puppet theatre is a toy.",))
    puppet = "A toy wizard performs in the puppet theatre."
    open_one, careful = detector({"w": (Kind.CONCEPT, content)}), detector({"w": (Kind.CONCEPT, saved)})
    assert scores(open_one, "He is a wizard who lights lamps by breathing on them.")["w"] > 0.8
    assert scores(careful, "He is a wizard who lights lamps by breathing on them.")["w"] > 0.8
    assert "w" in scores(open_one, puppet) and "w" not in scores(careful, puppet)


def test_a_counterexample_keeps_its_entry_away_whatever_the_other_form_says(detector) -> None:
    content = Content("The keeper was born in the village of Tern.", ASKED, (), ("The keeper is tired of the night.",))
    made = detector({"born": (Kind.FACT, content)})
    assert "born" not in scores(made, "The keeper is tired of the night.", ASKED)


def test_a_question_that_asks_for_an_entry_is_not_explained_by_a_counterexample(detector) -> None:
    content = Content("The keeper was born in the village of Tern.", ASKED, (), ("Basil is born from seed in pots.",))
    assert scores(detector({"born": (Kind.FACT, content)}), ASKED)["born"] > 0.9


def test_another_persons_fact_of_the_same_shape_scores_lower(detector) -> None:
    made = detector({"born": (Kind.FACT, Content(BORN, ASKED))})
    same = scores(made, "Basil Orsk came from Tern, where he was born in 1931.", ASKED)["born"]
    other = scores(made, "Mira Dunn was born in the village of Hale in 1958.", "Where was Mira Dunn born?")["born"]
    assert same > 0.77 > other


def test_all_entries_that_convict_are_found_however_many(detector) -> None:
    made = detector({f"e{n}": (Kind.FACT, Content(BORN)) for n in range(60)})
    assert len([s for s in scores(made, BORN).values() if s > 0.97]) == 60


def test_a_policys_own_threshold_counts_for_its_entries_only(detector) -> None:
    both = {name: (Kind.FACT, Content(BORN)) for name in ("loose", "tight")}
    policies = {"loose": Policy(thresholds={Kind.FACT: 0.5}), "tight": Policy(thresholds={Kind.FACT: 0.95})}
    made = detector(both, policies)
    found = scores(made, "Basil Orsk was from Tern, they say.")
    convict_at = made._scale.convict_at[Kind.FACT]
    assert found["loose"] >= convict_at > found["tight"]


def test_a_batch_is_judged_as_its_windows_alone(detector) -> None:
    made = detector({"born": (Kind.FACT, Content(BORN, ASKED))})
    windows = [
        Window(BORN, 0, 9),
        Window("In Tern.", 0, 8, ASKED),
        Window("Soup.", 0, 5),
        Window("word " * 900, 0, 4500),
        Window("The soup needs a little more salt and an onion.", 0, 9, "How do I cook a soup?"),
        Window("Basil Orsk came from Tern, where he was born in 1931.", 0, 9, ASKED),
        *[Window("The bread needs a little more time in the oven.", 0, 9, "How do I bake bread?")] * 2,
    ]
    together = made.find(windows)
    for window, found in zip(windows, together, strict=True):
        (alone,) = made.find([window])
        assert [e.entry_id for e in alone] == [e.entry_id for e in found]
        np.testing.assert_allclose([e.score for e in alone], [e.score for e in found], atol=2e-3)


def test_an_exchange_is_embedded_only_where_it_can_matter(detector) -> None:
    made = detector({"born": (Kind.FACT, Content(BORN, ASKED))})
    soup, said, half = (
        Window("The soup needs a little more salt and an onion.", 0, 9, ASKED),
        Window("Basil Orsk came from Tern, where he was born in 1931.", 0, 9, ASKED),
        Window("The soup needs a little more salt and an", 0, 9, ASKED, unfinished=True),
    )
    asked: list[str] = []
    counting = EmbeddingDetector(_Counting(made._embedder, asked), made._known, made._scale, made._shingler)
    assert counting.find([soup])[0][0].score < made._scale.floor - DOUBTED
    assert not any(text.startswith(ASKED) for text in asked)
    assert counting.find([said])[0][0].score >= made._scale.floor
    assert sum(text.startswith(ASKED) for text in asked) == 1
    counting.find([half])
    assert sum(text.startswith(ASKED) for text in asked) == 2


class _Counting:
    """Notes what is embedded."""

    def __init__(self, embedder: Embedder, asked: list[str]) -> None:
        self._embedder, self._asked = embedder, asked
        self.pieces = embedder.pieces

    def encode(self, texts: Sequence[str]) -> Vectors:
        self._asked += texts
        return self._embedder.encode(texts)


def test_what_stands_at_the_end_of_a_long_window_is_seen(detector) -> None:
    made = detector({"born": (Kind.FACT, Content(BORN))})
    filler = "the wind went round the harbour and " * 60
    assert scores(made, filler + BORN)["born"] > scores(made, filler)["born"] + 0.1


class Broken:
    """An embedder that cannot compute."""

    dimensions, longest = 384, 256

    def pieces(self, text: str, spare: int = 0) -> list[str]:
        return [text]

    def encode(self, texts):
        raise RuntimeError("out of memory: the text was SECRET")


def test_a_detector_that_cannot_tell_says_so_and_nothing_else(detector) -> None:
    made = detector({"born": (Kind.FACT, Content(BORN))})
    made._embedder = Broken()
    with pytest.raises(DetectorUnavailable) as caught:
        made.find([Window(BORN, 0, 9)])
    assert "SECRET" not in str(caught.value)
