"""A cross-encoder as the judge: tiny models with random weights, so only the mechanics are tested, not the quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from guard.verdict import Kind
from index.errors import StartRefused
from server.disclosure import Told
from server.judges.cross_encoder import CrossEncoderModel, JudgeRefused, load_cross_encoder
from server.judges.judge import JudgeOutcome, Question

SENTENCE = "the harbour froze in winter treaty was signed on copper soup needs salt when did it freeze"
NLI = {0: "contradiction", 1: "entailment", 2: "neutral"}


def build(folder: Path, labels: dict[int, str], seed: int = 0) -> str:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *SENTENCE.split()]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = BertTokenizerFast(vocab={word: n for n, word in enumerate(vocabulary)}, model_max_length=32)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.7,
        num_labels=len(labels),
        id2label=labels,
        label2id={label: n for n, label in labels.items()},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def similarity(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoderModel:
    return load_cross_encoder(build(tmp_path_factory.mktemp("similarity"), {0: "LABEL_0"}))


@pytest.fixture(scope="module")
def nli(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoderModel:
    return load_cross_encoder(build(tmp_path_factory.mktemp("nli"), NLI))


def question(entry: str, text: str, context: str = "", prompt: str = "") -> Question:
    return Question(Told(Kind.FACT, text=entry, prompt=prompt), text, context)


PAIRS = [
    question("the harbour froze in winter", "the harbour froze"),
    question("the treaty was signed on copper", "soup needs salt"),
    question("it froze", "in winter", "when did it freeze", "when did the harbour freeze"),
]


def test_one_label_is_the_similarity_itself(similarity: CrossEncoderModel) -> None:
    expected = similarity._model.predict(
        [
            ("the harbour froze in winter", "the harbour froze"),
            ("the treaty was signed on copper", "soup needs salt"),
            ("when did the harbour freeze it froze", "when did it freeze in winter"),
        ]
    )
    scores = similarity.ask(PAIRS, 1.0)
    assert scores == pytest.approx(expected.tolist(), abs=1e-6)
    assert len(set(scores)) == 3
    assert all(0 <= score <= 1 for score in scores)


def test_three_labels_are_entailment_less_contradiction_in_the_stronger_direction(nli: CrossEncoderModel) -> None:
    one, two = "the harbour froze in winter", "soup needs salt"
    there, back = nli._model.predict([(one, two), (two, one)], apply_softmax=True)
    expected = 0.5 + (max(there[1], back[1]) - max(there[0], back[0])) / 2
    assert nli.ask([question(one, two)], 1.0) == pytest.approx([float(expected)], abs=1e-6)
    assert nli.ask([question(two, one)], 1.0) == pytest.approx(nli.ask([question(one, two)], 1.0), abs=1e-6)


def test_the_place_of_the_labels_is_read_from_the_model(tmp_path: Path, nli: CrossEncoderModel) -> None:
    turned = load_cross_encoder(build(tmp_path / "turned", {0: "ENTAILMENT", 1: "contradiction", 2: "neutral"}))
    (as_it_is,), (turned_round,) = nli.ask(PAIRS[:1], 1.0), turned.ask(PAIRS[:1], 1.0)
    assert isinstance(as_it_is, float)
    assert turned_round == pytest.approx(1 - as_it_is, abs=1e-6)


def test_a_pair_that_would_be_cut_is_too_long_and_the_others_count(similarity: CrossEncoderModel) -> None:
    answers = similarity.ask([PAIRS[0], question("the harbour froze " * 10, "salt"), PAIRS[1]], 1.0)
    assert answers[1] is JudgeOutcome.TOO_LONG
    assert [answers[0], answers[2]] == pytest.approx(list(similarity.ask(PAIRS[:2], 1.0)), abs=1e-6)
    assert similarity.ask([question("salt " * 40, "salt")], 1.0) == [JudgeOutcome.TOO_LONG]


def test_a_model_of_another_sort_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JudgeRefused, match="entailment"):
        load_cross_encoder(build(tmp_path / "topics", {0: "sport", 1: "war", 2: "weather"}))
    with pytest.raises(JudgeRefused, match="cannot be loaded"):
        load_cross_encoder(str(tmp_path / "nothing"))
    assert issubclass(JudgeRefused, StartRefused)


def test_it_reads_in_this_process(similarity: CrossEncoderModel) -> None:
    assert similarity.inside
    assert similarity.ask([], 1.0) == []
    assert np.isfinite(similarity.ask(PAIRS, 1.0)).all()  # type: ignore[arg-type]
    similarity.close()
