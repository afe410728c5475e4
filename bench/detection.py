"""How well what is forgotten is found, in whatever dress, and how often other text is taken for it.

Parts: `facts` (TOFU: paraphrases, leaks, false answers, negatives), `dresses` (book passages in every dress), `prompts`
(harmless prompts refused), `stages` (what each stage buys, and whether the static one costs recall) and `cost`. Each
part writes its own section of docs/benchmarks.md; with `--sample` nothing is written.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from rich.progress import Progress

from bench.dataset import Answer, Passage, Tofu, add_data_option, benign, passages
from bench.trial import Reading, RememberedEmbedder, build_views, read
from guard.verdict import Kind
from index.embedder import load_embedder
from index.entry import Draft
from index.snapshot import View

PASSAGES: Final = 150
FEW_AUTHORS, FEW_PASSAGES = 2, 10
"""What is forgotten in a quick look."""

FACTS, BOOKS = "facts", "books"


@dataclass
class Bench:
    """What the parts share. `sample` limits every set to so many texts, and what is forgotten; 0 to none."""

    data: Path
    threads: int
    sample: int
    progress: Progress

    @cached_property
    def tofu(self) -> Tofu:
        """The facts."""
        return Tofu(self.data, FEW_AUTHORS if self.sample else 20)

    @cached_property
    def passages(self) -> list[Passage]:
        """The book passages that are forgotten."""
        return passages(self.data, FEW_PASSAGES if self.sample else PASSAGES)

    @cached_property
    def embedder(self) -> RememberedEmbedder:
        """The bundled embedder; each text is computed once."""
        return RememberedEmbedder(load_embedder(threads=self.threads))

    @cached_property
    def views(self) -> dict[str, View]:
        """Two namespaces: the facts of forget10, and the book passages."""
        facts = [Draft(kind=Kind.FACT, text=e.text, prompt=e.prompt) for e in self.tofu.entries()]
        books = [Draft(kind=Kind.PASSAGE, text=p.text) for p in self.passages]
        return build_views({FACTS: facts, BOOKS: books}, self.embedder)

    @cached_property
    def fact_sets(self) -> Mapping[str, Sequence[Answer]]:
        """The answers that facts are tested with."""
        tofu = self.tofu
        sets = {
            "paraphrases": tofu.paraphrases(),
            "paraphrases, question in other words": tofu.paraphrases("paraphrased_question"),
            "paraphrases, question unknown": [Answer("", a.text, a.group) for a in tofu.paraphrases()],
            "leaks": tofu.leaks(),
            "retain": tofu.retain(),
            "benign": self.benign,
            "false answers, same questions": tofu.false_answers(),
            "never trained, same questions": tofu.never_trained(),
        }
        return {name: self.some(answers) for name, answers in sets.items()}

    @cached_property
    def benign(self) -> Sequence[Answer]:
        """Ordinary assistant answers."""
        return self.some(benign(self.data))

    @cached_property
    def fact_readings(self) -> Mapping[str, Sequence[Reading]]:
        """What streams would judge of them."""
        return {name: self.read(FACTS, answers, name) for name, answers in self.fact_sets.items()}

    def some(self, found: Sequence[Answer], most: int = 0) -> Sequence[Answer]:
        """A random sample where there are more than `--sample` or `most`; groups stay mixed."""
        most = min(n for n in (most, self.sample, len(found)) if n)
        return found if most >= len(found) else random.Random(0).sample(list(found), most)

    def read(self, namespace: str, answers: Sequence[Answer], title: str) -> list[Reading]:
        """What a stream would judge of each text."""
        view = self.views[namespace]
        task = self.progress.add_task(f"reading {title}", total=len(answers))
        readings = []
        for answer in answers:
            readings.append(read(view, answer))
            self.progress.advance(task)
        return readings


def main() -> None:
    """Measure, print, and write the sections of docs/benchmarks.md."""
    from bench import detection_cost, detection_dresses, detection_facts, detection_prompts, detection_stages

    parts: dict[str, Callable[[Bench], str]] = {
        "facts": detection_facts.measure,
        "stages": detection_stages.measure,
        "dresses": detection_dresses.measure,
        "prompts": detection_prompts.measure,
        "cost": detection_cost.measure,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--threads", type=int, default=2, help="cores for the embedder (%(default)s)")
    parser.add_argument("--sample", type=int, default=0, help="texts of each set, for a quick look that writes nothing")
    parser.add_argument("--parts", default=",".join(parts), help="which to measure (%(default)s)")
    arguments = parser.parse_args()
    chosen = arguments.parts.split(",")
    if unknown := [name for name in chosen if name not in parts]:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(parts)}")
    with Progress() as progress:
        bench = Bench(arguments.data, arguments.threads, arguments.sample, progress)
        for name in chosen:
            print(f"-- {name}\n\n{parts[name](bench)}\n", flush=True)


if __name__ == "__main__":
    main()
