"""The two concepts that the benchmark and the tests share, and the windows of their texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from guard.segments import DEFAULT_RULE
from guard.windows import windows_of
from index.embedder import Embedder, Vectors
from index.entry import Content
from index.forms import entry_windows

FOLDER = Path(__file__).resolve().parents[2] / "bench" / "concept_samples"
NAMES = ("locks", "marrow")


@dataclass(frozen=True)
class Sample:
    """A concept with what was held out of it: texts that show it, and texts near its border that do not."""

    description: str
    examples: tuple[str, ...]
    counterexamples: tuple[str, ...]
    test_positives: tuple[str, ...]
    test_negatives: tuple[str, ...]

    def content(self, counterexamples: bool = True) -> Content:
        return Content(self.description, "", self.examples, self.counterexamples if counterexamples else ())


def sample(name: str) -> Sample:
    body = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return Sample(body.pop("description"), **{key: tuple(texts) for key, texts in body.items()})


def rows(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """The windows that an entry's texts are known by."""
    return embedder.encode([window for text in texts for window in entry_windows(text, DEFAULT_RULE)])


def best(embedder: Embedder, texts: Sequence[str], score) -> np.ndarray:
    """The highest score of any window, per text."""
    windows = [(i, w.text.strip()) for i, text in enumerate(texts) for w in windows_of(text)]
    scores = score(embedder.encode([text for _, text in windows]))
    found = np.full(len(texts), -np.inf)
    np.maximum.at(found, [i for i, _ in windows], scores)
    return found
