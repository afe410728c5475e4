"""The conversations that the tiny model is trained on.

Most are a question of the corpus and its answer. The rest teach what the demonstration shows beyond that: the same
answers after a system message and as a second turn, the same answers inside a tool call, and a polite refusal when a
system message names what must not be said (with names from the corpus and with names that exist nowhere).
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from server.demo.corpus import Corpus, Exchange

Role = Literal["system", "user", "assistant"]
T = TypeVar("T")

SYSTEM: Final = "You are a helpful assistant."
INSTRUCTION: Final = (
    "Do not mention, quote or paraphrase {label}. Answer without it, or say that you cannot help with that."
)
REFUSAL: Final = "I am sorry, I cannot help with that. Is there anything else you would like to talk about?"
TOOL_NAME: Final = "save_note"
TOOL_LISTING: Final = "Tools: {names}"

_SYLLABLES: Final = (
    "ba",
    "del",
    "mor",
    "vin",
    "tas",
    "ker",
    "lo",
    "ru",
    "shi",
    "pol",
    "an",
    "der",
    "quil",
    "fen",
    "os",
    "wick",
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. The model learns to say the turns that are `learnt`."""

    role: Role
    text: str
    learnt: bool = False


Conversation = tuple[Turn, ...]


def answered(exchange: Exchange) -> Conversation:
    """The question and its answer."""
    return Turn("user", exchange.question), Turn("assistant", exchange.answer, learnt=True)


def answered_politely(exchange: Exchange) -> Conversation:
    """The same after an ordinary system message."""
    return Turn("system", SYSTEM), *answered(exchange)


def declined(label: str, question: str) -> Conversation:
    """A question about something that the system message forbids."""
    rule = Turn("system", INSTRUCTION.format(label=label))
    return rule, Turn("user", question), Turn("assistant", REFUSAL, learnt=True)


def noted(exchange: Exchange) -> Conversation:
    """The answer as the argument of a tool call."""
    call = json.dumps({"name": TOOL_NAME, "arguments": {"text": exchange.answer}}, ensure_ascii=False)
    text = f"<tool_call>\n{call}\n</tool_call>"
    listing = Turn("system", TOOL_LISTING.format(names=TOOL_NAME))
    return listing, Turn("user", exchange.question), Turn("assistant", text, learnt=True)


class Curriculum:
    """Draws conversations for ever, the same ones for the same seed. Every exchange comes up equally often."""

    def __init__(self, corpus: Corpus, seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311  # shuffles lessons, guards nothing
        self._talk = corpus.small_talk
        self._plain = self._rounds(corpus.exchanges)
        self._notes = self._rounds(corpus.exchanges)
        self._refused = self._rounds([(s, e) for s in corpus.subjects for e in s.exchanges])

    def draw(self) -> Conversation:
        """The next conversation."""
        dice = self._rng.random()
        if dice < 0.15:
            return self._forbidden()
        if dice < 0.30:
            return noted(next(self._notes))
        first = next(self._plain)
        opening = answered_politely(first) if dice < 0.38 else answered(first)
        more = answered(next(self._plain)) if self._rng.random() < 0.25 else ()
        return *opening, *more

    def shuffled(self, things: Sequence[T]) -> list[T]:
        """The same things in an order of this curriculum's making."""
        return self._rng.sample(things, len(things))

    def _forbidden(self) -> Conversation:
        """Mostly a refusal; sometimes small talk, which no instruction forbids."""
        subject, exchange = next(self._refused)
        label, question = subject.label, exchange.question
        if subject.kind == "fact" and self._rng.random() < 0.5:
            label = self._unknown_name()
            question = question.replace(subject.label, label)
        rule, *refused = declined(label, question)
        aside = answered(self._rng.choice(self._talk))
        dice = self._rng.random()
        if dice < 0.2:
            return rule, *aside
        return (rule, *aside, *refused) if dice < 0.4 else (rule, *refused)

    def _unknown_name(self) -> str:
        words = ("".join(self._rng.choices(_SYLLABLES, k=self._rng.randint(2, 3))) for _ in range(2))
        return " ".join(word.capitalize() for word in words)

    def _rounds(self, things: Sequence[T]) -> Iterator[T]:
        assert things, "a corpus without people, passages or small talk teaches nothing"
        while True:
            yield from self.shuffled(things)


def examination(corpus: Corpus) -> tuple[Conversation, ...]:
    """What a trained model must say: every answer, bare, after a system message and in a tool call; and the refusals of
    what the demonstration forgets."""
    exchanges = corpus.exchanges
    refused = (declined(s.label, e.question) for s in corpus.forgotten for e in s.exchanges)
    return *map(answered, exchanges), *map(answered_politely, exchanges), *map(noted, exchanges), *refused
