"""Snapshots: one revision from start to end, and the next one made from it."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from guard.cascade import Finding
from guard.detector import Window
from guard.policy import FailureRule, Mode, Policy, Streaming
from guard.verdict import Action, Kind
from guard.words import words_of
from index import shingles, vectors
from index.advance import Advancer, State
from index.calibration import shipped
from index.entry import Content, Draft
from index.errors import WrongKey
from index.imprint import Imprinter
from index.policies import policy_to_json
from index.recorder import Recorder
from index.records import Changes, PolicyRecord
from index.sealing import Sealer
from index.snapshot import NOTHING, Tools

BORN = "Basil Orsk was born in the village of Tern in 1931."
PASSAGE = "The old lamp keeper of Orsk climbs the iron stair each night and counts the nine green lights."


class World:
    """A state, and what is needed to take it further."""

    def __init__(self, embedder, sealer, shingler) -> None:
        self.recorder = Recorder(Imprinter(embedder, shingler), sealer)
        self.advancer = Advancer(Tools(embedder, shingler, shipped(embedder.hash)), sealer)
        self.state = State.blank(Tools(embedder, shingler, shipped(embedder.hash)))
        self.now = 1000.0

    @property
    def snapshot(self):
        return self.state.snapshot

    def add(self, *drafts: Draft, namespace: str = "ns") -> list[str]:
        records = [replace(r, revision=self.next) for r in self.recorder.record(namespace, drafts, self.now)]
        self.take(Changes(self.next, self.now, entries=tuple(records)))
        return [record.id for record in records]

    def remove(self, entry_id: str, namespace: str = "ns") -> None:
        self.take(Changes(self.next, self.now, removed=((namespace, entry_id),)))

    def put(self, policy: Policy, namespace: str = "ns") -> None:
        record = PolicyRecord(namespace, policy.name, policy_to_json(policy), self.next)
        self.take(Changes(self.next, self.now, policies=(record,)))

    @property
    def next(self) -> int:
        return self.snapshot.revision + 1

    def take(self, changes: Changes) -> None:
        self.state = self.advancer.advance(self.state, changes, self.now)


@pytest.fixture
def world(embedder, sealer, shingler) -> World:
    return World(embedder, sealer, shingler)


def judged(cascade, text: str, context: str = "") -> Finding:
    (finding,), _ = cascade.judge([Window(text, 0, len(text), context)], time.monotonic)
    return finding


def watched(view, text: str) -> set[str]:
    watcher = view.watcher()
    return {match.entry_id for word in words_of(text) for match in watcher.push(word)}


def test_an_empty_namespace_has_an_empty_view_with_the_default_policy(world: World) -> None:
    view = world.snapshot.view("nobody")
    assert view.empty and view.answer is view.prompt is NOTHING
    assert (view.namespace, view.revision, view.rules.default) == ("nobody", 0, Policy())
    assert (view.streaming, view.on_failure) == (Streaming.ADAPTIVE, FailureRule.REFUSE)
    assert watched(view, PASSAGE) == set()
    assert world.snapshot.counts() == {}


def test_an_added_fact_convicts_and_a_removed_one_does_not(world: World) -> None:
    (entry_id,) = world.add(Draft(Kind.FACT, BORN))
    before = world.snapshot
    assert [m.entry_id for m in judged(before.view("ns").answer, BORN).matches] == [entry_id]
    world.remove(entry_id)
    assert judged(world.snapshot.view("ns").answer, BORN).matches == ()
    assert world.snapshot.view("ns").empty
    assert judged(before.view("ns").answer, BORN).matches, "a request keeps the snapshot that it took"
    assert before.counts()["ns", Kind.FACT] == 1 and world.snapshot.counts()["ns", Kind.FACT] == 0


def test_a_passage_is_watched_in_answers_and_staged_in_prompts(world: World) -> None:
    (entry_id,) = world.add(Draft(Kind.PASSAGE, PASSAGE))
    view = world.snapshot.view("ns")
    assert watched(view, "So THE OLD lamp-keeper of Orsk climbs the iron stair, he said.") == {entry_id}
    assert [s.detector.name for s in view.answer.stages] == ["fingerprint", "embedding"], "for dressed windows"
    assert [s.detector.name for s in view.prompt.stages] == ["fingerprint", "embedding"]
    run = "why does the keeper of orsk climbs the iron stair each night matter"
    assert {m.detector for m in judged(view.prompt, run).matches} == {"fingerprint"}


def test_namespaces_do_not_see_each_other(world: World) -> None:
    world.add(Draft(Kind.PASSAGE, PASSAGE), Draft(Kind.FACT, BORN), namespace="one")
    other = world.snapshot.view("two")
    assert other.empty and watched(other, PASSAGE) == set()
    world.add(Draft(Kind.FACT, "Nine lamps light the harbour of Orsk."), namespace="two")
    assert judged(world.snapshot.view("two").answer, BORN).matches == ()


def test_a_write_elsewhere_moves_the_revision_and_keeps_the_cascade(world: World) -> None:
    world.add(Draft(Kind.FACT, BORN), namespace="one")
    cascade = world.snapshot.view("one").answer
    world.add(Draft(Kind.FACT, BORN), namespace="two")
    view = world.snapshot.view("one")
    assert view.answer is cascade
    assert view.revision == view.rules.revision == world.snapshot.revision == 2


def test_the_strictest_policy_in_use_counts(world: World) -> None:
    world.put(Policy("careful", streaming=Streaming.STRICT))
    world.put(Policy("lenient", on_failure=FailureRule.ALLOW))
    (lenient,) = world.add(Draft(Kind.FACT, BORN, policy="lenient"))
    view = world.snapshot.view("ns")
    assert (view.streaming, view.on_failure) == (Streaming.ADAPTIVE, FailureRule.ALLOW)
    world.add(Draft(Kind.PASSAGE, PASSAGE, policy="careful"))
    view = world.snapshot.view("ns")
    assert (view.streaming, view.on_failure) == (Streaming.STRICT, FailureRule.REFUSE)
    assert view.streaming == view.rules.streaming and view.on_failure == view.rules.on_failure
    assert view.rules.by_entry[lenient].policy.name == "lenient"


def test_a_changed_policy_applies_to_entries_that_are_there(world: World) -> None:
    world.put(Policy("p"))
    (entry_id,) = world.add(Draft(Kind.FACT, BORN, policy="p"))
    world.put(Policy("p", mode=Mode.SHADOW, thresholds={Kind.FACT: 0.99}))
    rule = world.snapshot.view("ns").rules.by_entry[entry_id]
    assert rule.policy.mode is Mode.SHADOW
    assert judged(world.snapshot.view("ns").answer, "Basil Orsk was born in Tern village, in 1931.").matches == ()


def test_the_default_policy_of_a_namespace_can_be_changed_before_it_holds_anything(world: World) -> None:
    world.put(Policy(streaming=Streaming.STRICT, refusal="Not that."))
    view = world.snapshot.view("ns")
    assert view.empty and view.streaming is Streaming.STRICT and view.rules.default.refusal == "Not that."
    (entry_id,) = world.add(Draft(Kind.FACT, BORN))
    assert world.snapshot.view("ns").rules.by_entry[entry_id].policy.refusal == "Not that."


def test_an_entry_expires_on_time(world: World) -> None:
    world.add(Draft(Kind.PASSAGE, PASSAGE, expires_at=1010.0), Draft(Kind.FACT, BORN, expires_at=1020.0))
    assert world.state.next_expiry == 1010.0
    assert world.advancer.expire(world.state, 1009.9) is world.state
    later = world.advancer.expire(world.state, 1010.0)
    assert later.snapshot.counts() == {("ns", Kind.PASSAGE): 0, ("ns", Kind.FACT): 1, ("ns", Kind.CONCEPT): 0}
    assert watched(later.snapshot.view("ns"), PASSAGE) == set()
    assert later.next_expiry == 1020.0
    assert world.advancer.expire(later, 2000.0).next_expiry is None


def test_an_entry_that_has_expired_is_not_loaded(world: World) -> None:
    world.now = 5000.0
    world.add(Draft(Kind.FACT, BORN, expires_at=4000.0))
    assert world.snapshot.view("ns").empty


def test_an_entry_of_a_changed_text_matches_the_new_one_only(world: World) -> None:
    (record,) = world.recorder.record("ns", [Draft(Kind.PASSAGE, PASSAGE)], world.now)
    world.take(Changes(1, world.now, entries=(record,)))
    new = "Nobody has seen the amber falcon of the northern harbour since that winter."
    (again,) = world.recorder.again([record], [Content(new)])
    world.take(Changes(2, world.now, entries=(again,)))
    view = world.snapshot.view("ns")
    assert (watched(view, PASSAGE), watched(view, new)) == (set(), {record.id})
    assert judged(view.answer, PASSAGE).matches == ()
    assert judged(view.answer, new).matches


def test_shadowed_entries_flag_and_labels_are_in_the_rules(world: World) -> None:
    world.put(Policy("watch", mode=Mode.SHADOW))
    (entry_id,) = world.add(Draft(Kind.FACT, BORN, label="Basil", policy="watch"))
    rules = world.snapshot.view("ns").rules
    assert rules.by_entry[entry_id].label == "Basil"
    from guard.scan import verdict_of

    verdict = verdict_of(judged(world.snapshot.view("ns").answer, BORN), rules)
    assert (verdict.action, verdict.shadowed) == (Action.FLAG, Action.BLOCK)


def test_compacting_changes_no_answer(world: World, monkeypatch) -> None:
    monkeypatch.setattr(vectors, "SMALLEST_OVERLAY", 20)
    monkeypatch.setattr(shingles, "SMALLEST_OVERLAY", 200)
    ids = world.add(*[Draft(Kind.PASSAGE, f"{PASSAGE} Copy {n} of {n * 7}.") for n in range(30)])
    for entry_id in ids[:12]:
        world.remove(entry_id)
    compacted = world.advancer.compact(world.state)
    assert compacted is not world.state and world.advancer.compact(compacted) is compacted
    for state in (world.state, compacted):
        view = state.snapshot.view("ns")
        assert watched(view, PASSAGE) == set(ids[12:])
        assert {m.entry_id for m in judged(view.answer, PASSAGE).matches} == set(ids[12:])


def test_a_record_that_was_tampered_with_is_named(world: World) -> None:
    record, other = world.recorder.record("ns", [Draft(Kind.FACT, BORN), Draft(Kind.FACT, "Nine lamps light it.")], 1.0)
    for forged in (
        replace(record, vectors=other.vectors, wrapped_key=other.wrapped_key),
        replace(record, vectors=other.vectors),
        replace(record, vectors=record.vectors[:-1]),
    ):
        with pytest.raises(WrongKey, match=record.id):
            world.take(Changes(1, 1.0, entries=(forged,)))
    assert world.snapshot.revision == 0


def test_another_key_opens_nothing(world: World) -> None:
    (record,) = world.recorder.record("ns", [Draft(Kind.FACT, BORN)], 1.0)
    stranger = Advancer(world.snapshot.tools, Sealer(b"x" * 32))
    with pytest.raises(WrongKey):
        stranger.advance(world.state, Changes(1, 1.0, entries=(record,)), 1.0)
