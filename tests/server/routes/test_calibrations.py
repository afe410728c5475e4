"""Calibrations over HTTP: from samples, from the scores of passing traffic, and what is kept of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from guard.verdict import Kind, Side
from index.calibration import Calibration, rule_id
from index.embedder import Embedder
from index.score_histogram import ScoreCount, bin_of, hour_of, score_basis
from index.threshold import Threshold
from tests.server.operators import FACT, LEAK, Operators, operators

CALL = "/lethe/v1/calibrations"
BENIGN: list[Any] = [
    *(f"Soup number {n} needs salt and patience, said cook {n}." for n in range(15)),
    *({"text": f"Stew number {n} needs time.", "prompt": "How do I cook soup?"} for n in range(15)),
]


async def computed(lethe: Operators, **body: Any) -> dict[str, Any]:
    made = await lethe.admin.post(CALL, json={"samples": BENIGN, **body})
    assert made.status_code == 201, made.text
    answer: dict[str, Any] = made.json()
    return answer


async def listed(lethe: Operators) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await lethe.admin.get(CALL)).json()["calibrations"]
    return found


async def test_a_calibration_is_computed_and_kept_for_the_next_start(tmp_path: Path, embedder: Embedder) -> None:
    async with operators(tmp_path, embedder) as lethe:
        empty = await lethe.admin.post(CALL, json={"samples": BENIGN})
        assert (empty.status_code, "no entry" in empty.text) == (422, True)
        await lethe.add()
        made = await computed(lethe, fpr=0.05, next=200)
        fact = made["thresholds"]["fact"]
        assert (fact["n"], fact["method"], fact["target"], fact["shown"]) == (30, "expected", 0.05, True)
        assert fact["low"] <= fact["fpr"] <= fact["high"]
        assert fact["expected"] <= 0.05
        assert (fact["next"]["n"], fact["next"]["low"] <= 10 <= fact["next"]["high"]) == (200, True)
        assert made["prompt_thresholds"]["fact"]["n"] != 30
        assert [c["serving"] for c in await listed(lethe)] == [True, False]
    async with operators(tmp_path, embedder) as lethe:
        (current,) = await listed(lethe)
        assert (current["serving"], current["thresholds"]["fact"]) == (True, fact)
        assert (current["backend"], current["rule"]) == (embedder.backend, rule_id())


async def test_a_rate_that_cannot_be_shown_and_a_threshold_that_fell_are_told(lethe: Operators) -> None:
    await lethe.add()
    made = await computed(lethe, fpr=0.001, confidence=0.95)
    fact = made["thresholds"]["fact"]
    assert (fact["method"], fact["shown"], fact["held"]) == ("bound", False, True)
    assert "needs at least 2995" in made["notes"][0]
    assert "calibrate again" in made["notes"][1]


async def test_leaks_show_what_the_thresholds_catch_and_what_a_plot_shows(lethe: Operators) -> None:
    await lethe.add()
    made = await computed(lethe, fpr=0.05, positives=[{"text": FACT["text"], "prompt": FACT["prompt"]}, LEAK])
    assert made["caught"] == 1.0
    assert made["reached"] <= 0.05
    curves = made["curves"]["fact"]
    assert (curves["benign"], curves["leaks"], curves["roc"]["auc"]) == (30, 2, 1.0)
    assert max(len(points) for points in curves["sweep"].values()) <= 200
    assert "Vellmar" not in str(made)


async def test_a_dry_run_keeps_the_old_thresholds(lethe: Operators) -> None:
    await lethe.add()
    await computed(lethe, dry_run=True)
    assert [c["serving"] for c in await listed(lethe)] == [True]


async def test_prompts_have_thresholds_of_their_own(lethe: Operators) -> None:
    await lethe.add()
    made = await computed(lethe, side="prompt", fpr=0.1)
    assert made["prompt_thresholds"]["fact"]["n"] == 30
    before = (await listed(lethe))[0]["thresholds"]
    assert made["thresholds"] == before


async def test_scores_of_passing_traffic_are_a_sample(lethe: Operators) -> None:
    nothing = await lethe.admin.post(CALL, json={"samples": "recent"})
    assert (nothing.status_code, "no scores of passing traffic" in nothing.text) == (422, True)
    index, hour = lethe.service.index, hour_of(time.time())
    basis = score_basis(index.embedder.hash, index.embedder.backend, index.calibration.rule)
    lethe.service.store.add_scores(
        [
            ScoreCount(basis, "default", Kind.FACT, Side.ANSWER, hour, bin_of(0.4), 980),
            ScoreCount(basis, "default", Kind.FACT, Side.ANSWER, hour, bin_of(0.75), 20),
            ScoreCount(basis, "default", Kind.FACT, Side.ANSWER, hour - 48, bin_of(0.9), 500),
            ScoreCount(basis, "shop", Kind.FACT, Side.ANSWER, hour, bin_of(0.9), 500),
            ScoreCount("of another embedder", "default", Kind.FACT, Side.ANSWER, hour, bin_of(0.9), 500),
        ]
    )
    made = await computed(lethe, samples="recent", days=1, fpr=0.01)
    fact = made["thresholds"]["fact"]
    assert (fact["n"], fact["threshold"], fact["fpr"]) == (1000, pytest.approx(0.755), 0.0)
    assert "taken for benign" in made["notes"][-1]
    assert made["reached"] is None
    longer = await computed(lethe, samples="recent", days=7, fpr=0.01)
    assert longer["thresholds"]["fact"]["n"] == 1500
    other = await lethe.admin.post(CALL, json={"samples": "recent", "side": "prompt"})
    assert other.status_code == 422


async def test_calibrations_of_other_embedders_are_listed_too(lethe: Operators) -> None:
    foreign = Calibration("f" * 64, rule_id(), {kind: Threshold(0.7) for kind in Kind}, "elsewhere", "other", "onnx")
    lethe.service.store.put_calibration(foreign.embedder_hash, foreign.backend, foreign.rule, foreign.to_json())
    current, other = await listed(lethe)
    assert (current["serving"], other["serving"]) == (True, False)
    assert (other["embedder"], other["backend"]) == ("other", "onnx")
    assert current["card"]["benign"]


@pytest.mark.parametrize(
    "body",
    [
        {"samples": ["a b c"] * 19},
        {"samples": BENIGN, "fpr": 0},
        {"samples": [1] * 20},
        {"samples": "yesterday"},
        {"samples": BENIGN, "days": 3},
        {"samples": "recent", "days": 31},
        {"samples": BENIGN, "side": "both"},
        {"samples": BENIGN, "confidence": 1},
        {"samples": BENIGN, "next": 0},
    ],
)
async def test_what_cannot_be_read_is_refused(lethe: Operators, body: dict[str, Any]) -> None:
    assert (await lethe.admin.post(CALL, json=body)).status_code == 400
