"""Heads find what their examples mean, stay below what the counterexamples and ordinary text mean, and say how sure."""

from __future__ import annotations

import numpy as np
import pytest

from index import head as module
from index.background import load_background
from index.forms import Form
from index.head import FEWEST_WINDOWS, FOLDS, FPR, MARGIN, Head, HeadTrainer
from index.imprint import Mark
from tests.index.concept_samples import NAMES, best, rows, sample


@pytest.fixture(scope="module")
def background(embedder):
    return load_background(embedder)


@pytest.fixture(scope="module")
def trainer(background) -> HeadTrainer:
    return HeadTrainer(background)


@pytest.fixture(scope="module")
def judged(embedder, trainer):
    """(concept, with counterexamples or not) -> head, scores of the held-out positives and border negatives."""
    found = {}
    for name in NAMES:
        given = sample(name)
        own, counters = rows(embedder, (given.description, *given.examples)), rows(embedder, given.counterexamples)
        for careful in (False, True):
            left = counters if careful else counters[:0]
            head = trainer.train(own, left)
            assert head is not None

            def score(vectors, head=head, own=own, left=left):
                return head.logits(vectors, own, left)

            held = [best(embedder, texts, score) for texts in (given.test_positives, given.test_negatives)]
            found[name, careful] = (head, *held)
    return found


def _area(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Under the ROC curve."""
    return float((positives[:, None] > negatives).mean())


@pytest.mark.parametrize("name", NAMES)
def test_held_out_text_of_the_concept_is_told_from_text_at_its_border(judged, name: str) -> None:
    head, positives, negatives = judged[name, True]
    assert _area(positives, negatives) > 0.95
    assert (positives >= head.threshold).mean() >= 0.4
    assert (negatives >= head.threshold).mean() == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_counterexamples_lower_false_positives_near_the_border(judged, name: str) -> None:
    (open_one, loose, touched), (careful, tight, spared) = judged[name, False], judged[name, True]
    assert _area(tight, spared) > _area(loose, touched)
    assert (spared >= careful.threshold).sum() == 0 <= (touched >= open_one.threshold).sum()


def test_at_the_same_recall_fewer_texts_at_the_border_are_taken_for_the_concept(judged) -> None:
    def taken(careful: bool) -> int:
        found = [judged[name, careful][1:] for name in NAMES]
        return sum(int((n >= np.quantile(p, 0.1, method="lower")).sum()) for p, n in found)

    assert taken(True) <= 0.5 * taken(False)


@pytest.mark.parametrize("name", NAMES)
def test_a_head_finds_more_than_the_nearest_example_at_its_threshold(embedder, judged, name: str) -> None:
    given = sample(name)
    own = rows(embedder, (given.description, *given.examples))
    head, positives, _ = judged[name, False]
    nearest = best(embedder, given.test_positives, lambda vectors: (vectors @ own.T).max(axis=1))
    assert (positives >= head.threshold).mean() > (nearest >= 0.75).mean() + 0.3


def test_no_ordinary_exchange_reaches_the_threshold(background, judged) -> None:
    for head, *_ in judged.values():
        assert head.peak + MARGIN <= head.threshold + 1e-9
        assert head.benign == len(background.exchanges) and FPR * (head.benign + 1) < 1
        assert 0.5 < head.probability(head.threshold) < 1.0
        assert head.probability(head.threshold - 1) < head.probability(head.threshold)


def test_what_an_example_says_again_is_found_and_a_counterexample_is_not(embedder, trainer, judged) -> None:
    for name in NAMES:
        given, (head, *_) = sample(name), judged[name, True]
        own, counters = rows(embedder, (given.description, *given.examples)), rows(embedder, given.counterexamples)
        assert head.logits(own, own, counters).min() > head.threshold
        assert head.logits(counters, own, counters).max() < head.threshold


def test_a_head_is_the_same_after_bytes_and_refuses_others(judged) -> None:
    head, *_ = judged["locks", True]
    data = head.to_bytes()
    again = Head.from_bytes(data)
    assert again.to_bytes() == data
    assert (again.own, again.counters, again.threshold) == (head.own, head.counters, head.threshold)
    assert np.allclose(again.weights, head.weights, atol=1e-6)
    for wrong in (b"", b"\x02" + data[1:], data[:-1], data[:20], data + b"x"):
        with pytest.raises(ValueError, match="concept head"):
            Head.from_bytes(wrong)


def test_too_few_windows_make_no_head(embedder, trainer) -> None:
    vectors = embedder.encode([f"The lamp number {i} is lit at dusk." for i in range(FEWEST_WINDOWS)])
    marks = [Mark(Form.STATEMENT)] * FEWEST_WINDOWS
    assert trainer(marks[:-1], vectors[:-1]) == b""
    turned = [Mark(Form.TURN), *marks[1:]]
    assert trainer(turned, vectors) == b""  # what is asked for is not what is meant
    countered = [Mark(Form.STATEMENT, counter=True), *marks[1:]]
    assert trainer(countered, vectors) == b""
    assert Head.from_bytes(trainer(marks, vectors)).own == FEWEST_WINDOWS


def test_examples_without_anything_in_common_find_little_of_themselves(background, trainer) -> None:
    mixed = background.statements.vectors[::40]
    head = trainer.train(mixed, mixed[:0])
    assert head is not None and head.found < 0.05


def test_training_takes_few_steps_for_two_hundred_examples(embedder, trainer, monkeypatch) -> None:
    steps: list[int] = []
    learn = module._logistic

    def counted(*given):
        fit = learn(*given)
        steps.append(fit.steps)
        return fit

    monkeypatch.setattr(module, "_logistic", counted)
    given = sample("locks")
    own = rows(embedder, given.examples + given.test_positives)
    noise = np.random.default_rng(0).normal(0, 0.02, (4, *own.shape)).astype(np.float32)
    many = np.concatenate(own + noise)[:200]
    many /= np.linalg.norm(many, axis=1, keepdims=True)
    assert trainer.train(many, rows(embedder, given.counterexamples)) is not None
    assert len(many) == 200 and len(steps) == FOLDS + 1
    assert sum(steps) < 40 * len(steps)


def test_the_gradient_is_the_slope_of_the_loss(monkeypatch) -> None:
    draw = np.random.default_rng(1)
    vectors, given = draw.normal(size=(40, 5)), draw.normal(size=40)
    signs, weights = np.sign(draw.normal(size=40)), draw.uniform(0.1, 1, 40)
    seen = {}

    def capture(loss, start, **options):
        seen["loss"] = loss
        return minimize(loss, start, **options)

    minimize = module.minimize
    monkeypatch.setattr(module, "minimize", capture)
    fit = module._logistic(vectors, signs, weights, given)
    point = draw.normal(size=6)
    value, gradient = seen["loss"](point)
    for i in range(6):
        moved = point.copy()
        moved[i] += 1e-6
        assert (seen["loss"](moved)[0] - value) / 1e-6 == pytest.approx(gradient[i], abs=1e-4)
    assert np.abs(seen["loss"](np.append(fit.weights, fit.bias))[1]).max() < 1e-3
