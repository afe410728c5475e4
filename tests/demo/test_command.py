"""The entries that the demonstration adds, and the command's refusal of what it does not know."""

from __future__ import annotations

from server.demo.command import run_demo
from server.demo.corpus import load_corpus
from server.demo.demonstration import entries


def test_each_forgotten_fact_becomes_an_entry_with_its_question_and_its_subject() -> None:
    corpus = load_corpus()
    person, passage = corpus.forgotten[0], corpus.forgotten[-1]
    facts = entries(person)
    assert len(facts) == len(person.exchanges)
    assert facts[0] == {
        "kind": "fact",
        "text": person.exchanges[0].answer,
        "prompt": person.exchanges[0].question,
        "label": person.label,
    }
    assert entries(passage) == [{"kind": "passage", "text": passage.exchanges[0].answer, "label": passage.label}]


def test_an_unknown_model_server_is_a_usage_error() -> None:
    assert run_demo(once=True, model_server="mock") == 2
