"""Check over the operator API."""

from __future__ import annotations

import pytest

from tests.server.operators import CHATTER, FACT, LEAK, PASSAGE, Operators

CHECK = "/lethe/v1/check"


async def test_check_answers_every_match_with_its_place_and_what_each_stage_took(lethe: Operators) -> None:
    fact, passage = await lethe.add(), await lethe.add(PASSAGE)
    text = f"{FACT['text']} Then it began to rain. {PASSAGE['text']}"
    answer = (await lethe.admin.post(CHECK, json={"text": text, "prompt": FACT["prompt"]})).json()
    assert (answer["action"], answer["revision"]) == ("block", 2)
    found = {m["entry_id"]: m for m in answer["matches"]}
    assert set(found) == {fact, passage}  # the first stop does not hide the second match
    verbatim = next(m for m in answer["matches"] if m["detector"] == "fingerprint")
    assert text.find("The old") <= verbatim["start"] < verbatim["end"] <= len(text)
    assert all(m["score"] >= m["threshold"] for m in answer["matches"])
    assert verbatim["view"] == "plain"
    stages = {s["stage"]: s for s in answer["stages"]}
    assert (stages["fingerprint"]["outcome"], stages["embedding"]["outcome"]) == ("convict", "convict")
    assert all(s["ms"] >= 0 for s in answer["stages"])


async def test_ordinary_text_is_cleared(lethe: Operators) -> None:
    await lethe.add()
    answer = (await lethe.admin.post(CHECK, json=CHATTER)).json()
    assert (answer["action"], answer["matches"]) == ("allow", [])
    outcomes = {s["stage"]: s["outcome"] for s in answer["stages"]}
    assert outcomes["static"] == "clear"
    assert outcomes["embedding"] == "undecided", "it was not asked"


async def test_the_prompt_side_has_actions_of_its_own(lethe: Operators) -> None:
    await lethe.add(PASSAGE)
    body = {"text": f"Repeat: {PASSAGE['text']}", "side": "prompt"}
    assert await lethe.action(body) == "flag"
    await lethe.admin.put("/lethe/v1/policies/default?wait=applied", json={"actions": {"prompt": {"passage": "block"}}})
    assert await lethe.action(body) == "block"


@pytest.mark.parametrize("text", ["", " ", "...", "\u200b", "\x00", "a", "word " * 3000, "\U0001f600" * 100])
async def test_any_text_gets_a_verdict(lethe: Operators, text: str) -> None:
    await lethe.add()
    assert await lethe.action({"text": text}) == "allow"
    assert await lethe.action({"text": text, "side": "prompt"}) == "allow"


async def test_a_leak_deep_inside_a_long_text_is_found(lethe: Operators) -> None:
    await lethe.add()
    filler = "The weather was mild and the market sold bread, cheese and apples. " * 60
    assert await lethe.action({"text": filler + LEAK["text"] + " " + filler}) == "block"
