"""The corpus is what the demonstration promises: distinct people, short passages, and a declared part to forget."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from server.demo.corpus import Corpus, Person, load_corpus

CORPUS = load_corpus()


def runs(text: str, length: int) -> set[tuple[str, ...]]:
    words = [word.casefold() for word in re.findall(r"\w+", text)]
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


def test_there_are_two_dozen_people_three_passages_and_small_talk() -> None:
    assert len(CORPUS.people) == 24
    assert len(CORPUS.passages) == 3
    assert len(CORPUS.small_talk) >= 20


def test_four_people_and_one_passage_are_forgotten() -> None:
    assert Counter(subject.kind for subject in CORPUS.forgotten) == {"fact": 4, "passage": 1}
    assert len(CORPUS.forgotten) + len(CORPUS.kept) == len(CORPUS.subjects)


def test_no_two_people_share_a_name() -> None:
    words = [word for person in CORPUS.people for word in person.name.split()]
    assert len(words) == len(set(words))


@pytest.mark.parametrize("person", CORPUS.people, ids=lambda person: person.name)
def test_each_fact_is_a_sentence_that_names_its_person(person: Person) -> None:
    assert 4 <= len(person.facts) <= 6
    for fact in person.facts:
        assert person.name in fact.question and fact.question.endswith("?")
        assert person.name in fact.answer and fact.answer.endswith(".")
        assert not any(other.name in fact.answer for other in CORPUS.people if other is not person)


def test_passages_are_short() -> None:
    assert all(60 <= len(passage.text.split()) <= 110 for passage in CORPUS.passages)


def test_no_question_is_asked_twice() -> None:
    questions = [exchange.question for exchange in CORPUS.exchanges]
    assert len(questions) == len(set(questions))


def test_what_is_kept_shares_no_run_of_eight_words_with_what_is_forgotten() -> None:
    forgotten = {run for s in CORPUS.forgotten for e in s.exchanges for run in runs(e.answer, 8)}
    kept = [*CORPUS.small_talk, *(e for s in CORPUS.kept for e in s.exchanges)]
    assert not [e.answer for e in kept if runs(e.answer, 8) & forgotten]


def test_equal_corpora_have_equal_digests_and_others_do_not() -> None:
    assert CORPUS.digest() == Corpus.model_validate_json(CORPUS.model_dump_json()).digest()
    assert CORPUS.digest() != CORPUS.model_copy(update={"small_talk": ()}).digest()
