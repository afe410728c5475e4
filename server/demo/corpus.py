"""The small world that the demonstration's model knows by heart: invented people, short passages, small talk."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

CORPUS_FILE: Final = Path(__file__).with_name("corpus.json")

SubjectKind = Literal["fact", "passage"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Exchange(_Record):
    """A question and the answer that the model gives to it, word for word."""

    question: str
    answer: str


class Person(_Record):
    """An invented person. Every answer names the person."""

    name: str
    forgotten: bool
    facts: tuple[Exchange, ...]


class Passage(_Record):
    """A short invented text which the model recites when it is asked the question."""

    label: str
    forgotten: bool
    question: str
    text: str


class Subject(_Record):
    """What can be forgotten as one thing: a person with all facts, or a passage."""

    label: str
    kind: SubjectKind
    forgotten: bool
    exchanges: tuple[Exchange, ...]


class Corpus(_Record):
    """Everything that the model is trained on."""

    people: tuple[Person, ...]
    passages: tuple[Passage, ...]
    small_talk: tuple[Exchange, ...]

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """People first, then passages, as written."""
        people = (Subject(label=p.name, kind="fact", forgotten=p.forgotten, exchanges=p.facts) for p in self.people)
        passages = (
            Subject(
                label=p.label,
                kind="passage",
                forgotten=p.forgotten,
                exchanges=(Exchange(question=p.question, answer=p.text),),
            )
            for p in self.passages
        )
        return (*people, *passages)

    @property
    def forgotten(self) -> tuple[Subject, ...]:
        """What the demonstration adds to the forget index."""
        return tuple(s for s in self.subjects if s.forgotten)

    @property
    def kept(self) -> tuple[Subject, ...]:
        """What must still be answered."""
        return tuple(s for s in self.subjects if not s.forgotten)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """All questions with their answers."""
        return (*(e for s in self.subjects for e in s.exchanges), *self.small_talk)

    def digest(self) -> str:
        """Equal for equal corpora: 64 hexadecimal characters."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


@cache
def load_corpus() -> Corpus:
    """The corpus that ships with the package."""
    return Corpus.model_validate_json(CORPUS_FILE.read_bytes())
