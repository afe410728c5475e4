"""Entries over the operator API: the real application on the real index and embedder."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.server.operators import CHATTER, FACT, LEAK, PASSAGE, Operators, until

ENTRIES = "/lethe/v1/entries"


async def test_an_entry_is_created_served_and_never_shown(lethe: Operators) -> None:
    assert await lethe.action() == "allow"
    answer = await lethe.admin.post(f"{ENTRIES}?wait=applied&timeout_s=5", json=FACT)
    assert answer.status_code == 201
    assert set(answer.json()) == {"id", "revision"}
    assert await lethe.action() == "block"
    assert await lethe.action(CHATTER) == "allow"
    shown = (await lethe.admin.get(f"{ENTRIES}/{answer.json()['id']}")).json()
    assert (shown["kind"], shown["label"], shown["policy"], shown["content"]) == ("fact", "Ada Quill", "default", None)
    assert "Vellmar" not in str(shown)


async def test_a_write_is_served_within_a_second_without_being_waited_for(lethe: Operators) -> None:
    written = (await lethe.admin.post(ENTRIES, json=FACT)).json()
    began = time.monotonic()
    await until(lambda: lethe.service.index.snapshot.revision >= written["revision"])
    assert time.monotonic() - began < 1.0
    assert await lethe.action() == "block"
    began = time.monotonic()
    removed = await lethe.admin.delete(f"{ENTRIES}/{written['id']}?wait=applied")
    assert removed.status_code == 200
    assert time.monotonic() - began < 1.0
    assert await lethe.action() == "allow"


async def test_a_wait_that_is_not_met_names_the_laggards(lethe: Operators) -> None:
    lethe.service.store.seen("slow-replica", 0)
    answer = await lethe.admin.post(f"{ENTRIES}?wait=applied&timeout_s=0.3", json=FACT)
    assert answer.status_code == 504
    error = answer.json()["error"]
    assert (error["code"], error["details"]["laggards"]) == ("not_applied", ["slow-replica"])
    assert len((await lethe.admin.get(ENTRIES)).json()["entries"]) == 1  # it is committed all the same


async def test_a_batch_is_all_or_nothing(lethe: Operators) -> None:
    answer = await lethe.admin.post(f"{ENTRIES}/batch?wait=applied", json={"entries": [FACT, PASSAGE]})
    assert answer.status_code == 201
    assert len(answer.json()["entries"]) == 2
    refused = await lethe.admin.post(f"{ENTRIES}/batch", json={"entries": [FACT, {"kind": "fact", "text": "!!!"}]})
    assert refused.status_code == 422
    assert refused.json()["error"]["details"] == {"position": 1}
    unknown = await lethe.admin.post(f"{ENTRIES}/batch", json={"entries": [FACT, {**FACT, "policy": "none"}]})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (422, "entry_refused")
    for size in (0, 1001):
        many = await lethe.admin.post(f"{ENTRIES}/batch", json={"entries": [FACT] * size})
        assert many.status_code == 400
    assert len((await lethe.admin.get(ENTRIES)).json()["entries"]) == 2


async def test_entries_are_listed_newest_first_in_pages_by_kind_and_label(lethe: Operators) -> None:
    ids = [await lethe.add(), await lethe.add(PASSAGE, label="Orsk"), await lethe.add(text="Bo Reed sells clocks.")]
    first = (await lethe.admin.get(f"{ENTRIES}?limit=2")).json()
    second = (await lethe.admin.get(f"{ENTRIES}?limit=2&cursor={first['next_cursor']}")).json()
    assert [e["id"] for e in first["entries"] + second["entries"]] == ids[::-1]
    assert second["next_cursor"] is None
    for query, found in (
        ("kind=passage", ids[1:2]),
        ("label=Orsk", ids[1:2]),
        ("label=Nobody", []),
        ("kind=&label=&cursor=&limit=", ids[::-1]),
    ):
        assert [e["id"] for e in (await lethe.admin.get(f"{ENTRIES}?{query}")).json()["entries"]] == found
    for query in ("limit=0", "limit=1001", "limit=x", "kind=poem", "cursor=zz", "reveal=perhaps"):
        assert (await lethe.admin.get(f"{ENTRIES}?{query}")).status_code == 400, query


async def test_only_an_admin_sees_the_text_and_it_is_logged(lethe: Operators, caplog: pytest.LogCaptureFixture) -> None:
    entry_id = await lethe.add()
    operator = await lethe.as_("operator")
    for path in (ENTRIES, f"{ENTRIES}/{entry_id}"):
        assert (await operator.get(path)).status_code == 200
        refused = await operator.get(f"{path}?reveal=true")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "wrong_role")
    caplog.clear()
    with caplog.at_level("INFO", logger="lethe"):
        shown = (await lethe.admin.get(f"{ENTRIES}/{entry_id}?reveal=true")).json()
        listed = (await lethe.admin.get(f"{ENTRIES}?reveal=true")).json()["entries"]
    assert shown["content"]["text"] == listed[0]["content"]["text"] == FACT["text"]
    assert [r.message for r in caplog.records] == ["entry_revealed"] * 2
    assert "Vellmar" not in caplog.text


async def test_an_entry_is_changed_in_place(lethe: Operators) -> None:
    entry_id = await lethe.add()
    path = f"{ENTRIES}/{entry_id}"
    changed = await lethe.admin.patch(f"{path}?wait=applied", json={"label": "someone", "reference": "T-1"})
    assert changed.status_code == 200
    shown = (await lethe.admin.get(path)).json()
    assert (shown["label"], shown["reference"], shown["kind"]) == ("someone", "T-1", "fact")
    await lethe.admin.patch(
        f"{path}?wait=applied", json={"text": "Bo Reed sells brass clocks in Harrow.", "prompt": ""}
    )
    assert await lethe.action() == "allow"
    assert await lethe.action({"text": "Bo Reed sells brass clocks in Harrow."}) == "block"
    for body, status in (({"kind": "passage"}, 400), ({"policy": "none"}, 422), ({"text": "..."}, 422)):
        assert (await lethe.admin.patch(path, json=body)).status_code == status, body


async def test_a_removed_entry_is_gone_for_good(lethe: Operators) -> None:
    entry_id = await lethe.add()
    removed = await lethe.admin.delete(f"{ENTRIES}/{entry_id}?wait=applied")
    assert removed.status_code == 200
    assert removed.json()["revision"] == 2
    assert "backup" in removed.json()["note"]
    for call in (lethe.admin.get, lethe.admin.delete):
        gone = await call(f"{ENTRIES}/{entry_id}")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "entry_unknown")


async def test_an_entry_expires_on_time(lethe: Operators) -> None:
    await lethe.add(expires_at=time.time() + 1.2)
    assert await lethe.action() == "block"

    async def expired() -> bool:
        return await lethe.action() == "allow"

    await until(expired, 4.0)
    past = await lethe.admin.post(ENTRIES, json={**FACT, "expires_at": "2001-01-01T00:00:00Z"})
    assert past.status_code == 422


async def test_a_sealed_entry_matches_and_keeps_no_text(lethe: Operators) -> None:
    entry_id = await lethe.add(PASSAGE, retention="sealed")
    assert await lethe.action({"text": "So " + PASSAGE["text"]}) == "block"
    revealed = await lethe.admin.get(f"{ENTRIES}/{entry_id}?reveal=true")
    assert (revealed.status_code, revealed.json()["error"]["code"]) == (409, "entry_sealed")
    listed = (await lethe.admin.get(f"{ENTRIES}?reveal=true")).json()["entries"]
    assert listed[0]["content"] is None
    assert (
        await lethe.admin.patch(f"{ENTRIES}/{entry_id}", json={"text": "Something else entirely."})
    ).status_code == 409
    assert (await lethe.admin.patch(f"{ENTRIES}/{entry_id}", json={"label": "kept"})).status_code == 200


async def test_an_entry_that_is_too_broad_is_refused_unless_forced(lethe: Operators) -> None:
    broad = {"kind": "fact", "text": "Paris"}
    refused = await lethe.admin.post(ENTRIES, json=broad)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "entry_refused")
    assert (await lethe.admin.post(ENTRIES, json={**broad, "force": True})).status_code == 201


async def test_namespaces_do_not_see_each_other(lethe: Operators) -> None:
    shop, bank = await lethe.as_("operator", "shop"), await lethe.as_("operator", "bank")
    created = (await shop.post(f"{ENTRIES}?wait=applied", json=FACT)).json()
    assert await lethe.action(LEAK, shop) == "block"
    assert await lethe.action(LEAK, bank) == "allow"
    assert (await bank.get(ENTRIES)).json()["entries"] == []
    for method in ("GET", "DELETE"):
        assert (await bank.request(method, f"{ENTRIES}/{created['id']}")).status_code == 404
    assert (await bank.patch(f"{ENTRIES}/{created['id']}", json={"label": "mine"})).status_code == 404
    named = await bank.get(f"{ENTRIES}?namespace=shop")
    assert (named.status_code, named.json()["error"]["code"]) == (403, "wrong_namespace")
    seen: httpx.Response = await lethe.admin.get(f"{ENTRIES}/{created['id']}?namespace=shop")
    assert seen.json()["namespace"] == "shop"
    assert (await lethe.admin.get(f"{ENTRIES}?namespace=a b")).status_code == 403
    assert (await bank.put("/lethe/v1/policies/default", json={"mode": "shadow"})).status_code == 200
    assert await lethe.action(LEAK, shop) == "block"
