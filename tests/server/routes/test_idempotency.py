"""Idempotency-Key on every POST: the same request is answered again and not done again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guard.verdict import Action, Side
from index.decisions import Decision
from tests.server.operators import FACT, LEAK, PASSAGE, Operators

SAMPLES = [f"Soup number {n} needs salt and {n} minutes of patience." for n in range(20)]
POSTS = [
    ("/lethe/v1/entries", FACT, PASSAGE),
    ("/lethe/v1/entries/batch", {"entries": [FACT, PASSAGE]}, {"entries": [PASSAGE]}),
    ("/lethe/v1/check", LEAK, {"text": "another text"}),
    ("/lethe/v1/calibrations", {"samples": SAMPLES}, {"samples": SAMPLES, "fpr": 0.1}),
    ("/lethe/v1/decisions/dec_1/label", {"label": "hit"}, {"label": "miss"}),
]


@pytest.mark.parametrize(("path", "body", "other"), POSTS, ids=[path for path, _, _ in POSTS])
async def test_a_post_is_done_once_per_key(lethe: Operators, path: str, body: Any, other: Any) -> None:
    await lethe.add(text="Bo Reed sells brass clocks in Harrow.", prompt="")
    decision = Decision("dec_1", 1.0, "default", "chat", Side.ANSWER, Action.BLOCK, 1, "r")
    lethe.service.store.add_decisions([decision])
    headers = {"Idempotency-Key": "k-1"}
    first = await lethe.admin.post(path, json=body, headers=headers)
    assert first.status_code < 300, first.text
    again = await lethe.admin.post(path, json=body, headers=headers)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    mismatch = await lethe.admin.post(path, json=other, headers=headers)
    assert (mismatch.status_code, mismatch.json()["error"]["code"]) == (409, "idempotency_mismatch")
    someone_else = await lethe.as_("operator")
    theirs = await someone_else.post(path, json=body, headers=headers)
    assert theirs.status_code == first.status_code


async def test_keys_belong_to_a_namespace_and_a_call(lethe: Operators) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = (await lethe.admin.post("/lethe/v1/entries", json=FACT, headers=headers)).json()
    elsewhere = (await lethe.admin.post("/lethe/v1/entries?namespace=shop", json=FACT, headers=headers)).json()
    assert first["id"] != elsewhere["id"]
    assert (await lethe.admin.post("/lethe/v1/check", json=LEAK, headers=headers)).status_code == 200


async def test_of_many_equal_requests_at_once_one_is_done(lethe: Operators) -> None:
    headers = {"Idempotency-Key": "k-1"}
    posts = [lethe.admin.post("/lethe/v1/entries", json=FACT, headers=headers) for _ in range(8)]
    answers = await asyncio.gather(*posts)
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["id"] for a in answers}) == 1
    assert len((await lethe.admin.get("/lethe/v1/entries")).json()["entries"]) == 1


async def test_a_request_that_was_refused_may_be_mended_under_its_key(lethe: Operators) -> None:
    headers = {"Idempotency-Key": "k-1"}
    refused = await lethe.admin.post("/lethe/v1/entries", json={"kind": "fact", "text": "!"}, headers=headers)
    assert refused.status_code == 422
    assert (await lethe.admin.post("/lethe/v1/entries", json=FACT, headers=headers)).status_code == 201


@pytest.mark.parametrize("key", ["", " ", "k" * 256])
async def test_an_unusable_key_is_refused(lethe: Operators, key: str) -> None:
    answer = await lethe.admin.post("/lethe/v1/entries", json=FACT, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
