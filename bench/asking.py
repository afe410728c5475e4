"""Answers as traffic asks for them: their windows, alone and with the turn, embedded once each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.progress import Progress

from bench.dataset import Answer
from guard.segments import DEFAULT_RULE
from guard.windows import windows_of
from guard.words import words_of
from index.embedder import Embedder, Vectors
from index.forms import SHORTEST_STATEMENT, entry_windows, exchange

CHUNK = 512

Score = Callable[[Vectors], np.ndarray]


@dataclass(frozen=True)
class Asked:
    """Answers as traffic asks: rows alone and with their turn, and the window and answer each belongs to."""

    alone: Vectors
    paired: Vectors
    alone_windows: np.ndarray
    paired_windows: np.ndarray
    owners: np.ndarray
    count: int

    def best(self, score: Score, mean: bool = True) -> np.ndarray:
        """The highest score of each answer, [count]; `mean` of both forms, else the statement alone."""
        alone = np.full(len(self.owners), np.nan)
        alone[self.alone_windows] = score(self.alone)
        both = alone.copy()
        if mean and len(self.paired):
            paired = np.full(len(self.owners), np.nan)
            paired[self.paired_windows] = score(self.paired)
            both = np.where(np.isnan(paired), alone, np.where(np.isnan(alone), paired, (alone + paired) / 2))
        found = np.full(self.count, -np.inf)
        np.maximum.at(found, self.owners, np.nan_to_num(both, nan=-np.inf))
        return found


class Encoder:
    """The embedder, told once per text."""

    def __init__(self, embedder: Embedder, progress: Progress) -> None:
        self.embedder, self._progress = embedder, progress
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, texts: Sequence[str], title: str) -> Vectors:
        missing = sorted({text for text in texts if text not in self._known}, key=len)
        task = self._progress.add_task(f"{title} ({len(missing)} texts)", total=len(missing))
        for at in range(0, len(missing), CHUNK):
            chunk = missing[at : at + CHUNK]
            self._known.update(zip(chunk, self.embedder.encode(chunk), strict=True))
            self._progress.advance(task, len(chunk))
        empty = np.zeros((0, self.embedder.dimensions), dtype=np.float32)
        return np.array([self._known[text] for text in texts], dtype=np.float32) if texts else empty

    def rows(self, texts: Sequence[str], title: str) -> Vectors:
        """The windows that an entry's texts are known by."""
        return self([window for text in texts for window in entry_windows(text, DEFAULT_RULE)], title)

    def asked(self, answers: Sequence[Answer], title: str) -> Asked:
        """What traffic would ask for these answers."""
        windows = [(i, w) for i, a in enumerate(answers) for w in windows_of(a.text, DEFAULT_RULE, a.prompt)]
        said = [j for j, (_, w) in enumerate(windows) if not w.context or len(words_of(w.text)) >= SHORTEST_STATEMENT]
        paired = [j for j, (_, w) in enumerate(windows) if w.context]
        return Asked(
            self([windows[j][1].text.strip() for j in said], title),
            self([exchange(windows[j][1].context, windows[j][1].text) for j in paired], f"{title}, with turns"),
            np.array(said, dtype=int),
            np.array(paired, dtype=int),
            np.array([i for i, _ in windows], dtype=int),
            len(answers),
        )
