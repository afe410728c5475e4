"""Embedders: what turns texts into vectors, and how a text that is too long for one vector is cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""Shape [n, dimensions], every row of length 1: the inner product of two rows is their cosine."""

BUNDLED: Final = "bundled"

AUTO: Final = "auto"
FLOAT32: Final = "torch-float32"
BFLOAT16: Final = "torch-bfloat16"
BACKENDS: Final = (AUTO, FLOAT32, BFLOAT16)
"""How a transformer can be computed; `auto` takes the fastest that this processor computes in hardware."""


class Embedder(Protocol):
    """Thread-safe. `hash` says which weights and pooling made a vector: scores of another hash mean something else."""

    @property
    def name(self) -> str: ...

    @property
    def hash(self) -> str:
        """64 hexadecimal digits."""

    @property
    def backend(self) -> str:
        """How vectors are computed: one of `BACKENDS`, never `auto`."""

    @property
    def folder(self) -> Path | None:
        """Where the model's files are; None when it has none."""

    @property
    def dimensions(self) -> int: ...

    @property
    def longest(self) -> int:
        """Tokens that one vector can take in."""

    def count(self, text: str) -> int:
        """Tokens of this text."""

    def pieces(self, text: str, spare: int = 0) -> list[str]:
        """`text` in overlapping pieces that fit one vector with `spare` tokens left free; mostly just [text]."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One vector per text. A text must fit (see `pieces`): what is beyond the limit would not be seen."""


def load_embedder(name_or_path: str = BUNDLED, threads: int = 0, device: str = "cpu", backend: str = AUTO) -> Embedder:
    """The bundled all-MiniLM-L6-v2, checked by hash, or any sentence-transformers name or path.

    `threads` limits the cores that one computation uses (0 leaves torch's own choice). Raises `EmbedderRefused`.
    """
    from index.transformer import load_transformer  # noqa: PLC0415  # torch takes seconds, most commands need none

    return load_transformer(name_or_path, threads, device, backend)
