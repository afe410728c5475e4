"""Two guards to compare with, as others build them. They exist for the benchmarks only.

*Whole-answer cosine* is what the semantic response guards of API gateways do: one vector for the answer, one per
forbidden text, one threshold. *MemFree* (Ippolito et al. 2023, arXiv 2210.17546) refuses text that repeats an n-gram of
what is forbidden, word for word; n = 10 as there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from index.embedder import Embedder, Vectors

N: int = 10
"""Tokens of an n-gram: words and single marks, as they are written."""
_TOKEN = re.compile(r"\w+|[^\w\s]")


class WholeAnswerCosine:
    """The cosine of an answer's vector to the nearest forbidden text's. Long texts: the mean over their pieces."""

    def __init__(self, embedder: Embedder, forbidden: Sequence[str]) -> None:
        self._embedder = embedder
        self._known = self._vectors(forbidden)

    def scores(self, answers: Sequence[str]) -> np.ndarray:
        """The highest cosine of each answer, [n]."""
        return (self._vectors(answers) @ self._known.T).max(axis=1) if answers else np.zeros(0)

    def _vectors(self, texts: Sequence[str]) -> Vectors:
        pieces = [self._embedder.pieces(text) for text in texts]
        owners = np.repeat(np.arange(len(texts)), [len(found) for found in pieces])
        rows = self._embedder.encode([piece for found in pieces for piece in found])
        sums = np.zeros((len(texts), rows.shape[1]), dtype=np.float32)
        np.add.at(sums, owners, rows)
        return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)


class NgramFilter:
    """Refuses an answer that repeats an n-gram. A forbidden text of fewer tokens is one n-gram by itself."""

    def __init__(self, forbidden: Iterable[str]) -> None:
        self._known: set[tuple[str, ...]] = set()
        self._lengths: set[int] = set()
        for text in forbidden:
            tokens = _TOKEN.findall(text)
            n = min(N, len(tokens))
            self._lengths.add(n)
            self._known.update(_ngrams(tokens, n))

    def refuses(self, answer: str) -> bool:
        """True when the answer repeats one."""
        tokens = _TOKEN.findall(answer)
        return any(gram in self._known for n in self._lengths for gram in _ngrams(tokens, n))


def _ngrams(tokens: Sequence[str], n: int) -> Iterable[tuple[str, ...]]:
    return (tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1))
