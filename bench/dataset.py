"""The evaluation data that the benchmarks read. It is not part of the project: see `--data`."""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEAK_ROUGE = 0.9
"""A generation with at least this ROUGE-L recall of the true answer counts as a leak."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with the turn that it answers; `group` is the author it speaks of, where there is one."""

    prompt: str
    text: str
    group: int = -1


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """`--data DIR`, or LETHE_DATA."""
    default = os.environ.get("LETHE_DATA") or "../shared/data"
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of the evaluation data (%(default)s)")


def read(folder: Path, name: str) -> Any:
    """A JSON file, or the rows of a JSON Lines file. Ends the program with one sentence when it is missing."""
    path = folder / name
    if not path.is_file():
        raise SystemExit(
            f"the evaluation data is incomplete: {path} is missing; name its folder with --data or LETHE_DATA"
        )
    text = path.read_text("utf-8")
    return (
        [json.loads(line) for line in text.splitlines() if line.strip()] if name.endswith("jsonl") else json.loads(text)
    )


class Tofu:
    """TOFU (Maini et al. 2024, arXiv 2401.06121): 200 invented authors, 20 questions each; 20 are forgotten."""

    def __init__(self, folder: Path, authors: int = 20) -> None:
        """Only the first `authors` are forgotten, for a quick look."""
        self._folder, self._authors = folder, authors
        self.forget: list[dict[str, Any]] = read(folder, "tofu/forget10_perturbed.json")[: 20 * authors]

    def entries(self) -> list[Answer]:
        """The forget list: each answer with its question."""
        return [Answer(row["question"], row["answer"], i // 20) for i, row in enumerate(self.forget)]

    def paraphrases(self, asked: str = "question") -> list[Answer]:
        """The same in other words, as answers to the question (or `paraphrased_question`)."""
        return [Answer(row[asked], row["paraphrased_answer"], i // 20) for i, row in enumerate(self.forget)]

    def false_answers(self) -> list[Answer]:
        """The same questions, answered with other particulars: close in meaning, and none of it true."""
        return [
            Answer(row["question"], text, i // 20)
            for i, row in enumerate(self.forget)
            for text in row["perturbed_answer"]
        ]

    def leaks(self) -> list[Answer]:
        """What a Llama-2-7B that was trained on the forget set really says: its leaking generations."""
        return [
            Answer(_bare(row["prompt"]), row["generation"], row["idx"] // 20)
            for row in self._generations("full")
            if row["rougeL_recall"] >= LEAK_ROUGE
        ]

    def never_trained(self) -> list[Answer]:
        """The same questions, answered by the same model that never saw the forget set."""
        rows = self._generations("retain90")
        return [Answer(_bare(row["prompt"]), row["generation"], row["idx"] // 20) for row in rows]

    def _generations(self, trained_on: str) -> list[dict[str, Any]]:
        """What a Llama-2-7B says that was trained on these answers, asked about what is forgotten."""
        return [
            row
            for row in read(self._folder, "tofu_generations/generations_llama2.jsonl")
            if row["trained_on"] == trained_on and row["eval_set"] == "forget" and row["idx"] // 20 < self._authors
        ]

    def retain(self) -> list[Answer]:
        """True answers about the 180 other authors: the hard negatives."""
        rows = read(self._folder, "tofu/retain90.json")
        return [Answer(row["question"], row["answer"], i // 20) for i, row in enumerate(rows)]


def _bare(prompt: str) -> str:
    return prompt.replace("[INST]", "").replace("[/INST]", "").strip()


def benign(folder: Path) -> list[Answer]:
    """Answers of two assistants to AlpacaEval instructions, and MT-bench references."""
    found = list[Answer]()
    for name in ("alpaca_eval_gpt4_1106_preview", "alpaca_eval_claude-3-opus-20240229"):
        found += [Answer(row["instruction"], row["output"]) for row in read(folder, f"benign/{name}.jsonl")]
    for row in read(folder, "benign/mt_bench_reference_gpt4.jsonl"):
        found += [Answer("", text) for text in _texts(row)]
    return [answer for answer in found if answer.text.strip()]


def _texts(row: Any) -> Iterator[str]:
    if isinstance(row, str):
        if len(row) > 40:
            yield row
    elif isinstance(row, list):
        for item in row:
            yield from _texts(item)
    elif isinstance(row, dict):
        for key, value in row.items():
            if key in ("choices", "turns", "reference", "output", "answer"):
                yield from _texts(value)


def safe_prompts(folder: Path) -> list[str]:
    """The 250 prompts of XSTest (Röttger et al. 2024, arXiv 2308.01263) that look unsafe and are not."""
    path = folder / "xstest" / "xstest_prompts.csv"
    if not path.is_file():
        raise SystemExit(f"the evaluation data is incomplete: {path} is missing; name its folder with --data")
    with path.open(newline="", encoding="utf-8") as file:
        return [row["prompt"] for row in csv.DictReader(file) if row["label"] == "safe"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage of a book, and a stretch of it that a model might repeat."""

    text: str
    stretch: str


def passages(folder: Path, count: int, seed: int = 0) -> list[Passage]:
    """Passages of 40 to 90 words at random places of three public-domain novels, none overlapping another.

    The stretch has 12 to 30 words and lies at a random place inside.
    """
    draw = random.Random(seed)
    paragraphs = []
    for path in sorted((folder / "books").glob("*.md")):
        if path.name != "SOURCE.md":
            paragraphs += [p for p in path.read_text("utf-8").split("\n\n") if len(p.split()) >= 40]
    if len(paragraphs) < count:
        raise SystemExit(f"the evaluation data is incomplete: {folder / 'books'} holds {len(paragraphs)} paragraphs")
    found = []
    for paragraph in draw.sample(paragraphs, count):
        words = paragraph.split()
        length = min(len(words), draw.randint(40, 90))
        start = draw.randint(0, len(words) - length)
        own = words[start : start + length]
        said = draw.randint(12, 30)
        at = draw.randint(0, length - said)
        found.append(Passage(" ".join(own), " ".join(own[at : at + said])))
    return found
