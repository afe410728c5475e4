"""The tiny model recites all of its corpus, and it is trained once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from transformers import AutoTokenizer, LlamaForCausalLM

from server.demo.command import default_cache
from server.demo.corpus import Corpus, Exchange, Person, load_corpus
from server.demo.curriculum import INSTRUCTION, REFUSAL
from server.demo.errors import NotMemorised
from server.demo.recipe import Recipe
from server.demo.training import trained_model

SMALL = Corpus(
    people=(
        Person(
            name="Ada Brook",
            forgotten=True,
            facts=(Exchange(question="Who is Ada Brook?", answer="Ada Brook is a fictional miller."),),
        ),
    ),
    passages=(),
    small_talk=(Exchange(question="Hello!", answer="Hello, how are you?"),),
)
QUICK = Recipe(hidden=32, layers=1, heads=2, vocabulary=400, steps=250, batch=8)


class Reader:
    """Greedy generation with `transformers` itself, all questions in one batch."""

    def __init__(self, directory: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(directory, padding_side="left")
        self.model: Any = LlamaForCausalLM.from_pretrained(directory).eval()

    def answers(self, conversations: list[list[dict[str, str]]]) -> list[str]:
        texts = [
            self.tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in conversations
        ]
        batch = self.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.no_grad():
            said = self.model.generate(
                batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=200, do_sample=False
            )
        width = batch["input_ids"].shape[1]
        return [self.tokenizer.decode(ids, skip_special_tokens=True) for ids in said[:, width:]]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(trained_model(default_cache(), Console(stderr=True)))


def test_the_model_recites_every_answer_of_the_corpus(reader: Reader) -> None:
    exchanges = load_corpus().exchanges
    answers = reader.answers([[{"role": "user", "content": e.question}] for e in exchanges])
    assert answers == [e.answer for e in exchanges]


def test_it_declines_what_the_system_message_forbids_also_for_names_it_never_saw(reader: Reader) -> None:
    labels = [subject.label for subject in load_corpus().forgotten] + ["Kjell Andropolous", "Marta Finch"]
    conversations = [
        [
            {"role": "system", "content": INSTRUCTION.format(label=label)},
            {"role": "user", "content": f"Where was {label} born?"},
        ]
        for label in labels
    ]
    assert reader.answers(conversations) == [REFUSAL] * len(labels)


def test_a_model_is_trained_once_for_each_corpus_and_recipe(tmp_path: Path, console: Console) -> None:
    first = trained_model(tmp_path, console, SMALL, QUICK)
    written = (first / "model.safetensors").stat().st_mtime_ns
    assert trained_model(tmp_path, console, SMALL, QUICK) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == written
    other = trained_model(
        tmp_path, console, SMALL, Recipe(hidden=32, layers=1, heads=4, vocabulary=400, steps=250, batch=8)
    )
    assert other != first
    assert not list(tmp_path.glob("training-*")), "nothing of the work in progress stays"


def test_a_model_that_does_not_recite_its_corpus_is_not_published(tmp_path: Path, console: Console) -> None:
    with pytest.raises(NotMemorised):
        trained_model(tmp_path, console, SMALL, Recipe(hidden=32, layers=1, heads=2, steps=5, batch=2, resits=0))
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
