"""Static embeddings: one vector per token, distilled from the embedder, so that a text costs a sum and no computing.

model2vec (Tulkens and van Dongen, 2024) sends each token through the transformer alone, keeps the main components, and
weights every token by how rare it is (smooth inverse frequency: Arora, Liang and Ma, 2017). The components are then
brought to the same spread (whitening: Su, Cao, Liu and Ou, 2021), so that what all sentences share does not hide what
one names. That takes half a minute, so what comes out is kept in a cache, one folder per embedder and recipe:

```
    FOLDER/static-<hash of the embedder>-<recipe>/   vectors.npy  tokenizer.json  manifest.json (SHA-256 of both)
```
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from tokenizers import Tokenizer

from index.embedder import Embedder, Vectors

DIMENSIONS: Final = 256
SIF: Final = 1e-5
"""Smooth inverse frequency: the smaller, the less common words count. Chosen by what can be cleared with it."""

RECIPE: Final = f"whitened-{DIMENSIONS}-{SIF:g}"
"""Names how vectors are made: another recipe is another model."""

Progress = Callable[[int, int], None]
"""Told how many tokens of how many are done."""

_SHORTEST: Final = np.float32(1e-9)
_VECTORS: Final = "vectors.npy"
_TOKENIZER: Final = "tokenizer.json"
_MANIFEST: Final = "manifest.json"
_POOLINGS: Final = {"cls": "first", "lasttoken": "last"}


class NotDistilled(Exception):
    """No static model can be made of this embedder. The message says why, in one sentence."""


class StaticModel:
    """Thread-safe. `hash` names the very vectors: those of another hash must not be compared with them."""

    name = "static"

    def __init__(self, tokenizer: Tokenizer, vectors: Vectors, unknown: int | None) -> None:
        tokenizer.no_padding()  # the tokenizers of many models pad to a length of their own, and cut there
        tokenizer.no_truncation()
        self._tokenizer, self._vectors, self._unknown = tokenizer, vectors, unknown
        self.dimensions = int(vectors.shape[1])
        self._sum = _summing(vectors)
        digest = hashlib.sha256(np.ascontiguousarray(vectors).tobytes())
        digest.update(tokenizer.to_str().encode())
        self.hash = digest.hexdigest()

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One vector per text, [n, dimensions], of length 1; zeros for a text without a known token."""
        return self.encode_known(texts)[0]

    def encode_known(self, texts: Sequence[str]) -> tuple[Vectors, NDArray[np.float32]]:
        """The vectors, and per text the share of its tokens that they speak of, 0 to 1."""
        read = [self._tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        known = [[token for token in tokens if token != self._unknown] for tokens in read]
        shares = np.array([len(k) / max(1, len(r)) for k, r in zip(known, read, strict=True)], dtype=np.float32)
        starts = np.cumsum([0, *map(len, known[:-1])]) if known else np.zeros(0)
        tokens = np.fromiter(chain.from_iterable(known), dtype=np.int64)
        summed: Vectors = self._sum(tokens, starts.astype(np.int64))
        lengths = np.linalg.norm(summed, axis=1, keepdims=True)
        vectors: Vectors = summed / np.maximum(lengths, _SHORTEST)
        return vectors, shares

    def read(self, text: str) -> tuple[Vectors, int, int]:
        """The vectors of a text's tokens added up [dimensions], how many tokens it has, and how many are known."""
        tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
        known = [token for token in tokens if token != self._unknown]
        total: Vectors = self._vectors[known].sum(axis=0)
        return total, len(tokens), len(known)

    def word(self, norm: str) -> Vectors:
        """The vectors of one word's tokens added up [dimensions], of whatever length: what it adds to a text's sum."""
        return self.read(norm)[0]


def _summing(vectors: Vectors) -> Callable[[NDArray[np.int64], NDArray[np.int64]], Vectors]:
    """Sums the vectors of runs of tokens; takes all tokens, and where each run starts."""
    import torch  # noqa: PLC0415  # takes seconds, and whoever has a model has an embedder

    weight = torch.from_numpy(vectors)

    def summed(tokens: NDArray[np.int64], starts: NDArray[np.int64]) -> Vectors:
        with torch.inference_mode():
            bags = torch.nn.functional.embedding_bag(
                torch.from_numpy(tokens), weight, torch.from_numpy(starts), mode="sum"
            )
        found: Vectors = bags.numpy()
        return found

    return summed


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a static model is made of."""

    tokenizer: Tokenizer
    vectors: Vectors
    unknown: int | None

    def model(self) -> StaticModel:
        """The model."""
        return StaticModel(self.tokenizer, self.vectors, self.unknown)


def distilled(embedder: Embedder, folder: Path, progress: Progress | None = None) -> StaticModel:
    """The static model of that embedder: from the cache in `folder`, or made now, which takes half a minute.

    Several processes may ask at once: one makes it, the others wait for it. A cache that cannot be written is done
    without; one that was changed is made anew. Raises `NotDistilled`.
    """
    kept = folder / f"static-{embedder.hash[:16]}-{RECIPE}"
    found = _read(kept, embedder.hash)
    if found is not None:
        return found.model()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{kept.name}.lock"):
            found = _read(kept, embedder.hash)
            if found is None:
                found = _made(embedder, progress)
                _keep(kept, embedder.hash, found)
    except OSError:
        found = found or _made(embedder, progress)
    return found.model()


# -- the cache --------------------------------------------------------------------------------------------------------


def _read(kept: Path, embedder_hash: str) -> _Parts | None:
    """What is kept, when it is whole and of that embedder."""
    try:
        manifest = json.loads((kept / _MANIFEST).read_text("utf-8"))
        if manifest["embedder"] != embedder_hash or manifest["recipe"] != RECIPE:
            return None
        if any(_digest(kept / name) != manifest["files"][name] for name in (_VECTORS, _TOKENIZER)):
            return None
        vectors = np.asarray(np.load(kept / _VECTORS, mmap_mode="c", allow_pickle=False))  # processes share its pages
        return _Parts(Tokenizer.from_file(str(kept / _TOKENIZER)), vectors, manifest["unknown"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(kept: Path, embedder_hash: str, parts: _Parts) -> None:
    """Write beside, then rename: a reader sees all of it or nothing."""
    written = Path(tempfile.mkdtemp(prefix=f"{kept.name}.", dir=kept.parent))
    try:
        np.save(written / _VECTORS, parts.vectors, allow_pickle=False)
        parts.tokenizer.save(str(written / _TOKENIZER))
        files = {name: _digest(written / name) for name in (_VECTORS, _TOKENIZER)}
        manifest = {"embedder": embedder_hash, "recipe": RECIPE, "unknown": parts.unknown, "files": files}
        (written / _MANIFEST).write_text(json.dumps(manifest, indent=2), "utf-8")
        shutil.rmtree(kept, ignore_errors=True)  # what is there was found not to be whole
        os.rename(written, kept)  # noqa: PTH104  # refuses to replace a folder that is not empty, as it should
    finally:
        shutil.rmtree(written, ignore_errors=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- distilling -------------------------------------------------------------------------------------------------------


class _Bar:
    """Stands in for the bar that model2vec draws: reports instead."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def update(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


def _made(embedder: Embedder, progress: Progress | None) -> _Parts:
    """The parts, always from float32 weights: they do not depend on how the embedder computes."""
    from model2vec.distill import distill_from_model, inference  # noqa: PLC0415  # takes seconds, rarely needed

    model, tokenizer, pooling = _transformer(embedder)
    drawing: Any = inference
    drawn = drawing.tqdm
    drawing.tqdm = lambda total, **_: _Bar(progress, total)
    try:
        made: Any = distill_from_model(
            model,
            tokenizer,
            device="cpu",
            pca_dims=DIMENSIONS,
            sif_coefficient=SIF,
            quantize_to="float32",
            pooling=pooling,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, NotImplementedError) as cause:
        raise NotDistilled(
            f"the embedder {embedder.name} has no static stage: model2vec cannot distil it ({type(cause).__name__})"
        ) from cause
    finally:
        drawing.tqdm = drawn
    spread = np.maximum(made.embedding.std(axis=0), _SHORTEST)
    vectors = made.embedding / spread * made.weights[:, None]
    return _Parts(made.tokenizer, vectors.astype(np.float32), made.unk_token_id)


def _transformer(embedder: Embedder) -> tuple[Any, Any, str]:
    """The Hugging Face model, its tokenizer, and how it pools."""
    import torch  # noqa: PLC0415  # takes seconds, rarely needed
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415  # takes seconds, rarely needed

    if embedder.folder is None:
        raise NotDistilled(f"the embedder {embedder.name} has no static stage: it is no model with files")
    try:
        whole = SentenceTransformer(str(embedder.folder), device="cpu", local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError) as cause:
        reason = type(cause).__name__
        raise NotDistilled(
            f"the embedder {embedder.name} has no static stage: it cannot be loaded ({reason})"
        ) from cause
    first: Any = whole[0]
    model = getattr(first, "auto_model", None) or getattr(first, "model", None)
    tokenizer = getattr(whole, "tokenizer", None)
    if not isinstance(model, torch.nn.Module) or not getattr(tokenizer, "is_fast", False):
        raise NotDistilled(
            f"the embedder {embedder.name} has no static stage: it is no transformer with a fast tokenizer"
        )
    pool: Any = whole[1] if len(whole) > 1 else None
    mode = pool.get_pooling_mode_str() if hasattr(pool, "get_pooling_mode_str") else "mean"
    return model.float(), tokenizer, _POOLINGS.get(mode, "mean")
