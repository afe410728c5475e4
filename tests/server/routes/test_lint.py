"""What an entry would match is told before it is added, and an entry that is too broad is not added."""

from __future__ import annotations

import json

import pytest

from index.background import exchanges
from server.cli import main
from tests.index.concept_samples import sample
from tests.server.operators import CHATTER, FACT, PASSAGE, Operators, until

LINT, ENTRIES = "/lethe/v1/entries/lint", "/lethe/v1/entries"
BROAD = {"kind": "passage", "text": "of the"}


def concept(name: str, counterexamples: bool = True) -> dict[str, object]:
    content = sample(name).content(counterexamples)
    lists = {"examples": list(content.examples), "counterexamples": list(content.counterexamples)}
    return {"kind": "concept", "text": content.text, **lists}


@pytest.mark.parametrize("body", [FACT, PASSAGE, concept("locks"), concept("marrow")], ids=lambda body: body["kind"])
async def test_a_narrow_entry_would_be_kept_and_is_not(lethe: Operators, body: dict) -> None:
    answer = await lethe.admin.post(LINT, json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["accepted"], told["reason"], told["recent"]) == (True, "", None)
    assert 0.0 <= told["nearest_benign_score"] < told["threshold"] <= 1.0
    assert told["background"] == {"n": len(exchanges()), "matched": 0, "share": 0.0}
    assert (await lethe.admin.get(ENTRIES)).json()["entries"] == []
    assert body["text"] not in answer.text


async def test_a_broad_entry_is_refused_with_the_reason_unless_forced(lethe: Operators) -> None:
    told = (await lethe.admin.post(LINT, json=BROAD)).json()
    assert not told["accepted"] and told["nearest_benign_score"] == 1.0
    assert told["background"]["share"] > 0.005
    refused = await lethe.admin.post(ENTRIES, json=BROAD)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "entry_refused")
    assert refused.json()["error"]["message"] == told["reason"]
    forced = (await lethe.admin.post(LINT, json={**BROAD, "force": True})).json()
    assert forced["accepted"] and forced["reason"] == told["reason"]
    assert (await lethe.admin.post(ENTRIES, json={**BROAD, "force": True})).status_code == 201


async def test_an_entry_without_words_is_refused_before_it_is_screened(lethe: Operators) -> None:
    told = (await lethe.admin.post(LINT, json={"kind": "fact", "text": "…", "force": True})).json()
    assert not told["accepted"] and "no words" in told["reason"]
    assert [told[k] for k in ("nearest_benign_score", "threshold", "background", "recent")] == [None] * 4
    assert (await lethe.admin.post(LINT, json={"kind": "poem", "text": "x"})).status_code == 400
    auditor = await lethe.as_("auditor")
    assert (await auditor.post(LINT, json=FACT)).status_code == 403


async def test_a_broad_change_is_refused_too(lethe: Operators) -> None:
    entry_id = await lethe.add(PASSAGE)
    refused = await lethe.admin.patch(f"{ENTRIES}/{entry_id}", json={"text": "of the"})
    assert refused.status_code == 422 and "too broad" in refused.json()["error"]["message"]
    assert (await lethe.admin.patch(f"{ENTRIES}/{entry_id}", json={"text": "of the", "force": True})).status_code == 200


async def test_a_broad_entry_of_a_batch_is_named_and_nothing_is_added(lethe: Operators) -> None:
    refused = await lethe.admin.post(f"{ENTRIES}/batch", json={"entries": [FACT, BROAD, BROAD]})
    assert refused.status_code == 422
    assert refused.json()["error"]["details"] == {"position": 1}
    assert (await lethe.admin.get(ENTRIES)).json()["entries"] == []


async def test_an_import_leaves_out_what_is_too_broad(lethe: Operators) -> None:
    lines = [FACT, BROAD, PASSAGE, {"kind": "passage", "text": "in the"}, {**BROAD, "force": True}]
    started = await lethe.admin.post("/lethe/v1/imports", content="\n".join(json.dumps(line) for line in lines))
    path = f"/lethe/v1/jobs/{started.json()['job']}"

    async def done() -> bool:
        return (await lethe.admin.get(path)).json()["state"] == "done"

    await until(done, 20)
    job = (await lethe.admin.get(path)).json()
    assert (job["done"], job["failed"]) == (3, 2)
    assert [error["line"] for error in job["errors"]] == [2, 4]
    assert all("too broad" in error["reason"] for error in job["errors"])


async def test_a_trained_concept_is_suppressed_and_its_border_is_not(lethe: Operators) -> None:
    given = sample("locks")
    await lethe.add(concept("locks"))
    assert await lethe.action({"text": given.examples[0]}) == "block"
    picking = {"text": "Rake the pins with light tension until the cylinder turns.", "prompt": "My key is gone."}
    assert await lethe.action(picking) == "block"
    for border in given.counterexamples[:6]:
        assert await lethe.action({"text": border}) == "allow"
    assert await lethe.action(CHATTER) == "allow"


def test_the_command_line_shows_the_reason_and_force_keeps_it(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    add = ["entries", "add", "of the", "--kind", "passage", "--store", "sqlite:///x.db"]
    assert main(add) == 1
    assert "too broad: it would match" in capsys.readouterr().err
    assert main([*add, "--force"]) == 0
    assert capsys.readouterr().out.startswith("ent_")
