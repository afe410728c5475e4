"""The static glance: after every word, how near an unfinished sentence comes to how entries begin."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.fingerprint import Shingler
from guard.policy import Policy
from guard.verdict import Kind
from guard.words import Word, words_of
from index.advance import Advancer, State
from index.calibration import shipped
from index.entry import Draft
from index.glance import StaticGlance, WordVectors, apart, word_vectors
from index.imprint import Imprinter
from index.policies import policy_to_json
from index.recorder import Recorder
from index.records import Changes, PolicyRecord
from index.sealing import Sealer
from index.snapshot import View
from index.tools import Tools

FACTS = (
    "Basil Orsk was born in the village of Tern in 1931 and kept its nine lamps.",
    "The novelist Mara Quill wrote her first book, The Salt Ledger, in a lighthouse.",
)
RETOLD = "Basil Orsk was born in Tern, a village."
BENIGN = "To sort a list in Python, call sorted with a key function and reverse it."
WORDS = st.sampled_from(["basil", "orsk", "was", "born", "in", "the", "lamp", "python", "salt", "ledger", "zyx"])


class World:
    """A view with facts, and what is needed to change them."""

    def __init__(self, tools: Tools, recorder: Recorder, advancer: Advancer) -> None:
        self._tools, self._recorder, self._advancer = tools, recorder, advancer
        self._state = State.blank(tools)

    def add(self, *texts: str, kind: Kind = Kind.FACT) -> list[str]:
        records = self._recorder.record("ns", [Draft(kind, text) for text in texts], 1.0)
        self._take(entries=tuple(records))
        return [record.id for record in records]

    def remove(self, entry_id: str) -> None:
        self._take(removed=(("ns", entry_id),))

    def _take(self, **changes) -> None:
        revision = self._state.snapshot.revision + 1
        self._state = self._advancer.advance(self._state, Changes(revision, 1.0, **changes), 1.0)

    @property
    def view(self) -> View:
        return self._state.snapshot.view("ns")


@pytest.fixture
def world(embedder, sealer, shingler, static_model):
    def made(model=static_model, recorded_by=static_model) -> World:
        tools = Tools(embedder, shingler, shipped(embedder.hash), static=model)
        recorder = Recorder(Imprinter(embedder, shingler, static=recorded_by), sealer)
        return World(tools, recorder, Advancer(tools, sealer))

    return made


@pytest.fixture
def glance(world) -> StaticGlance:
    facts = world()
    facts.add(*FACTS)
    return opened(facts)


def opened(facts: World) -> StaticGlance:
    found = facts.view.glance()
    assert isinstance(found, StaticGlance)
    return found


def word(norm: str) -> Word:
    return Word(norm, 0, len(norm))


def told(glance: StaticGlance, text: str) -> list[bool]:
    glance.cut()
    return [glance.push((one,)) for one in words_of(text)]


def test_a_sentence_that_goes_as_an_entry_does_is_near_before_its_end(glance) -> None:
    assert any(told(glance, RETOLD)[:3])
    assert not any(told(glance, BENIGN))


def test_a_sentence_is_near_in_other_words_once_it_says_a_name(glance) -> None:
    near = told(glance, "In a small village that is called Tern they talk of Basil Orsk and his lamps")
    assert not near[2] and any(near)


@settings(max_examples=60, deadline=None)
@given(norms=st.lists(WORDS, min_size=1, max_size=30))
def test_the_running_sum_is_the_embedding_of_the_prefix(static_model, norms) -> None:
    total = sum((static_model.word(norm) for norm in norms), np.zeros(static_model.dimensions, dtype=np.float32))
    (whole,) = static_model.encode([" ".join(norms)])
    np.testing.assert_allclose(total / max(np.linalg.norm(total), 1e-9), whole, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(norms=st.lists(WORDS, min_size=1, max_size=24), data=st.data())
def test_it_is_a_function_of_the_words_however_they_are_grouped(world_of_facts, norms, data) -> None:
    one, other = opened(world_of_facts), opened(world_of_facts)
    each = [one.push((word(norm),)) for norm in norms]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(norms)))) | {len(norms)})
    for start, end in itertools.pairwise([0, *cuts]):
        assert other.push([word(norm) for norm in norms[start:end]]) == each[end - 1]


@settings(max_examples=40, deadline=None)
@given(before=st.lists(WORDS, max_size=12), norms=st.lists(WORDS, min_size=1, max_size=12))
def test_a_cut_forgets_what_was_said(world_of_facts, before, norms) -> None:
    fresh, used = opened(world_of_facts), opened(world_of_facts)
    used.push([word(norm) for norm in before])
    used.cut()
    assert [used.push((word(norm),)) for norm in norms] == [fresh.push((word(norm),)) for norm in norms]


@pytest.fixture(scope="module")
def world_of_facts(embedder, static_model) -> World:
    shingler, sealer = Shingler(b"k" * 32), Sealer(bytes(range(32)))
    tools = Tools(embedder, shingler, shipped(embedder.hash), static=static_model)
    facts = World(tools, Recorder(Imprinter(embedder, shingler, static=static_model), sealer), Advancer(tools, sealer))
    facts.add(*FACTS)
    return facts


def test_what_was_removed_is_no_longer_near(world) -> None:
    facts = world()
    first, _ = facts.add(*FACTS)
    assert any(told(opened(facts), RETOLD))
    facts.remove(first)
    assert not any(told(opened(facts), RETOLD))


def test_a_higher_level_holds_no_more(world_of_facts, static_model) -> None:
    view = world_of_facts.view
    words = word_vectors(static_model, view.shingler)
    assert words is word_vectors(static_model, view.shingler), "words are looked up once for all channels"
    held = [sum(told(StaticGlance(words, view.openings, level), RETOLD)) for level in (0.3, 0.6, 0.9, 1.0)]
    assert held == sorted(held, reverse=True) and held[0] > held[-1]


def test_the_more_entries_there_are_the_nearer_chance_comes() -> None:
    steps = [apart(entries) for entries in (0, 1, 400, 10_000, 10**9)]
    assert steps == sorted(steps) and 0.05 <= steps[0] < steps[2] < steps[3] < 0.35 == steps[4]


def test_there_is_no_glance_where_it_could_not_speak_for_every_entry(world) -> None:
    assert world().view.glance() is not None, "nothing is near where there is nothing"
    plain = world(model=None)
    plain.add(FACTS[0])
    assert plain.view.glance() is None, "no static model"
    older = world(recorded_by=None)
    older.add(FACTS[0])
    assert older.view.glance() is None, "made without one"
    mixed = world()
    mixed.add(FACTS[0])
    assert mixed.view.glance() is not None
    mixed.add("A lamp that burns without oil.", kind=Kind.CONCEPT)
    assert mixed.view.glance() is None, "a concept may be far from all its examples"


def test_a_lowered_threshold_takes_the_glance_away(world) -> None:
    facts = world()
    facts.add(FACTS[0])
    assert facts.view.glance() is not None
    body = policy_to_json(Policy(thresholds={Kind.FACT: 0.3}))
    facts._take(policies=(PolicyRecord("ns", "default", body, 2),))
    assert facts.view.glance() is None


def test_words_beyond_the_cache_are_read_again(static_model, shingler) -> None:
    words = WordVectors(static_model, shingler, cached=2)
    first = [words.of(norm)[0] for norm in ("salt", "ledger", "lamp", "salt")]
    np.testing.assert_array_equal(first[0], first[3])


class Careful(StaticGlance):
    """Compares the sentence at every word that may count."""

    def _lacking(self, named: float, best: float) -> float:
        return -1.0


@settings(max_examples=60, deadline=None)
@given(words=st.lists(st.sampled_from((FACTS[0] + " " + FACTS[1] + " " + BENIGN).split()), max_size=40))
def test_no_word_that_is_only_kept_would_have_brought_the_sentence_near(
    world_of_facts: World, static_model, words
) -> None:
    view = world_of_facts.view
    table, known = view.openings, word_vectors(static_model, view.shingler)
    quick, careful = StaticGlance(known, table, 0.6), Careful(known, table, 0.6)
    for word in words_of(" ".join(words)):
        assert quick.push([word]) is careful.push([word])
