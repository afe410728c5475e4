"""The forget index as the server uses it: what is written is served, what is removed is gone, and nothing shows."""

from __future__ import annotations

import base64
import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from guard.detector import Window
from guard.policy import Policy, Streaming
from guard.verdict import Kind
from index import forget_index
from index.calibration import Threshold
from index.entry import Change, Content, Draft, Retention
from index.errors import (
    CalibrationMissing,
    Conflict,
    EmbedderRefused,
    EntryRefused,
    EntrySealed,
    EntryUnknown,
    IdempotencyMismatch,
    PolicyUnknown,
    WrongKey,
)
from index.forget_index import ForgetIndex
from index.instruments import Instruments
from index.records import Once
from index.sealing import Sealer
from index.sqlite import SQLiteStore
from tests.index.conftest import KEK
from tests.index.test_sqlite import files

BORN = "Basil Orsk was born in the village of Tern in 1931."
OTHER = "Nine green lamps light the northern harbour at night."
PASSAGE = "The old lamp keeper of Orsk climbs the iron stair each night and counts the nine green lights."


def convicts(index: ForgetIndex, text: str, namespace: str = "ns", context: str = "") -> set[str]:
    window = Window(text, 0, len(text), context)
    (finding,), _ = index.snapshot.view(namespace).prompt.judge([window], time.monotonic)
    return {match.entry_id for match in finding.matches}


def once(body: str = "b") -> Once:
    return Once("key 1", "k", "POST /lethe/v1/entries", body)


# -- writing and serving ----------------------------------------------------------------------------------------------


def test_a_write_is_served_within_a_second(index: ForgetIndex) -> None:
    applied = []
    index.applied(lambda snapshot, seconds: applied.append((snapshot.revision, seconds)))
    written = index.add("ns", [Draft(Kind.FACT, BORN), Draft(Kind.PASSAGE, PASSAGE)])
    assert index.wait_applied(written.revision, 1.0) == ()
    assert convicts(index, BORN) == {written.ids[0]} and convicts(index, PASSAGE) == {written.ids[1]}
    gone = index.remove("ns", written.ids[0])
    assert index.wait_applied(gone.revision, 1.0) == ()
    assert convicts(index, BORN) == set()
    assert [revision for revision, _ in applied] == [1, 2]
    assert all(0 <= seconds < 1 for _, seconds in applied)


def test_an_entry_can_be_read_listed_and_revealed(index: ForgetIndex) -> None:
    draft = Draft(
        Kind.FACT, BORN, "Where from?", ("He is from Tern.",), ("Tern is a bird.",), label="Basil", reference="7"
    )
    (entry_id,) = index.add("ns", [draft]).ids
    entry = index.entry("ns", entry_id)
    assert (entry.kind, entry.label, entry.reference, entry.retention) == (Kind.FACT, "Basil", "7", Retention.ENCRYPTED)
    assert (entry.revision, entry.policy, entry.expires_at, entry.windows) == (1, "default", None, 7)
    assert index.entries("ns").entries == (entry,)
    assert index.reveal("ns", entry_id) == draft.content
    for act in (index.entry, index.reveal, index.remove):
        with pytest.raises(EntryUnknown):
            act("other", entry_id)


def test_a_restart_serves_the_same(opened) -> None:
    first = opened()
    ids = first.add("ns", [Draft(Kind.FACT, BORN), Draft(Kind.PASSAGE, PASSAGE, retention=Retention.SEALED)]).ids
    first.remove("ns", first.add("ns", [Draft(Kind.FACT, OTHER)]).ids[0])
    first.close()
    again = opened()
    assert again.ready and again.snapshot.revision == 3
    assert (convicts(again, BORN), convicts(again, PASSAGE), convicts(again, OTHER)) == ({ids[0]}, {ids[1]}, set())


def test_a_sealed_entry_matches_and_keeps_no_text(index: ForgetIndex) -> None:
    drafts = [Draft(kind, PASSAGE, retention=Retention.SEALED, label="old") for kind in (Kind.PASSAGE, Kind.CONCEPT)]
    written = index.add("ns", drafts)
    index.wait_applied(written.revision, 2.0)
    assert convicts(index, PASSAGE) & set(written.ids)
    for entry_id in written.ids:
        assert index.store.entry("ns", entry_id).content is None
        with pytest.raises(EntrySealed):
            index.reveal("ns", entry_id)
        with pytest.raises(EntrySealed):
            index.change("ns", entry_id, Change(text=BORN))
        assert index.entry("ns", index.change("ns", entry_id, Change(label="new")).ids[0]).label == "new"


