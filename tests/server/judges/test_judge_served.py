"""The judge as the settings open it: a whole Lethe on the real index, with a judge model on loopback HTTP."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from index.embedder import Embedder
from server.logs import configure_logs
from tests.server.judges.court import SECRET, court, shares_words, verdict
from tests.server.operators import FACT, LEAK, Operators, operators

V1 = "/lethe/v1"
NEAR = {**LEAK, "text": "It was in Vellmar that Ada Quill was born, in 1971."}


async def undecided(lethe: Operators, disclosure: str, on_undecided: str) -> None:
    """A fact whose threshold is so high that what says the same in other words only comes near."""
    body = {"thresholds": {"fact": 0.99}, "disclosure": disclosure, "on_undecided": on_undecided}
    answer = await lethe.admin.put(f"{V1}/policies/default?wait=applied", json=body)
    assert answer.status_code == 200, answer.text
    await lethe.add(FACT)


def opened(path: Path, embedder: Embedder, url: str, **settings: Any) -> Any:
    return operators(path, embedder, judge="chat", judge_url=url, judge_model="m", judge_api_key=SECRET, **settings)


@pytest.mark.parametrize(
    ("rule", "on_undecided", "action", "outcome"),
    [
        (shares_words, "allow", "block", "same"),
        (lambda asked: verdict("different"), "suppress", "allow", "different"),
        (lambda asked: "no JSON", "suppress", "block", "unparsable"),
        (lambda asked: "no JSON", "allow", "allow", "unparsable"),
        (lambda asked: (503, {}), "suppress", "block", "unreachable"),
    ],
)
async def test_what_is_undecided_is_put_to_the_judge(
    tmp_path: Path, embedder: Embedder, rule: Callable[..., Any], on_undecided: str, action: str, outcome: str
) -> None:
    async with court(rule) as (model, url), opened(tmp_path, embedder, url) as lethe:
        await undecided(lethe, "text", on_undecided)
        assert await lethe.action(NEAR) == action
        assert model.asked[0]["ENTRY"].endswith(FACT["text"])
        assert (await lethe.metrics())[f'lethe_judge_calls_total{{outcome="{outcome}"}}'] >= 1


@pytest.mark.parametrize("disclosure", ["none", "label", "text"])
async def test_forget_text_goes_to_the_judge_as_the_policy_says_and_into_no_log(
    tmp_path: Path, embedder: Embedder, disclosure: str
) -> None:
    stream, root = io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    configure_logs("debug", stream)
    try:
        async with court() as (model, url), opened(tmp_path, embedder, url, log_level="debug") as lethe:
            await undecided(lethe, disclosure, "allow")
            await lethe.action(NEAR)
            assert bool(model.requests) is (disclosure != "none")
            assert all((FACT["text"] in asked["ENTRY"]) is (disclosure == "text") for asked in model.asked)
            assert "Vellmar" not in str(await lethe.metrics())
    finally:
        root.handlers[:], root.level = before
    assert "Vellmar" not in stream.getvalue()
    assert SECRET not in stream.getvalue()
