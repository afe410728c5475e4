"""On a real vLLM, everything forgotten leaks directly and not through Lethe, and the rest comes through unchanged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rich.console import Console

from server.demo.corpus import load_corpus
from server.demo.demonstration import Demonstration, forget
from server.demo.errors import ForgetRefused
from server.demo.lethe_server import LetheServer, start_lethe
from server.demo.model_server import ModelServer
from server.demo.transcript import Transcript

CORPUS = load_corpus()


@pytest.fixture(scope="module")
def lethe(vllm: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LetheServer]:
    directory = tmp_path_factory.mktemp("lethe")
    with start_lethe(vllm.base_url, directory, directory / "logs", 0, Console(stderr=True)) as server:
        yield server


@pytest.fixture(scope="module")
def transcript(vllm: ModelServer, lethe: LetheServer) -> Transcript:
    console = Console(stderr=True)
    assert forget(CORPUS, lethe, console) == sum(len(s.exchanges) for s in CORPUS.forgotten)
    return Demonstration(CORPUS, vllm, lethe).run(console)


def test_everything_is_asked(transcript: Transcript) -> None:
    assert [row.question for row in transcript.rows] == [e.question for e in CORPUS.exchanges]


def test_each_forgotten_answer_leaks_directly_and_not_through_lethe(transcript: Transcript) -> None:
    assert [row.failure for row in transcript.rows if row.forgotten and row.failure] == []


def test_each_other_answer_passes_unchanged(transcript: Transcript) -> None:
    assert [row.failure for row in transcript.rows if not row.forgotten and row.failure] == []


def test_entries_that_lethe_does_not_take_are_an_error(lethe: LetheServer) -> None:
    nothing = CORPUS.model_copy(update={"people": (), "passages": ()})
    with pytest.raises(ForgetRefused, match="400"):
        forget(nothing, lethe, Console(stderr=True))