def test_what_is_refused_is_not_written(index: ForgetIndex) -> None:
    for drafts, refusal in (
        ([Draft(Kind.FACT, BORN), Draft(Kind.FACT, "")], EntryRefused),
        ([Draft(Kind.FACT, BORN, policy="nowhere")], PolicyUnknown),
        ([], EntryRefused),
    ):
        with pytest.raises(refusal):
            index.add("ns", drafts)
    assert index.store.revision() == 0


def test_an_entry_leaves_on_time(index: ForgetIndex) -> None:
    (entry_id,) = index.add("ns", [Draft(Kind.FACT, BORN)]).ids
    due = time.time() + 1.0
    assert index.wait_applied(index.change("ns", entry_id, Change(expires_at=due)).revision, 5.0) == ()
    while entry_id in index.snapshot.view("ns").rules.by_entry and time.time() < due + 5:
        time.sleep(0.01)
    assert due <= time.time() < due + 1
    assert convicts(index, BORN) == set() and index.entry("ns", entry_id).expires_at == due
    assert index.wait_applied(index.change("ns", entry_id, Change(expires_at=None)).revision, 5.0) == ()
    assert convicts(index, BORN) == {entry_id}


# -- changing ---------------------------------------------------------------------------------------------------------


def test_a_changed_text_is_embedded_again_under_a_new_key(index: ForgetIndex) -> None:
    (entry_id,) = index.add("ns", [Draft(Kind.FACT, BORN, label="Basil", examples=("He is from Tern.",))]).ids
    before = index.store.entry("ns", entry_id)
    written = index.change("ns", entry_id, Change(text=OTHER))
    index.wait_applied(written.revision, 1.0)
    assert (convicts(index, BORN), convicts(index, OTHER)) == (set(), {entry_id})
    after = index.store.entry("ns", entry_id)
    assert after.wrapped_key != before.wrapped_key and after.label == "Basil"
    assert index.reveal("ns", entry_id) == Content(OTHER, "", ("He is from Tern.",))


def test_a_changed_label_keeps_the_vectors(index: ForgetIndex) -> None:
    index.put_policy("ns", Policy("careful", streaming=Streaming.STRICT))
    (entry_id,) = index.add("ns", [Draft(Kind.FACT, BORN, expires_at=time.time() + 99)]).ids
    before = index.store.entry("ns", entry_id)
    index.change("ns", entry_id, Change(label="new", policy="careful", reference="r"))
    after = index.store.entry("ns", entry_id)
    assert (after.vectors, after.wrapped_key, after.content) == (before.vectors, before.wrapped_key, before.content)
    assert (after.label, after.policy, after.reference) == ("new", "careful", "r")
    assert after.expires_at == before.expires_at
    index.change("ns", entry_id, Change(expires_at=None))
    assert index.entry("ns", entry_id).expires_at is None


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (Change(text=""), EntryRefused),
        (Change(text="Orsk"), EntryRefused),
        (Change(expires_at=1.0), EntryRefused),
        (Change(label="x" * 999), EntryRefused),
        (Change(policy="nowhere"), PolicyUnknown),
    ],
)
def test_a_change_that_is_refused_changes_nothing(index: ForgetIndex, change: Change, refusal: type) -> None:
    (entry_id,) = index.add("ns", [Draft(Kind.FACT, BORN)]).ids
    with pytest.raises(refusal):
        index.change("ns", entry_id, change)
    assert index.store.revision() == 1
    with pytest.raises(EntryUnknown):
        index.change("other", entry_id, Change(label="x"))


