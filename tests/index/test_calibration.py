"""Thresholds belong to an embedder, a backend and a window rule, and say what they rest on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from guard.segments import DEFAULT_RULE, WindowRule
from guard.verdict import Kind, Side
from index.calibration import (
    AGREEMENT,
    REFERENCE,
    Calibration,
    calibration_for,
    check_fits,
    rule_id,
    shipped,
)
from index.errors import CalibrationMissing
from index.store import Store
from index.threshold import Threshold, calibrate

COMPUTED = calibrate([0.01 * n for n in range(60)], 0.05, 500)


def made(embedder_hash: str, value: float = 0.5, **changes: object) -> Calibration:
    thresholds = dict.fromkeys(Kind, Threshold(value, 0.01, 100, 0.001, 0.05))
    return replace(Calibration(embedder_hash, rule_id(), thresholds, "test"), **changes)


def put(store: Store, calibration: Calibration) -> None:
    store.put_calibration(calibration.embedder_hash, calibration.backend, calibration.rule, calibration.to_json())


def test_a_calibration_survives_its_json() -> None:
    plain = made("h")
    full = made(
        "h",
        backend="onnx-int8",
        prompt_thresholds={Kind.FACT: COMPUTED},
        clear_below={Kind.PASSAGE: 0.31},
        backends={"onnx-float32": 0.9999},
        card={"benign": "1,667 answers"},
    )
    for calibration in (plain, full, replace(full, thresholds=dict.fromkeys(Kind, COMPUTED))):
        assert Calibration.from_json(calibration.to_json()) == calibration


def test_what_an_older_version_wrote_is_understood() -> None:
    old = {"embedder_hash": "h", "rule": "r", "source": "s", "thresholds": {kind: {"threshold": 0.7} for kind in Kind}}
    old["thresholds"]["fact"] |= {"fpr": 0.1, "n": 10, "low": 0.01, "high": 0.5}
    found = Calibration.from_json(json.dumps(old))
    assert found.backend == REFERENCE == "torch-float32"
    assert found.thresholds[Kind.FACT] == Threshold(0.7, 0.1, 10, 0.01, 0.5)
    assert found.prompt_thresholds == found.thresholds
    assert found.clear_below == {}


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"thresholds": {"fact": 3}}',
        '{"thresholds": {}}',
        "x",
        '{"embedder_hash": "h", "rule": "r", "source": "s", "thresholds": {"poem": {"threshold": 0.5}}}',
    ],
)
def test_what_is_no_calibration_is_refused(text) -> None:
    with pytest.raises(ValueError):
        Calibration.from_json(text)


def test_each_side_has_its_own_thresholds() -> None:
    one = made("h", 0.5).with_side(Side.PROMPT, {Kind.FACT: Threshold(0.8)})
    assert (one.values[Kind.FACT], one.prompt_values[Kind.FACT]) == (0.5, 0.8)
    assert one.prompt_values[Kind.PASSAGE] == 0.5  # as in answers
    both = one.with_side(Side.ANSWER, {Kind.FACT: Threshold(0.6)})
    assert (both.values_of(Side.ANSWER)[Kind.FACT], both.values_of(Side.PROMPT)[Kind.FACT]) == (0.6, 0.8)


def test_the_bundled_embedder_has_thresholds_for_the_default_windows(embedder, store: Store) -> None:
    found = calibration_for(embedder, store)
    assert found == shipped(embedder.hash, DEFAULT_RULE, embedder.backend)
    check_fits(found, embedder)


def test_what_ships_says_what_it_rests_on(embedder) -> None:
    found = shipped(embedder.hash)
    assert found is not None
    assert {"entries", "benign", "limits"} <= set(found.card)


class Another:
    name, dimensions, longest = "another", 8, 16

    def __init__(self, embedder_hash: str = "f" * 64, backend: str = REFERENCE) -> None:
        self.hash, self.backend = embedder_hash, backend


def test_the_stores_own_thresholds_come_first(embedder, store: Store) -> None:
    put(store, made(embedder.hash, backend=embedder.backend))
    assert calibration_for(embedder, store).values[Kind.FACT] == 0.5


def test_what_ships_serves_only_backends_that_were_measured_to_agree(embedder) -> None:
    assert shipped(embedder.hash, backend="onnx-guess") is None
    own = made("h", backends={"near": AGREEMENT, "far": AGREEMENT - 0.001})
    assert [own.serves(name) for name in (REFERENCE, "near", "far", "unknown")] == [True, True, False, False]


def test_the_stores_thresholds_serve_a_backend_that_agrees_before_those_that_ship(embedder, store: Store) -> None:
    (near,) = shipped(embedder.hash).backends
    on_near = shipped(embedder.hash, backend=near)
    assert on_near is not None and on_near.serves(REFERENCE)
    put(store, replace(on_near, thresholds=dict.fromkeys(Kind, Threshold(0.61))))
    found = calibration_for(Another(embedder.hash, REFERENCE), store)
    assert (found.backend, found.values[Kind.FACT]) == (REFERENCE, 0.61)
    check_fits(found, Another(embedder.hash, REFERENCE))
    put(store, replace(shipped(embedder.hash), thresholds=dict.fromkeys(Kind, Threshold(0.62))))
    assert calibration_for(Another(embedder.hash, REFERENCE), store).values[Kind.FACT] == 0.62  # its own come first
    assert calibration_for(Another(embedder.hash, near), store).values[Kind.FACT] == 0.61


def test_an_embedder_without_thresholds_is_refused_with_advice(store: Store) -> None:
    with pytest.raises(CalibrationMissing, match="lethe calibrate"):
        calibration_for(Another(), store)
    put(store, made(Another().hash))
    assert calibration_for(Another(), store).embedder_hash == Another().hash


@pytest.mark.parametrize(
    "kept", [made("e" * 64), made("f" * 64, backend="onnx-int8"), made("f" * 64, rule="w1-2-3-4-5")]
)
def test_thresholds_for_something_else_are_not_used_and_are_named(kept: Calibration, store: Store) -> None:
    put(store, kept)
    with pytest.raises(CalibrationMissing) as refused:
        calibration_for(Another(), store)
    told = str(refused.value)
    assert "lethe calibrate" in told and "ffffffffffff on torch-float32" in told
    assert f"{kept.embedder_hash[:12]} on {kept.backend} with windows {kept.rule}" in told


def test_thresholds_of_another_embedder_backend_or_rule_do_not_fit(embedder) -> None:
    fitting = made(embedder.hash, backend=embedder.backend)
    check_fits(fitting, embedder)
    for wrong in (
        made("f" * 64),
        replace(fitting, rule=rule_id(WindowRule(max_words=5))),
        replace(fitting, backend="onnx-int8"),
    ):
        with pytest.raises(CalibrationMissing, match="lethe calibrate"):
            check_fits(wrong, embedder)
