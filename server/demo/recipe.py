"""How the tiny model is made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """Size and schooling of the model. Rates are Muon's for matrices and AdamW's for the rest."""

    hidden: int = 128
    layers: int = 4
    heads: int = 4
    vocabulary: int = 2048
    positions: int = 1024
    steps: int = 400
    batch: int = 16
    matrix_rate: float = 0.02
    embedding_rate: float = 0.01
    seed: int = 0
    resits: int = 2
    """Further rounds, each a fifth of the steps, when the model does not recite everything after the first."""
