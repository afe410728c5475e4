"""The background sample is diverse, and its vectors are the embedder's own however they come."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np

from guard.windows import windows_of
from guard.words import words_of
from index import background as module
from index.background import SHIPPED, Exchange, exchanges, load_background
from index.forms import exchange

FEW = (
    Exchange("How do I boil an egg?", "Put it in boiling water. Take it out after six minutes."),
    Exchange("Who is there?", "Only me."),
)


def test_the_sample_has_hundreds_of_exchanges_and_none_twice() -> None:
    sample = exchanges()
    assert len(sample) >= 300
    assert len({each.prompt for each in sample}) == len({each.answer for each in sample}) == len(sample)
    assert all(words_of(each.prompt) and words_of(each.answer) for each in sample)
    words = Counter(word.norm for each in sample for word in words_of(each.answer))
    assert 10_000 < sum(words.values()) < 25_000
    assert len(words) > 3_500
    assert min(words["und"], words["les"], words["que"], words["return"], words["sorry"]) >= 1


def test_the_vectors_that_ship_are_those_of_the_embedder(embedder) -> None:
    told: list[tuple[int, int]] = []
    made = load_background(embedder, progress=lambda done, total: told.append((done, total)))
    assert told == []  # nothing was computed
    assert len(made.owners) == len(made.windows) > 1_000
    for rows, with_turn in ((made.statements, False), (made.pairs, True)):
        picked = range(0, len(rows.windows), 97)
        windows = [made.windows[rows.windows[i]] for i in picked]
        texts = [exchange(w.context, w.text) if with_turn else w.text.strip() for w in windows]
        assert (embedder.encode(texts) * rows.vectors[list(picked)]).sum(axis=1).min() > 0.995


def test_each_window_is_asked_for_as_live_traffic_would(embedder) -> None:
    made = load_background(embedder, sample=FEW)
    live = [windows_of(each.answer, context=each.prompt, stretched=False) for each in FEW]
    assert list(made.windows) == [*live[0], *live[1]]
    assert made.owners.tolist() == [0] * len(live[0]) + [1] * len(live[1])
    assert made.windows[-1].text == "Only me."
    assert made.statements.windows.tolist() == list(range(len(live[0])))  # "Only me." says nothing by itself
    assert made.pairs.windows.tolist() == list(range(len(made.windows)))
    scores = np.arange(len(made.windows), dtype=float)
    assert made.per_exchange(scores).tolist() == [len(live[0]) - 1.0, len(made.windows) - 1.0]
    assert made.per_window(made.statements, scores[:-1])[-1] == -np.inf


def test_vectors_are_kept_and_read_again_only_when_they_are_whole(embedder, tmp_path: Path) -> None:
    told: list[int] = []

    def load(sample: tuple[Exchange, ...] = FEW) -> np.ndarray:
        made = load_background(embedder, tmp_path / "kept", lambda done, total: told.append(total - done), sample)
        return np.concatenate([made.statements.vectors, made.pairs.vectors])

    first = load()
    assert told == [0]
    assert np.array_equal(load(), first) and told == [0]
    (kept,) = (tmp_path / "kept").iterdir()
    whole = kept.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:400] + bytes([whole[400] ^ 1]) + whole[401:]):
        kept.write_bytes(damaged)
        told.clear()
        assert np.array_equal(load(), first) and told == [0]
        assert kept.read_bytes() == whole
    assert not np.array_equal(load(FEW[:1]), first)
    assert len(list((tmp_path / "kept").iterdir())) == 2  # other texts, another file; nothing is left lying about


def test_another_backend_has_vectors_of_its_own(embedder, tmp_path: Path) -> None:
    class Other:  # the same model, computed in another way
        backend = "another"

        def __getattr__(self, name: str) -> object:
            return getattr(embedder, name)

    ours, others = load_background(embedder, sample=FEW), load_background(Other(), tmp_path, sample=FEW)
    assert ours.digest != others.digest and others.digest[:16] in next(tmp_path.iterdir()).name


def test_a_folder_that_cannot_be_written_is_no_fault(embedder, tmp_path: Path, caplog) -> None:
    (tmp_path / "file").write_text("in the way")
    made = load_background(embedder, tmp_path / "file" / "folder", sample=FEW)
    assert len(made.pairs.vectors) and "cannot be kept" in caplog.text


def test_a_shipped_file_that_is_damaged_is_not_trusted(embedder, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(SHIPPED, tmp_path / "shipped")
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "shipped")
    load_background(embedder, tmp_path / "shipped", sample=FEW)
    for file in (tmp_path / "shipped").glob("*.npz"):
        file.write_bytes(file.read_bytes()[:-100])
    told: list[int] = []
    load_background(embedder, None, lambda done, _: told.append(done), sample=FEW)
    assert told
