"""The background sample: ordinary exchanges of many domains and tones, by which a detector is told what is harmless.

The texts were written for this project. Their vectors depend on the embedder: those of the bundled one ship beside the
texts, for another one they are computed once and kept in a folder. A file is written beside its place and moved there,
and read only when it is whole. Vectors are kept in half precision, which moves a cosine by about 1e-5; those that ship
were computed in float32 and serve every backend of that embedder, which agree to 0.995 and better.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from guard.detector import Window
from guard.segments import DEFAULT_RULE, WindowRule
from guard.windows import windows_of
from guard.words import words_of
from index.calibration import rule_id
from index.embedder import FLOAT32, Embedder, Vectors
from index.forms import SHORTEST_STATEMENT, exchange

Progress = Callable[[int, int], None]
"""Told how many of how many texts are embedded."""

SHIPPED: Final = Path(str(resources.files("index"))) / "background"
"""Where the texts are, and the vectors that ship."""

_FORMAT: Final = "background1"
_CHUNK: Final = 128
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A turn and the answer to it."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Vectors [n, dimensions], and the window that each of them asks for [n], ascending."""

    vectors: Vectors
    windows: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Harmless exchanges, the windows of their answers, and what would be asked for each window.

    `owners` names the exchange of each window. `statements` are the windows alone (none for a brief one), `pairs` those
    near the beginning together with their turn. `digest` says which texts, embedder and rule all this was made with.
    """

    exchanges: tuple[Exchange, ...]
    windows: tuple[Window, ...]
    owners: NDArray[np.intp]
    statements: Rows
    pairs: Rows
    digest: str

    def per_window(self, rows: Rows, scores: NDArray[np.float64], nothing: float = -np.inf) -> NDArray[np.float64]:
        """The best score of each window [windows]; `nothing` where no row asks for it."""
        best = np.full(len(self.windows), nothing)
        np.maximum.at(best, rows.windows, scores)
        return best

    def per_exchange(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """The best score of each exchange [exchanges], from one per window."""
        best = np.full(len(self.exchanges), -np.inf)
        np.maximum.at(best, self.owners, scores)
        return best


def exchanges() -> tuple[Exchange, ...]:
    """The sample that ships."""
    text = (SHIPPED / "exchanges.jsonl").read_text("utf-8")
    rows = (json.loads(line) for line in text.splitlines())
    return tuple(Exchange(row["prompt"], row["answer"]) for row in rows)


def load_background(
    embedder: Embedder,
    folder: Path | None = None,
    progress: Progress | None = None,
    sample: Sequence[Exchange] | None = None,
    rule: WindowRule = DEFAULT_RULE,
) -> Background:
    """The background in the vectors of this embedder: what ships, or what `folder` has, else computed and kept there.

    Computing takes about a minute on one core; `progress` is called along the way, in this thread. A folder that cannot
    be written is no fault.
    """
    chosen = tuple(exchanges() if sample is None else sample)
    windows: list[Window] = []
    owners: list[int] = []
    for i, each in enumerate(chosen):
        found = windows_of(each.answer, rule, each.prompt, stretched=False)
        windows += found
        owners += [i] * len(found)
    statements, pairs = _texts(windows, embedder)
    texts = [text for _, text in (*statements, *pairs)]
    digest = _digest(texts, embedder.hash, embedder.backend, rule)
    kept = [(SHIPPED, _digest(texts, embedder.hash, FLOAT32, rule)), *([] if folder is None else [(folder, digest)])]
    read = (_kept(place, which, (len(texts), embedder.dimensions)) for place, which in kept)
    vectors = next((matrix for matrix in read if matrix is not None), None)
    if vectors is None:
        vectors = _embedded(embedder, texts, progress)
        if folder is not None:
            _keep(folder, digest, vectors)
    cut = len(statements)
    return Background(
        chosen,
        tuple(windows),
        np.array(owners, dtype=np.intp),
        Rows(vectors[:cut], np.array([i for i, _ in statements], dtype=np.intp)),
        Rows(vectors[cut:], np.array([i for i, _ in pairs], dtype=np.intp)),
        digest,
    )


def _texts(windows: Sequence[Window], embedder: Embedder) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """What live traffic would ask for each window, alone and with its turn."""
    alone, paired = list[tuple[int, str]](), list[tuple[int, str]]()
    for i, window in enumerate(windows):
        if not window.context or len(words_of(window.text)) >= SHORTEST_STATEMENT:
            alone += [(i, piece) for piece in embedder.pieces(window.text.strip())]
        if window.context:
            paired += [(i, piece) for piece in embedder.pieces(exchange(window.context, window.text))]
    return alone, paired


def _digest(texts: Sequence[str], embedder_hash: str, backend: str, rule: WindowRule) -> str:
    return hashlib.sha256(json.dumps([_FORMAT, embedder_hash, backend, rule_id(rule), *texts]).encode()).hexdigest()


def _path(folder: Path, digest: str) -> Path:
    return folder / f"background-{digest[:16]}.npz"


def _embedded(embedder: Embedder, texts: Sequence[str], progress: Progress | None) -> Vectors:
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    vectors = np.zeros((len(texts), embedder.dimensions), dtype=np.float32)
    for at in range(0, len(order), _CHUNK):
        chunk = order[at : at + _CHUNK]
        vectors[chunk] = embedder.encode([texts[i] for i in chunk])
        if progress is not None:
            progress(at + len(chunk), len(texts))
    return vectors.astype(np.float16).astype(np.float32)  # as they will be read


def _seal(digest: str, vectors: Vectors) -> str:
    return hashlib.sha256(digest.encode() + np.ascontiguousarray(vectors, dtype="<f2").tobytes()).hexdigest()


def _kept(folder: Path, digest: str, shape: tuple[int, int]) -> Vectors | None:
    """The vectors of a file that is whole and belongs to this sample, or None."""
    try:
        with np.load(_path(folder, digest), allow_pickle=False) as file:
            vectors: Vectors = file["vectors"].astype(np.float32)
            seal = str(file["seal"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        _log.warning("the kept background vectors cannot be read and are computed again")
        return None
    if vectors.shape != shape or seal != _seal(digest, vectors):
        _log.warning("the kept background vectors are not what was written and are computed again")
        return None
    return vectors


def _keep(folder: Path, digest: str, vectors: Vectors) -> None:
    path = _path(folder, digest)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, suffix=".tmp", delete=False) as file:
            np.savez(file, vectors=vectors.astype("<f2"), seal=np.array(_seal(digest, vectors)))
        Path(file.name).replace(path)
    except OSError as cause:
        _log.warning("the background vectors cannot be kept (%s): the next start computes them again", cause.strerror)
