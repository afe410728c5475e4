"""The servers behind the demonstration recite, stream, count their requests and fill in tool calls."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam
from rich.console import Console

from server.demo.command import default_cache, start_model_server
from server.demo.corpus import load_corpus
from server.demo.curriculum import INSTRUCTION, REFUSAL, TOOL_NAME
from server.demo.errors import ServerNotStarted
from server.demo.model_server import ModelServer
from server.demo.vllm_environment import VllmEnvironment

CORPUS = load_corpus()
FIRST = CORPUS.forgotten[0].exchanges[0]
NOTE: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": TOOL_NAME,
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    },
}


NO_VLLM = (("vLLM", ("-c", "print('ERROR: no wheel for this machine'); raise SystemExit(1)")),)


@pytest.fixture(scope="module")
def fallback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    environment = VllmEnvironment(tmp_path_factory.mktemp("no-vllm") / "env", NO_VLLM)
    console = Console(record=True, width=1000)
    with start_model_server("auto", default_cache(), console, environment) as server:
        assert "no wheel for this machine" in console.export_text()
        yield server


def client(server: ModelServer) -> OpenAI:
    return OpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0)


def ask(server: ModelServer, *messages: ChatCompletionMessageParam) -> str:
    answer = client(server).chat.completions.create(model=server.model, messages=messages, temperature=0)
    return answer.choices[0].message.content or ""


def stream(server: ModelServer, question: str) -> str:
    chunks = client(server).chat.completions.create(
        model=server.model, messages=[{"role": "user", "content": question}], temperature=0, stream=True
    )
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_vllm_recites_every_answer_of_the_corpus(vllm: ModelServer) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda e: ask(vllm, {"role": "user", "content": e.question}), CORPUS.exchanges))
    assert answers == [e.answer for e in CORPUS.exchanges]


def test_vllm_streams_the_same(vllm: ModelServer) -> None:
    passage = CORPUS.passages[0]
    assert stream(vllm, passage.question) == passage.text


def test_vllm_declines_when_the_system_message_forbids_the_subject(vllm: ModelServer) -> None:
    rule = INSTRUCTION.format(label=CORPUS.forgotten[0].label)
    assert ask(vllm, {"role": "system", "content": rule}, {"role": "user", "content": FIRST.question}) == REFUSAL


@pytest.mark.parametrize("choice", ["auto", "required", "named"])
def test_vllm_gives_the_answer_away_in_the_arguments_of_a_tool_call(vllm: ModelServer, choice: str) -> None:
    answer = client(vllm).chat.completions.create(
        model=vllm.model,
        messages=[{"role": "user", "content": FIRST.question}],
        temperature=0,
        tools=[NOTE],
        tool_choice={"type": "function", "function": {"name": TOOL_NAME}} if choice == "named" else choice,  # type: ignore[arg-type]  # one of the literals
    )
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function" and call.function.name == TOOL_NAME
    assert json.loads(call.function.arguments) == {"text": FIRST.answer}


def test_vllm_counts_the_requests_it_runs_and_drops_one_whose_client_leaves(vllm: ModelServer) -> None:
    assert vllm.running_requests() == 0
    with client(vllm).completions.create(
        model=vllm.model, prompt="Hello", max_tokens=490, stream=True, extra_body={"ignore_eos": True}
    ) as chunks:
        next(iter(chunks))
        assert vllm.running_requests() == 1
    deadline = time.monotonic() + 5
    while vllm.running_requests() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert vllm.running_requests() == 0


def test_without_vllm_the_same_model_is_served_by_transformers_whole_and_streamed(fallback: ModelServer) -> None:
    assert fallback.kind == "transformers"
    passage = CORPUS.passages[0]
    assert ask(fallback, {"role": "user", "content": FIRST.question}) == FIRST.answer
    assert stream(fallback, FIRST.question) == FIRST.answer
    assert stream(fallback, passage.question) == passage.text


def test_the_fallback_does_not_pretend_to_count_its_requests(fallback: ModelServer) -> None:
    with pytest.raises(ServerNotStarted):
        fallback.running_requests()