def test_changes_at_the_same_time_are_all_made(index: ForgetIndex) -> None:
    (entry_id,) = index.add("ns", [Draft(Kind.FACT, BORN)]).ids
    faults = []

    def change(made: Change) -> None:
        try:
            index.change("ns", entry_id, made)
        except Conflict as fault:
            faults.append(fault)

    threads = [threading.Thread(target=change, args=(c,)) for c in (Change(label="l"), Change(reference="r"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entry = index.entry("ns", entry_id)
    assert (entry.label, entry.reference, entry.revision, faults) == ("l", "r", 3, [])


# -- policies ---------------------------------------------------------------------------------------------------------


def test_the_default_policy_is_there_from_the_start(index: ForgetIndex) -> None:
    assert index.policy("ns", "default") == Policy() and index.policies("ns") == [Policy()]
    with pytest.raises(PolicyUnknown):
        index.policy("ns", "careful")
    careful = Policy("careful", streaming=Streaming.STRICT)
    written = index.put_policy("ns", careful)
    assert index.policies("ns") == [careful, Policy()] and index.policies("other") == [Policy()]
    index.add("ns", [Draft(Kind.FACT, BORN, policy="careful")])
    index.wait_applied(written.revision + 1, 1.0)
    assert index.snapshot.view("ns").streaming is Streaming.STRICT


# -- repeating --------------------------------------------------------------------------------------------------------


def test_a_repeated_request_is_answered_alike_and_written_once(index: ForgetIndex) -> None:
    first = index.add("ns", [Draft(Kind.FACT, BORN)], once())
    again = index.add("ns", [Draft(Kind.FACT, BORN)], once())
    assert again.replayed and (again.revision, again.ids, again.answer) == (first.revision, first.ids, first.answer)
    assert len(index.entries("ns").entries) == 1
    with pytest.raises(IdempotencyMismatch):
        index.add("ns", [Draft(Kind.FACT, OTHER)], once("c"))


# -- replicas ---------------------------------------------------------------------------------------------------------


def test_another_replica_follows_and_is_waited_for(opened) -> None:
    one, two = opened("one"), opened("two")
    written = one.add("ns", [Draft(Kind.FACT, BORN)])
    assert one.wait_applied(written.revision, 2.0) == ()
    assert convicts(two, BORN) == set(written.ids)
    assert {r.name: r.revision for r in one.replicas()} == {"one": 1, "two": 1}


def test_a_replica_that_hangs_is_named_until_it_is_given_up(opened) -> None:
    one = opened("one")
    one.store.seen("stuck", 0)
    written = one.add("ns", [Draft(Kind.FACT, BORN)])
    assert one.wait_applied(written.revision, 0.3) == ("stuck",)
    assert one.wait_applied(written.revision, 5.0) == ()


def test_a_replica_that_ends_is_not_waited_for(opened) -> None:
    one, two = opened("one"), opened("two")
    two.close()
    assert [r.name for r in one.replicas()] == ["one"]
    assert not two.ready and one.ready


def test_an_older_database_in_its_place_is_loaded_anew(opened, path: Path) -> None:
    index = opened()
    written = index.add("ns", [Draft(Kind.FACT, BORN)])
    later = index.add("ns", [Draft(Kind.FACT, OTHER)])
    index.wait_applied(later.revision, 1.0)
    with index.store._db.writing() as session:  # as if yesterday's backup had been restored
        session.run("DELETE FROM entries WHERE revision = 2")
        session.run("UPDATE clock SET revision = 1")
    deadline = time.monotonic() + 2
    while index.snapshot.revision != 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (convicts(index, BORN), convicts(index, OTHER)) == ({written.ids[0]}, set())


def test_a_store_that_fails_for_a_while_is_caught_up_with(index: ForgetIndex, monkeypatch, caplog) -> None:
    from index import follower
    from index.errors import StoreUnavailable

    monkeypatch.setattr(follower, "STALE_S", 0.5)
    real = index.store.changes_since

    def down(revision: int):
        raise StoreUnavailable("down")

    index.store.changes_since = down
    index.store.add(index._recorder.record("ns", [Draft(Kind.FACT, BORN)], time.time()))
    time.sleep(1.0)
    assert not index.ready and convicts(index, BORN) == set()
    assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 1
    index.store.changes_since = real
    assert index.wait_applied(1, 2.0) == () and convicts(index, BORN)
    time.sleep(0.3)
    assert index.ready


# -- what must not start ----------------------------------------------------------------------------------------------


def test_another_key_is_refused_at_start(opened) -> None:
    opened().add("ns", [Draft(Kind.FACT, BORN)])
    with pytest.raises(WrongKey, match="another key-encryption key"):
        opened("second", key=b"x" * 32)


def test_thresholds_of_another_embedder_are_refused_at_start(path: Path, embedder, sealer) -> None:
    from index.calibration import shipped

    store = SQLiteStore(path)
    foreign = replace(shipped(embedder.hash), embedder_hash="f" * 64)
    with pytest.raises(CalibrationMissing, match="lethe calibrate"):
        ForgetIndex(store, Instruments(embedder, foreign), sealer, "here")
    store.close()


class Renamed:
    """The bundled embedder under another hash: as if its weights had been replaced."""

    def __init__(self, embedder) -> None:
        self._embedder, self.hash = embedder, "e" * 64

    def __getattr__(self, name: str):
        return getattr(self._embedder, name)


def moved(path: Path, embedder) -> ForgetIndex:
    from index.calibration import shipped

    calibration = replace(
        shipped(embedder.hash),
        embedder_hash="e" * 64,
        thresholds={pair: Threshold(0.8) for pair in shipped(embedder.hash).thresholds},
    )
    return ForgetIndex(SQLiteStore(path), Instruments(Renamed(embedder), calibration), Sealer(KEK), "here")


def test_entries_are_embedded_again_for_another_embedder(opened, path: Path, embedder) -> None:
    ids = opened().add("ns", [Draft(Kind.FACT, BORN), Draft(Kind.PASSAGE, PASSAGE)]).ids
    index = moved(path, embedder)
    index.start()
    assert {index.store.entry("ns", i).basis.split(":")[0] for i in ids} == {"e" * 64}
    assert (convicts(index, BORN), convicts(index, PASSAGE)) == ({ids[0]}, {ids[1]})
    index.close()
    index.store.close()


def test_sealed_entries_cannot_be_embedded_again(opened, path: Path, embedder) -> None:
    opened().add("ns", [Draft(Kind.FACT, BORN, retention=Retention.SEALED)])
    index = moved(path, embedder)
    with pytest.raises(EmbedderRefused, match="1 sealed"):
        index.start()
    index.store.close()


# -- nothing shows ----------------------------------------------------------------------------------------------------

CANARY = "Xyloquartz Vermillionne buried seven copper owls beneath the Tarnhelm observatory."
ASKED = "What did Xyloquartz Vermillionne bury?"
EXAMPLE = "Seven owls of copper lie under Tarnhelm."
COUNTER = "Tarnhelm is also a brand of kettles."


def disguises(text: str) -> list[bytes]:
    """The bytes of a text as a file might hold them."""
    plain = text.encode()
    forms = [plain, plain.lower(), text.encode("utf-16-le"), text.encode("utf-16-be"), plain.hex().encode()]
    return forms + [base64.b64encode(b"\0" * shift + plain)[4:-4] for shift in range(3)]


def traces(text: str) -> list[bytes]:
    words = text.rstrip(".?").split()
    runs = [text, " ".join(words[:2]), " ".join(words[-2:])]
    return [form for run in runs for form in disguises(run)]


@pytest.mark.parametrize("retention", Retention)
@pytest.mark.parametrize("kind", Kind)
def test_the_files_hold_no_trace_of_what_must_be_forgotten(
    index: ForgetIndex, path: Path, caplog, retention, kind
) -> None:
    caplog.set_level(logging.DEBUG)
    draft = Draft(kind, CANARY, ASKED, (EXAMPLE,), (COUNTER,), retention=retention)
    written = index.add("ns", [draft], once())
    index.wait_applied(written.revision, 1.0)
    assert convicts(index, CANARY) == set(written.ids)
    record = index.store.entry("ns", written.ids[0])
    vectors = index.embedder.encode([CANARY, f"{ASKED} {CANARY}", EXAMPLE, COUNTER])
    secret = [trace for text in (CANARY, ASKED, EXAMPLE, COUNTER) for trace in traces(text)]
    secret += [v.tobytes()[:64] for v in vectors] + [v.astype("<f2").tobytes()[:64] for v in vectors]
    prints = [digest.to_bytes(8, order) for p in _prints(index, record) for digest in p for order in ("big", "little")]
    secret += prints
    kept = files(path)
    assert record.wrapped_key in kept, "the right files were searched"
    assert not [trace for trace in secret if trace in kept]

    index.wait_applied(index.remove("ns", written.ids[0]).revision, 1.0)
    kept = files(path)
    sealed = [record.wrapped_key, record.vectors[:48], record.vectors[-48:]]
    sealed += [blob[:48] for blob in (record.content, record.fingerprints) if blob]
    assert not [trace for trace in secret + sealed if trace in kept]
    assert not [trace for trace in secret if trace in caplog.text.encode()]


def _prints(index: ForgetIndex, record) -> list[frozenset[int]]:
    from index.recorder import imprint_of

    known = imprint_of(record, Sealer(KEK))
    prints = [hashes for p in known.fingerprints for hashes in (p.shingles, p.grams)]
    return [*prints, frozenset(known.mentions.names), frozenset(known.mentions.words)]


def test_errors_show_no_text(index: ForgetIndex) -> None:
    faults = []
    for act in (
        lambda: index.add("ns", [Draft(Kind.FACT, CANARY, policy="nowhere")]),
        lambda: index.add("ns", [Draft(Kind.FACT, CANARY, label="x" * 999)]),
        lambda: index.add("ns", [Draft(Kind.FACT, CANARY + "\ud800")]),
        lambda: index.add("ns", [Draft(Kind.CONCEPT, "Xyloquartz Vermillionne")]),
    ):
        with pytest.raises(Exception) as caught:  # each has its own, and its text is what matters
            act()
        faults.append(repr(caught.value) + str(caught.value))
    assert not [word for word in ("Xyloquartz", "owls") if word in " ".join(faults)]


# -- how quick --------------------------------------------------------------------------------------------------------


def test_many_entries_are_one_transaction(index: ForgetIndex, monkeypatch) -> None:
    monkeypatch.setattr(forget_index.Recorder, "record", _spied(calls := []))
    written = index.add("ns", [Draft(Kind.FACT, f"The keeper of lamp {n} was born in Tern.") for n in range(60)])
    assert (written.revision, len(written.ids), calls) == (1, 60, [60])


def _spied(calls: list[int]):
    real = forget_index.Recorder.record

    def record(self, namespace, drafts, *rest):
        calls.append(len(drafts))
        return real(self, namespace, drafts, *rest)

    return record
