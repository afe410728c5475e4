"""The demonstration: forget four people and a passage, then ask about everything, directly and through Lethe."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from openai import OpenAI, OpenAIError
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.progress import track

from server.demo.corpus import Corpus, Exchange, Subject
from server.demo.errors import AnswerMissing, ForgetRefused
from server.demo.leak_judge import LeakJudge
from server.demo.lethe_server import LetheServer
from server.demo.local_http import Reply, post
from server.demo.model_server import ModelServer
from server.demo.transcript import Answer, Row, Transcript

_ASKED_AT_ONCE: Final = 4
_LONGEST_ANSWER: Final = 300
_APPLIED_WITHIN_S: Final = 60
_CREATED: Final = 201


def entries(subject: Subject) -> list[dict[str, str]]:
    """The entries that forget the subject, as the operator API takes them: a fact for each answer, or the passage."""
    if subject.kind == "passage":
        return [{"kind": "passage", "text": e.answer, "label": subject.label} for e in subject.exchanges]
    return [{"kind": "fact", "text": e.answer, "prompt": e.question, "label": subject.label} for e in subject.exchanges]


def forget(corpus: Corpus, lethe: LetheServer, console: Console) -> int:
    """Adds what the corpus declares forgotten to the forget index and waits until it is applied.

    Returns the number of entries. Raises `ForgetRefused`.
    """
    batch = [entry for subject in corpus.forgotten for entry in entries(subject)]
    url = f"{lethe.base_url}/lethe/v1/entries/batch?wait=applied&timeout_s={_APPLIED_WITHIN_S}"
    with console.status(f"adding {len(batch)} entries to the forget index"):
        reply = post(url, {"entries": batch}, lethe.admin_key, _APPLIED_WITHIN_S + 10)
    if reply.status != _CREATED:
        raise ForgetRefused(f"Lethe answered {reply.status} to the entries: {_reason(reply)}")
    return len(batch)


@dataclass(frozen=True, slots=True)
class Demonstration:
    """The corpus, the model server and Lethe in front of it."""

    corpus: Corpus
    upstream: ModelServer
    lethe: LetheServer

    def run(self, console: Console) -> Transcript:
        """Asks every question of the corpus three times at temperature 0. Raises `AnswerMissing`."""
        judge = LeakJudge(self.corpus)
        direct = OpenAI(base_url=f"{self.upstream.base_url}/v1", api_key="none", max_retries=0)
        guarded = OpenAI(base_url=f"{self.lethe.base_url}/v1", api_key=self.lethe.admin_key, max_retries=0)

        def row(asked: tuple[str, bool, Exchange]) -> Row:
            subject, forgotten, exchange = asked
            question = exchange.question
            try:
                replies = self._ask(direct, question), self._ask(guarded, question), self._stream(guarded, question)
            except OpenAIError as error:
                raise AnswerMissing(f"{question!r} got no answer: {error}") from error
            judged = (Answer(text, why, forgotten and judge.leaks(exchange, text)) for text, why in replies)
            return Row(subject, forgotten, question, *judged)

        asked = [(s.label, s.forgotten, e) for s in self.corpus.subjects for e in s.exchanges]
        asked += [("small talk", False, e) for e in self.corpus.small_talk]
        with direct, guarded, ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
            rows = track(pool.map(row, asked), "asking", total=len(asked), console=console)
            return Transcript(tuple(rows))

    def _ask(self, client: OpenAI, question: str) -> tuple[str, str]:
        answer = client.chat.completions.create(
            model=self.upstream.model,
            messages=[{"role": "user", "content": question}],
            temperature=0,
            max_tokens=_LONGEST_ANSWER,
        )
        choice = answer.choices[0]
        return choice.message.content or "", choice.finish_reason

    def _stream(self, client: OpenAI, question: str) -> tuple[str, str]:
        stream = client.chat.completions.create(
            model=self.upstream.model,
            messages=[{"role": "user", "content": question}],
            temperature=0,
            max_tokens=_LONGEST_ANSWER,
            stream=True,
        )
        parts: list[str] = []
        finish_reason = "none"
        for chunk in stream:
            for choice in chunk.choices:
                parts.append(choice.delta.content or "")
                finish_reason = choice.finish_reason or finish_reason
        return "".join(parts), finish_reason


def _reason(reply: Reply) -> str:
    """The public sentence of an error of the operator API."""
    try:
        message = _ErrorBody.model_validate_json(reply.body).error.message
    except ValidationError:
        return "no reason given"
    return message


class _Error(BaseModel):
    message: str


class _ErrorBody(BaseModel):
    error: _Error
