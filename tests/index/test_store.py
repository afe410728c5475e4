"""The contract of a store, the same for every database."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from guard.verdict import Action, Kind, Side
from index.decisions import Decision, DecisionFilter, Label
from index.entry import Retention
from index.errors import (
    Conflict,
    DecisionUnknown,
    EntryUnknown,
    IdempotencyMismatch,
    JobUnknown,
    KeyUnknown,
)
from index.jobs import MOST_ERRORS, Job, JobError, JobState
from index.keys import ApiKey, KeyRecord, Role
from index.records import EntryFilter, EntryRecord, Once, PolicyRecord, Replica
from index.store import Store


def record(entry_id: str, namespace: str = "ns", **fields: object) -> EntryRecord:
    plain = EntryRecord(
        id=entry_id,
        namespace=namespace,
        kind=Kind.FACT,
        label="",
        policy="default",
        retention=Retention.ENCRYPTED,
        reference="",
        created_at=1.0,
        expires_at=None,
        windows=2,
        basis="basis",
        content=b"content",
        vectors=b"vectors",
        fingerprints=b"prints",
        wrapped_key=b"key",
    )
    return replace(plain, **fields)


def once(key: str = "k", body: str = "b", principal: str = "p", route: str = "POST /x") -> Once:
    return Once(principal, key, route, body)


# -- entries ----------------------------------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_was_added(store: Store) -> None:
    added = record("a", expires_at=5.5, content=None, fingerprints=b"prints", retention=Retention.SEALED, label="L")
    written = store.add([added])
    assert written.ids == ("a",) and written.revision == 1
    assert store.entry("ns", "a") == replace(added, revision=1)


def test_every_write_takes_the_next_revision(store: Store) -> None:
    assert store.revision() == 0
    assert store.add([record("a"), record("b")]).revision == 1
    assert store.replace(record("a", label="new"), 1).revision == 2
    assert store.remove("ns", "b").revision == 3
    assert store.put_policy(PolicyRecord("ns", "strict", "{}")).revision == 4
    assert store.revision() == 4


def test_a_batch_is_added_whole_or_not_at_all(store: Store) -> None:
    store.add([record("a")])
    with pytest.raises(Exception, match="UNIQUE"):
        store.add([record("b"), record("a")])
    assert store.revision() == 1
    with pytest.raises(EntryUnknown):
        store.entry("ns", "b")


def test_a_namespace_does_not_see_another(store: Store) -> None:
    store.add([record("a", "one")])
    for act in (
        lambda: store.entry("two", "a"),
        lambda: store.remove("two", "a"),
        lambda: store.replace(record("a", "two"), 1),
    ):
        with pytest.raises(EntryUnknown):
            act()
    assert store.entries(EntryFilter("two")).entries == ()
    assert store.entry("one", "a").id == "a" and store.revision() == 1


def test_a_removed_entry_is_unknown(store: Store) -> None:
    store.add([record("a")])
    store.remove("ns", "a")
    with pytest.raises(EntryUnknown):
        store.remove("ns", "a")
    with pytest.raises(EntryUnknown):
        store.replace(record("a"), 1)


def test_replacing_what_has_changed_meanwhile_is_a_conflict(store: Store) -> None:
    store.add([record("a")])
    store.replace(record("a", label="first"), 1)
    with pytest.raises(Conflict):
        store.replace(record("a", label="second"), 1)
    assert store.entry("ns", "a").label == "first"


def test_pages_hold_every_entry_once_newest_first(store: Store) -> None:
    for n in range(7):
        store.add([record(f"e{n}")])
    seen, cursor = [], None
    while True:
        page = store.entries(EntryFilter("ns", cursor=cursor, limit=3))
        seen += [entry.id for entry in page.entries]
        cursor = page.next_cursor
        if cursor is None:
            break
        if len(seen) == 3:
            store.add([record("late")])  # does not shift the pages that follow
    assert seen == [f"e{n}" for n in reversed(range(7))]


def test_pages_are_filtered_by_kind_and_label(store: Store) -> None:
    store.add([record("a", label="x"), record("b", kind=Kind.PASSAGE, label="x"), record("c", label="y")])
    assert [e.id for e in store.entries(EntryFilter("ns", kind=Kind.FACT)).entries] == ["c", "a"]
    assert [e.id for e in store.entries(EntryFilter("ns", label="x")).entries] == ["b", "a"]
    assert [e.id for e in store.entries(EntryFilter("ns", Kind.FACT, "x")).entries] == ["a"]


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "", "٣"])
def test_a_cursor_that_no_page_gave_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        store.entries(EntryFilter("ns", cursor=cursor))


# -- following --------------------------------------------------------------------------------------------------------


def test_changes_since_a_revision_are_complete(store: Store) -> None:
    store.add([record("a"), record("b")])
    store.add([record("c", "other")])
    store.remove("ns", "a")
    store.put_policy(PolicyRecord("ns", "p", "{}"))
    whole = store.changes_since(0)
    assert whole.revision == 4
    assert [e.id for e in whole.entries] == ["b", "c"]
    assert whole.removed == (("ns", "a"),)
    assert [p.name for p in whole.policies] == ["p"]
    late = store.changes_since(2)
    assert (late.entries, late.removed, [p.revision for p in late.policies]) == ((), (("ns", "a"),), [4])
    assert store.changes_since(4).entries == ()


def test_a_replaced_entry_is_a_change(store: Store) -> None:
    store.add([record("a")])
    store.replace(record("a", label="new"), 1)
    assert [e.label for e in store.changes_since(1).entries] == ["new"]


def test_changes_name_when_they_were_written(store: Store, clock) -> None:
    clock.now = 42.0
    store.add([record("a")])
    assert store.changes_since(0).written_at == 42.0


def test_writers_on_many_threads_lose_nothing(store: Store) -> None:
    def write(thread: int) -> None:
        for n in range(10):
            store.add([record(f"{thread}-{n}")])

    threads = [threading.Thread(target=write, args=(t,)) for t in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    changes = store.changes_since(0)
    assert changes.revision == 60
    assert sorted(e.revision for e in changes.entries) == list(range(1, 61))


# -- policies ---------------------------------------------------------------------------------------------------------


def test_a_policy_replaces_the_one_of_its_name(store: Store) -> None:
    store.put_policy(PolicyRecord("ns", "p", "1"))
    store.put_policy(PolicyRecord("ns", "p", "2"))
    store.put_policy(PolicyRecord("ns", "a", "3"))
    assert [(p.name, p.body) for p in store.policies("ns")] == [("a", "3"), ("p", "2")]
    assert store.policy("ns", "p") == PolicyRecord("ns", "p", "2", 2)
    assert store.policy("other", "p") is None


# -- repeating a request ----------------------------------------------------------------------------------------------


def test_a_repeated_write_happens_once_and_is_answered_alike(store: Store) -> None:
    first = store.add([record("a")], once())
    again = store.add([record("b")], once())
    assert again.replayed and not first.replayed
    assert (again.revision, again.ids, again.answer) == (first.revision, first.ids, first.answer)
    assert store.replay(once()) == again
    assert store.revision() == 1


def test_the_answer_is_the_callers_own(store: Store) -> None:
    mine = replace(once(), answer=lambda written: f"<{written.revision} {written.ids[0]}>")
    assert store.add([record("a")], mine).answer == "<1 a>"
    assert store.add([record("b")], once()).answer == "<1 a>"


def test_one_key_with_two_bodies_is_refused(store: Store) -> None:
    store.add([record("a")], once(body="one"))
    with pytest.raises(IdempotencyMismatch):
        store.add([record("b")], once(body="two"))
    with pytest.raises(IdempotencyMismatch):
        store.replay(once(body="two"))


def test_keys_of_other_principals_and_routes_are_other_keys(store: Store) -> None:
    store.add([record("a")], once())
    assert store.replay(once(principal="q")) is None
    assert store.replay(once(route="POST /y")) is None
    assert not store.add([record("b")], once(principal="q")).replayed


def test_a_write_that_failed_may_be_repeated(store: Store) -> None:
    with pytest.raises(EntryUnknown):
        store.remove("ns", "a", once())
    store.add([record("a")])
    assert not store.remove("ns", "a", once()).replayed


def test_a_key_is_forgotten_after_a_day(store: Store, clock) -> None:
    store.add([record("a")], once())
    clock.now += 25 * 3600
    store.add([record("b")], once("other"))
    assert store.replay(once()) is None


def test_an_answer_can_be_remembered_by_itself(store: Store) -> None:
    store.remember(once(), "answer")
    kept = store.replay(once())
    assert kept is not None and kept.answer == "answer"
    with pytest.raises(Conflict):
        store.remember(once(), "other")


def test_of_many_equal_requests_at_once_one_writes(store: Store) -> None:
    results = []

    def write(n: int) -> None:
        results.append(store.add([record(f"e{n}")], once()))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(not r.replayed for r in results) == 1
    assert len({r.ids for r in results}) == 1
    assert len(store.changes_since(0).entries) == 1


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_a_secret_of_the_store_is_set_once(store: Store) -> None:
    assert store.meta("s") is None
    assert store.put_meta("s", b"one") == b"one"
    assert store.put_meta("s", b"two") == b"one"
    assert store.meta("s") == b"one"


def test_keys_are_kept_and_revoked(store: Store) -> None:
    kept = KeyRecord(ApiKey("id", Role.AUDITOR, "ns", 1.0), b"h" * 32)
    store.add_key(kept)
    assert store.access_keys() == [kept]
    store.revoke_key("id", 2.0)
    store.revoke_key("id", 3.0)
    assert store.access_keys()[0].key.revoked_at == 2.0
    with pytest.raises(KeyUnknown):
        store.revoke_key("other", 2.0)


def decision(decision_id: str, at: float, **fields: object) -> Decision:
    return replace(Decision(decision_id, at, "ns", "chat", Side.ANSWER, Action.BLOCK, 3, "req"), **fields)


def test_decisions_are_listed_newest_first_and_filtered(store: Store) -> None:
    full = decision("c", 3.0, kind=Kind.FACT, stage="embedding", entry_id="e", score=0.9, threshold=0.8, shadow=True)
    batch = [decision("a", 1.0), decision("b", 2.0, action=Action.FLAG, namespace="other"), full]
    store.add_decisions(batch)
    assert list(store.decisions(DecisionFilter())) == [full, batch[1], batch[0]]
    assert [d.id for d in store.decisions(DecisionFilter(namespace="ns"))] == ["c", "a"]
    assert [d.id for d in store.decisions(DecisionFilter(since=2.0))] == ["c", "b"]
    assert [d.id for d in store.decisions(DecisionFilter(action=Action.FLAG))] == ["b"]
    assert [d.id for d in store.decisions(DecisionFilter(limit=1))] == ["c"]


def test_decisions_are_labelled_and_forgotten(store: Store) -> None:
    store.add_decisions([decision("a", 1.0), decision("b", 2.0)])
    store.label_decision("a", Label.FALSE_POSITIVE, "ns")
    assert store.decisions(DecisionFilter())[1].label is Label.FALSE_POSITIVE
    for unknown in (("c", None), ("a", "other")):
        with pytest.raises(DecisionUnknown):
            store.label_decision(unknown[0], Label.HIT, unknown[1])
    assert store.forget_decisions(before=2.0) == 1
    assert [d.id for d in store.decisions(DecisionFilter())] == ["b"]


def test_jobs_are_kept_and_interrupted_with_their_replica(store: Store, clock) -> None:
    job = Job("j", "ns", "r1", JobState.RUNNING, 1.0, 3, 1, None, (JobError(7, "too broad"),), 2.0)
    store.put_job(job)
    store.put_job(replace(job, id="k", replica="r2"))
    assert store.job("j") == job
    store.put_job(replace(job, done=9))
    assert store.interrupt_jobs("r1") == 1
    assert store.job("j") == replace(job, done=9, state=JobState.INTERRUPTED, ended_at=clock.now)
    assert store.job("k").state is JobState.RUNNING
    with pytest.raises(JobUnknown):
        store.job("other")


def test_a_job_keeps_its_first_errors(store: Store) -> None:
    errors = tuple(JobError(n, "no words") for n in range(MOST_ERRORS + 5))
    store.put_job(Job("j", "ns", "r", JobState.DONE, 1.0, errors=errors))
    assert store.job("j").errors == errors[:MOST_ERRORS]


def test_replicas_say_what_they_serve_until_they_are_gone(store: Store, clock) -> None:
    store.seen("r", 1)
    clock.now = 9.0
    store.seen("r", 2)
    assert store.replicas() == [Replica("r", 2, 9.0)]
    store.gone("r")
    assert store.replicas() == []


def test_calibrations_are_kept_per_embedder_backend_and_rule(store: Store, clock) -> None:
    store.put_calibration("hash", "torch", "rule", "one")
    store.put_calibration("hash", "torch", "rule", "two")
    clock.now += 1
    store.put_calibration("hash", "onnx", "rule", "three")
    assert store.calibration("hash", "torch", "rule") == "two"
    assert store.calibration("hash", "onnx", "rule") == "three"
    for other in (("hash", "torch", "other"), ("hash", "openvino", "rule"), ("other", "torch", "rule")):
        assert store.calibration(*other) is None
    assert store.calibrations() == ["three", "two"]


def test_entries_of_another_basis_are_found(store: Store) -> None:
    store.add([record("a"), record("b", basis="old"), record("c", basis="old", retention=Retention.SEALED)])
    assert [r.id for r in store.made_otherwise("basis", 10)] == ["b", "c"]
    assert [r.id for r in store.made_otherwise("basis", 1)] == ["b"]
    assert store.sealed_otherwise("basis") == 1
