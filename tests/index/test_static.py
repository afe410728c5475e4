"""The static model: made once, kept, checked, shared between processes, and near where the embedder is near."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from index import static
from index.static import DIMENSIONS, RECIPE, NotDistilled, distilled

TEXTS = ["The lamp was lit at dusk.", "", "Basil Orsk was born in the village of Tern.", "ꙮꙮꙮ"]


@pytest.fixture
def cache(embedder, static_cache: Path, static_model, tmp_path: Path) -> Path:
    """A copy of the cache that a test may break."""
    folder = next(path for path in static_cache.iterdir() if path.is_dir() and path.name == named(embedder))
    shutil.copytree(folder, tmp_path / "cache" / folder.name)
    return tmp_path / "cache"


@pytest.fixture
def made(monkeypatch, static_model) -> list[int]:
    """Counts how often a model is made; making takes its parts from the model of the session."""
    calls: list[int] = []

    def parts(embedder, progress):
        calls.append(1)
        return static._Parts(static_model._tokenizer, static_model._vectors, static_model._unknown)

    monkeypatch.setattr(static, "_made", parts)
    return calls


def named(embedder) -> str:
    return f"static-{embedder.hash[:16]}-{RECIPE}"


def kept(folder: Path) -> Path:
    (found,) = (path for path in folder.iterdir() if path.is_dir())
    return found


def test_it_gives_unit_vectors_and_says_what_it_knows(static_model) -> None:
    vectors, known = static_model.encode_known(TEXTS)
    assert vectors.shape == (4, DIMENSIONS) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1, 0], atol=1e-5)
    np.testing.assert_allclose(known, [1, 0, 1, 0])
    np.testing.assert_array_equal(static_model.encode(TEXTS), vectors)
    assert static_model.encode([]).shape == (0, DIMENSIONS)


def test_it_is_near_where_the_embedder_is_near(static_model) -> None:
    fact = "Basil Orsk was born in the village of Tern."
    near, far = static_model.encode(["Tern is the village where Basil Orsk was born.", "Whisk the eggs with sugar."])
    own = static_model.encode([fact])[0]
    assert own @ near > 0.8 and own @ far < 0.3


def test_a_long_text_is_seen_to_its_end_and_no_padding_counts(static_model) -> None:
    end = static_model.encode(["Basil Orsk"])[0]
    long, longer = static_model.encode(["the lamp " * 400, "the lamp " * 400 + "Basil Orsk " * 400])
    assert longer @ end > long @ end + 0.3
    assert static_model.encode(["lamp"])[0] @ static_model.encode(["lamp " * 50])[0] > 0.9999


def test_what_is_kept_is_the_same_model(embedder, static_model, cache, made) -> None:
    again = distilled(embedder, cache)
    assert again.hash == static_model.hash and not made
    np.testing.assert_array_equal(again.encode(TEXTS), static_model.encode(TEXTS))
    assert kept(cache).name == named(embedder)


@pytest.mark.parametrize("name", ["vectors.npy", "tokenizer.json", "manifest.json"])
@pytest.mark.parametrize("how", ["changed", "cut", "gone"])
def test_a_cache_that_was_changed_is_made_anew(embedder, static_model, cache, made, name, how) -> None:
    path = kept(cache) / name
    data = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 0x55
        path.write_bytes(data)
    assert distilled(embedder, cache).hash == static_model.hash and made == [1]
    assert distilled(embedder, cache).hash == static_model.hash and made == [1]
    assert [p.name for p in cache.iterdir() if p.is_dir()] == [kept(cache).name]


def test_the_cache_of_another_embedder_is_not_taken(embedder, cache, made) -> None:
    path = kept(cache) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"embedder": "0" * 64}))
    distilled(embedder, cache)
    assert made == [1]


def test_threads_that_start_at_once_make_one_model(embedder, static_model, tmp_path, made) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(distilled(embedder, tmp_path).hash)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [static_model.hash] * 4 and made == [1]


PROGRAM = """
import sys
from pathlib import Path
from types import SimpleNamespace
from index import static
source, target, digest = map(str, sys.argv[1:])
def made(embedder, progress):
    print("made", flush=True)
    return static._read(Path(source), digest)
static._made = made
print(static.distilled(SimpleNamespace(hash=digest), Path(target)).hash)
"""


def test_processes_that_start_at_once_make_one_model(embedder, static_model, cache, tmp_path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(kept(cache)), str(tmp_path / "new"), embedder.hash]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = [process.communicate()[0].split() for process in started]
    assert all(process.returncode == 0 for process in started)
    assert [lines[-1] for lines in told] == [static_model.hash] * 3
    assert sum("made" in lines for lines in told) == 1


def test_a_folder_that_cannot_be_written_is_done_without(embedder, static_model, tmp_path, made) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert distilled(embedder, blocked / "cache").hash == static_model.hash and made == [1]


@dataclass
class Bare:
    """An embedder that is no transformer."""

    folder: Path | None
    name: str = "bare"
    hash: str = "b" * 64


def test_what_cannot_be_distilled_says_why(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (None, tmp_path / "empty"):
        with pytest.raises(NotDistilled, match="the embedder bare has no static stage: it"):
            distilled(Bare(folder), tmp_path / "cache")


def test_a_bag_of_words_embedder_is_not_distilled(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import BoW

    SentenceTransformer(modules=[BoW(vocab=["lamp", "dusk"])], device="cpu").save(str(tmp_path / "bow"))
    with pytest.raises(NotDistilled, match="fast tokenizer"):
        distilled(Bare(tmp_path / "bow"), tmp_path / "cache")


def test_distilling_reports_its_progress_and_keeps_what_it_made(tmp_path: Path, capfd) -> None:
    """The whole way, with a transformer that is small enough to take seconds."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    from index import transformer

    folder = tmp_path / "small"
    sizes = {"hidden_size": 264, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    tokenizer = BertTokenizerFast.from_pretrained(transformer._bundled())
    tokenizer.save_pretrained(folder)
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    SentenceTransformer(modules=[Transformer(str(folder)), Pooling(264)], device="cpu").save(str(tmp_path / "whole"))
    told: list[tuple[int, int]] = []
    capfd.readouterr()
    first = distilled(Bare(tmp_path / "whole"), tmp_path / "cache", lambda done, of: told.append((done, of)))
    assert "tokens" not in capfd.readouterr().err
    assert told[0][0] < told[-1][0] == told[-1][1] > 20_000 and told == sorted(told)
    assert first.dimensions == DIMENSIONS and first.encode(TEXTS).shape == (4, DIMENSIONS)
    told.clear()
    assert distilled(Bare(tmp_path / "whole"), tmp_path / "cache", lambda *_: told.append((0, 0))).hash == first.hash
    assert not told
