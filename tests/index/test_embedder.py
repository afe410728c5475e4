"""The bundled embedder: the expected weights, unit vectors, no silent truncation, many threads."""

from __future__ import annotations

import shutil
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index import transformer
from index.embedder import load_embedder
from index.errors import EmbedderRefused

LONG = " ".join(f"The keeper of lamp {n} slept in house {n * 7} of the harbour." for n in range(120))


def test_it_gives_unit_vectors_in_the_order_of_the_texts(embedder) -> None:
    texts = ["A short one.", "Somewhat longer than the other text, this one is.", "", "A short one."]
    vectors = embedder.encode(texts)
    assert vectors.shape == (4, embedder.dimensions) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors[0] @ vectors[3] > 0.9999
    assert embedder.encode([]).shape == (0, embedder.dimensions)


@pytest.mark.parametrize(("backend", "apart"), [("torch-float32", 1e-5), ("torch-bfloat16", 5e-3)])
def test_a_vector_does_not_depend_on_its_company(backend, apart) -> None:
    """But for the rounding of the backend."""
    embedder = load_embedder(backend=backend)
    alone = embedder.encode(["The lamp was lit at dusk."])
    among = embedder.encode(["Yes.", "The lamp was lit at dusk.", LONG[:700]])[1:2]
    np.testing.assert_allclose(alone, among, atol=apart)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=60), st.integers(1, 40), st.sampled_from([0, 50, 200]))
def test_pieces_fit_and_cover_the_text(embedder, text, times, spare) -> None:
    whole = text * times
    pieces = embedder.pieces(whole, spare)
    at = 0
    for piece in pieces:
        assert embedder.count(piece) <= embedder.longest
        at = max(at, whole.find(piece, 0) + len(piece)) if len(pieces) > 1 else len(whole)
    covered = embedder.count(whole)
    assert sum(embedder.count(p) - 2 for p in pieces) >= covered - 2


def test_pieces_of_a_long_text_overlap_and_reach_its_end(embedder) -> None:
    pieces = embedder.pieces(LONG)
    spans = [(LONG.index(piece), LONG.index(piece) + len(piece)) for piece in pieces]
    assert spans[0][0] == 0 and spans[-1][1] == len(LONG)
    assert all(b[0] < a[1] for a, b in pairwise(spans))
    assert len(pieces) > 3 and embedder.pieces("short") == ["short"]


def test_what_is_said_at_the_end_of_a_long_text_is_seen(embedder) -> None:
    secret = "Basil Orsk was born in the village of Tern."
    near = embedder.encode(embedder.pieces(LONG + " " + secret)) @ embedder.encode([secret]).T
    far = embedder.encode(embedder.pieces(LONG)) @ embedder.encode([secret]).T
    assert near.max() > far.max() + 0.1


def test_threads_do_not_disturb_each_other(embedder) -> None:
    texts = [f"Text {n} " + "about the harbour " * (n % 9) for n in range(40)]
    expected = embedder.encode(texts)
    answers = []

    def work() -> None:
        embedder.pieces(LONG)
        answers.append(embedder.encode(texts))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    for answer in answers:
        np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_the_bundled_weights_are_checked(monkeypatch) -> None:
    monkeypatch.setattr(transformer, "BUNDLED_WEIGHTS", "0" * 64)
    with pytest.raises(EmbedderRefused, match="not the expected ones"):
        load_embedder()


def test_a_path_works_and_another_pooling_is_another_hash(embedder, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(transformer._bundled(), folder)
    same = load_embedder(str(folder))
    assert same.hash == embedder.hash and same.name == str(folder)
    pooling = folder / "1_Pooling" / "config.json"
    pooling.write_text(pooling.read_text().replace('"pooling_mode_cls_token": false', '"pooling_mode_cls_token": true'))
    assert transformer._fingerprint(folder) != embedder.hash


def test_what_is_no_embedder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbedderRefused):
        load_embedder(str(tmp_path))


GENERATED = [
    f"{opening} {noun} {verb} {place} in {1800 + 7 * n}{tail}"
    for n, opening in enumerate(
        ["The old", "A quiet", "Every", "No", "Her first", "This", "Some other", "Their", "One", "Your"]
    )
    for noun in ["keeper", "baker's daughter", "ship", "letter", "violin"]
    for verb in ["was seen near", "never left", "wrote about", "sold a map of", "returned to"]
    for place, tail in [
        ("Tern", "."),
        ("the harbour of Orsk", ", and nobody knew why; so it was told."),
        ("it", "?"),
        ("Lyon", " " + "again " * 30),
    ]
]


@pytest.fixture(scope="module")
def exact():
    return load_embedder(backend="torch-float32")


def test_the_backend_that_is_chosen_agrees_with_float32(embedder, exact) -> None:
    assert len(set(GENERATED)) == 1000 and exact.backend == "torch-float32"
    cosines = (embedder.encode(GENERATED) * exact.encode(GENERATED)).sum(axis=1)
    assert cosines.min() >= 0.995
    assert embedder.hash == exact.hash and embedder.dimensions == exact.dimensions


def test_bfloat16_agrees_with_float32_whatever_the_processor(exact) -> None:
    half = load_embedder(backend="torch-bfloat16")
    texts = GENERATED[::10]
    assert half.backend == "torch-bfloat16" and half.encode(texts).dtype == np.float32
    assert (half.encode(texts) * exact.encode(texts)).sum(axis=1).min() >= 0.995
    assert half.pieces(LONG) == exact.pieces(LONG) and half.count(LONG) == exact.count(LONG)


def test_auto_follows_what_the_processor_has(monkeypatch) -> None:
    monkeypatch.setattr(transformer, "has_native_bfloat16", lambda: True)
    assert transformer.chosen_backend("auto", "cpu") == "torch-bfloat16"
    assert transformer.chosen_backend("auto", "cuda") == "torch-float32"
    assert transformer.chosen_backend("torch-float32", "cpu") == "torch-float32"
    monkeypatch.setattr(transformer, "has_native_bfloat16", lambda: False)
    assert transformer.chosen_backend("auto", "cpu") == "torch-float32"
    with pytest.raises(EmbedderRefused, match="torch-bfloat16"):
        load_embedder(backend="fast")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 256), min_size=1, max_size=80), st.integers(1, 600))
def test_batches_hold_every_row_once_and_fit(lengths, together) -> None:
    batches = list(transformer._batches(lengths, together))
    assert sorted(row for rows, _ in batches for row in rows) == list(range(len(lengths)))
    for rows, longest in batches:
        assert longest == max(lengths[row] for row in rows)
        assert len(rows) == 1 or len(rows) * longest <= together
