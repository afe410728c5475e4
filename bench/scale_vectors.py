"""A million vectors for measurements of scale: real sentences as the embedder sees them, and mixtures of neighbours."""

from __future__ import annotations

import csv
import hashlib
import itertools
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np

from bench.dataset import Tofu, benign, read
from index.embedder import Embedder, Vectors

SENTENCES: Final = 30_000
"""Distinct sentences that are embedded; all others are mixtures of these."""

_END: Final = re.compile(r"(?<=[.!?])\s+")
_NEIGHBOURS: Final = 16
_NOISE: Final = 0.02  # standard deviation per dimension; the length of the noise is that times the root of 384
_FEWEST_WORDS: Final = 4
_MOST_WORDS: Final = 40

HOW: Final = (
    "{sentences:,} distinct sentences (books, TOFU, answers of assistants, STS, Tatoeba in four languages) embedded "
    "with {model}, and mixtures of two neighbours among them: a * first + (1 - a) * second, a from 0.3 to 0.95, "
    "one of its 16 nearest as the second, plus noise of length 0.4, at length 1 again"
)


def sentences(data: Path, count: int) -> list[str]:
    """Distinct sentences of 4 to 40 words from all of the evaluation data, in a mixed order."""
    found = {s for text in _texts(data) for s in _END.split(" ".join(text.split()))}
    fitting = sorted(s for s in found if _FEWEST_WORDS <= len(s.split()) <= _MOST_WORDS)
    random.Random(0).shuffle(fitting)
    return fitting[:count]


def _texts(data: Path) -> Iterator[str]:
    yield from (answer.text for answer in benign(data))
    tofu = Tofu(data)
    yield from itertools.chain.from_iterable((a.prompt, a.text) for a in (*tofu.entries(), *tofu.retain()))
    for path in sorted((data / "books").glob("*.md")):
        yield path.read_text("utf-8")
    for path in sorted((data / "stsb").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            yield from (text for row in csv.reader(file) for text in row[:2])
    for path in sorted((data / "tatoeba").glob("*.jsonl")):
        for row in read(data, f"tatoeba/{path.name}"):
            yield from (text for text in row.values() if isinstance(text, str))


def sentence_vectors(data: Path, embedder: Embedder, count: int = SENTENCES) -> Vectors:
    """Their vectors [count, dimensions], kept in the user's cache folder for the next run."""
    texts = sentences(data, count)
    digest = hashlib.sha256("\n".join((embedder.hash, embedder.backend, *texts)).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lethe" / "bench"
    path = folder / f"sentences-{digest}.npy"
    if path.is_file():
        kept: Vectors = np.load(path)
        return kept
    vectors = embedder.encode(texts)
    folder.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft.npy")
    np.save(draft, vectors)
    draft.replace(path)
    return vectors


def mixtures(vectors: Vectors, count: int, seed: int) -> Vectors:
    """`count` mixtures of neighbours [count, dimensions], rows of length 1."""
    rng = np.random.default_rng(seed)
    near = _neighbours(vectors)
    made: Vectors = np.empty((count, vectors.shape[1]), dtype=np.float32)
    for at in range(0, count, 65_536):
        n = min(65_536, count - at)
        first = rng.integers(0, len(vectors), n)
        second = near[first, rng.integers(0, near.shape[1], n)]
        share = rng.uniform(0.3, 0.95, (n, 1)).astype(np.float32)
        rows = share * vectors[first] + (1 - share) * vectors[second]
        rows += rng.standard_normal(rows.shape, dtype=np.float32) * np.float32(_NOISE)
        made[at : at + n] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return made


def _neighbours(vectors: Vectors) -> Any:
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    _, found = index.search(vectors, _NEIGHBOURS + 1)
    return found[:, 1:]
