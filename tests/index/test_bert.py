"""A BERT computed with fewer steps gives the vectors of the general implementation; what is none is left to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer

from index.bert import BertEncoder
from index.embedder import load_embedder

TEXTS = (
    "",
    "Yes.",
    "The lamp was lit at dusk, and the keeper of the harbour went down to the boats.",
    "Caf\u00e9 \u4e2d\u6587 \U0001f600 na\u00efve",
    "Every lamp of the coast has a keeper who sleeps by day. " * 40,
)


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    folder = load_embedder(backend="torch-float32").folder
    assert folder is not None
    found = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    found.eval()
    return found


def general(model: SentenceTransformer, texts: list[str]) -> np.ndarray:
    return np.asarray(model.encode(texts, normalize_embeddings=True))


def test_the_vectors_are_those_of_the_general_implementation(model: SentenceTransformer) -> None:
    embedder = load_embedder(backend="torch-float32")
    np.testing.assert_allclose(embedder.encode(TEXTS), general(model, list(TEXTS)), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(1000, 20000), min_size=1, max_size=40), min_size=1, max_size=8))
def test_a_text_is_computed_as_if_it_were_alone(model: SentenceTransformer, texts: list[list[int]]) -> None:
    encoder = BertEncoder.of(model)
    assert encoder is not None
    together = encoder.vectors(texts)
    alone = torch.cat([encoder.vectors([text]) for text in texts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_half_the_bits_change_next_to_nothing(model: SentenceTransformer) -> None:
    short = load_embedder(backend="torch-bfloat16").encode(TEXTS)
    assert (short * general(model, list(TEXTS))).sum(axis=1).min() > 0.999


def test_what_pools_in_another_way_is_left_to_its_own_code(model: SentenceTransformer) -> None:
    class Pooling(torch.nn.Module):
        pooling_mode = "cls"

        def forward(self, features: dict[str, Any]) -> dict[str, Any]:
            return features

    other = SentenceTransformer(modules=[model[0], Pooling()], device="cpu")
    assert BertEncoder.of(other) is None


def test_what_has_other_layers_is_left_to_its_own_code(model: SentenceTransformer) -> None:
    class Dense(torch.nn.Linear):
        pass

    other = SentenceTransformer(modules=[model[0], model[1], Dense(4, 4)], device="cpu")
    assert BertEncoder.of(other) is None


def test_a_text_that_is_too_long_is_cut_in_the_same_place(model: SentenceTransformer) -> None:
    embedder = load_embedder(backend="torch-float32")
    words = " ".join(str(n) for n in range(500))
    np.testing.assert_allclose(embedder.encode([words]), general(model, [words]), atol=1e-5)
    assert embedder.count(words) > embedder.longest
