"""An application in front of Lethe and the real vLLM sees what it would see directly, except what is forgotten."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from server.demo.corpus import Exchange, load_corpus
from server.demo.curriculum import REFUSAL, TOOL_NAME
from tests.model_servers import Guarded

CORPUS = load_corpus()
FORGOTTEN = [exchange for subject in CORPUS.forgotten for exchange in subject.exchanges]
KEPT = [exchange for subject in CORPUS.kept for exchange in subject.exchanges]
POLICY_REFUSAL = "I can't help with that."
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": TOOL_NAME,
            "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        },
    }
]


def ask(client: OpenAI, question: str, **options: Any) -> Any:
    messages = [{"role": "user", "content": question}]
    return client.chat.completions.create(**{"model": "lethe-demo", "messages": messages, "temperature": 0} | options)


def same(answer: Any) -> Any:
    """An answer as data, without what differs from request to request."""
    data = answer.model_dump(exclude_unset=True)
    return {key: value for key, value in data.items() if key not in ("id", "created")}


def text_of(chunks: list[Any]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def merged(chunks: list[Any]) -> dict[int, tuple[str, str, Any]]:
    """Per choice its role, text and finish reason: chunk borders are the model server's timing, not its answer."""
    out: dict[int, tuple[str, str, Any]] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            role, text, reason = out.get(choice.index, ("", "", None))
            delta = choice.delta
            out[choice.index] = (delta.role or role, text + (delta.content or ""), choice.finish_reason or reason)
    return out


REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "cut short": {"max_tokens": 5},
    "stopped": {"stop": [" "]},
    "two choices": {"n": 2, "temperature": 0.7, "seed": 5},
    "named tool": {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": TOOL_NAME}}},
    "required tool": {"tools": TOOLS, "tool_choice": "required"},
    "json object": {"response_format": {"type": "json_object"}, "max_tokens": 40},
}


@pytest.mark.parametrize("options", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_whole_answer_is_the_same_object(guarded: Guarded, options: dict[str, Any]) -> None:
    question = KEPT[0].question
    direct, through = ask(guarded.direct, question, **options), ask(guarded.client, question, **options)
    first, second = same(direct), same(through)
    for answer in (first, second):
        for choice in answer["choices"]:
            for call in choice["message"].get("tool_calls") or ():
                assert call.pop("id")
    assert first == second


@pytest.mark.parametrize("options", REQUESTS.values(), ids=REQUESTS.keys())
@pytest.mark.parametrize("usage", [False, True], ids=["without usage", "with usage"])
def test_a_stream_is_the_same(guarded: Guarded, options: dict[str, Any], usage: bool) -> None:
    more = {**options, "stream": True} | ({"stream_options": {"include_usage": True}} if usage else {})
    direct = list(ask(guarded.direct, KEPT[1].question, **more))
    through = list(ask(guarded.client, KEPT[1].question, **more))
    assert merged(direct) == merged(through)
    assert [c.usage for c in direct if c.usage] == [c.usage for c in through if c.usage]
    assert {frozenset(c.model_fields_set) for c in direct} == {frozenset(c.model_fields_set) for c in through}
    assert _arguments(direct) == _arguments(through)
    assert len({chunk.id for chunk in through}) == 1


def _arguments(chunks: list[Any]) -> str:
    calls = (call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ())
    return "".join(f"{call.function.name or ''}{call.function.arguments or ''}" for call in calls if call.function)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_completions_are_the_same(guarded: Guarded, stream: bool) -> None:
    def complete(client: OpenAI) -> Any:
        options: dict[str, Any] = {
            "model": "lethe-demo",
            "prompt": ["Hello", "One day"],
            "max_tokens": 12,
            "temperature": 0,
        }
        return client.completions.create(**options, stream=stream)

    direct, through = complete(guarded.direct), complete(guarded.client)
    if not stream:
        assert same(direct) == same(through)
        return
    texts: list[dict[int, str]] = []
    for chunks in (direct, through):
        said: dict[int, str] = {}
        for chunk in chunks:
            for choice in chunk.choices:
                said[choice.index] = said.get(choice.index, "") + choice.text
        texts.append(said)
    assert texts[0] == texts[1]


ERRORS: dict[str, Callable[[OpenAI], Any]] = {
    "temperature out of range": lambda c: ask(c, "Hello!", temperature=9),
    "prompt too long": lambda c: ask(c, "hello " * 3000),
    "n with greedy sampling": lambda c: ask(c, "Hello!", n=2, temperature=0),
}


@pytest.mark.parametrize("provoke", ERRORS.values(), ids=ERRORS.keys())
def test_errors_are_the_same(guarded: Guarded, provoke: Callable[[OpenAI], Any]) -> None:
    seen = []
    for client in (guarded.direct, guarded.client):
        with pytest.raises(openai.APIStatusError) as caught:
            provoke(client)
        seen.append((caught.value.status_code, type(caught.value), caught.value.body))
    assert seen[0] == seen[1]


def test_the_model_list_is_the_same(guarded: Guarded) -> None:
    direct, through = guarded.direct.models.list().data, guarded.client.models.list().data
    assert [model.id for model in through] == [model.id for model in direct] == ["lethe-demo"]


@pytest.mark.parametrize("exchange", FORGOTTEN, ids=lambda e: e.question)
def test_what_is_forgotten_does_not_come_out(guarded: Guarded, exchange: Exchange) -> None:
    assert ask(guarded.direct, exchange.question).choices[0].message.content == exchange.answer
    whole = ask(guarded.client, exchange.question).choices[0]
    assert (whole.message.content, whole.finish_reason) == (POLICY_REFUSAL, "content_filter")
    chunks = list(ask(guarded.client, exchange.question, stream=True))
    assert merged(chunks)[0][2] == "content_filter"
    assert text_of(chunks).endswith(POLICY_REFUSAL)
    assert exchange.answer[:40] not in text_of(chunks)


def test_a_suppressed_tool_call_carries_nothing(guarded: Guarded) -> None:
    options = REQUESTS["named tool"]
    direct = ask(guarded.direct, FORGOTTEN[0].question, **options).choices[0].message
    assert FORGOTTEN[0].answer in direct.tool_calls[0].function.arguments
    through = ask(guarded.client, FORGOTTEN[0].question, **options).choices[0]
    assert (through.message.tool_calls or [], through.finish_reason) == ([], "content_filter")
    chunks = list(ask(guarded.client, FORGOTTEN[0].question, **options, stream=True))
    assert "Quarrington" not in _arguments(chunks)
    assert merged(chunks)[0][2] == "content_filter"


def test_usage_counts_what_the_client_received(guarded: Guarded) -> None:
    whole = ask(guarded.client, FORGOTTEN[0].question)
    direct = ask(guarded.direct, FORGOTTEN[0].question)
    assert whole.usage.prompt_tokens == direct.usage.prompt_tokens
    assert 0 < whole.usage.completion_tokens <= 12
    last = list(ask(guarded.client, FORGOTTEN[0].question, stream=True, stream_options={"include_usage": True}))[-1]
    assert last.usage.prompt_tokens == direct.usage.prompt_tokens
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens


@pytest.fixture
def rewriting(guarded: Guarded) -> Iterator[str]:
    """A namespace whose policy rewrites facts, with its own key's worth of entries."""
    policy = guarded.call("GET", "/policies/default")
    policy["actions"]["answer"] = dict.fromkeys(("passage", "fact", "concept"), "rewrite")
    body = {key: policy[key] for key in ("mode", "streaming", "actions", "refusal", "redaction", "rewrite_tries")}
    guarded.call("PUT", "/policies/rewriting?wait=applied&timeout_s=20", body)
    subject = CORPUS.kept[0]
    ids = guarded.forget(subject, policy="rewriting")
    yield subject.exchanges[0].question
    guarded.remember(ids)


def test_a_rewrite_is_the_models_own_other_answer(guarded: Guarded, rewriting: str) -> None:
    whole = ask(guarded.client, rewriting).choices[0]
    assert (whole.message.content, whole.finish_reason) == (REFUSAL, "stop")
    chunks = list(ask(guarded.client, rewriting, stream=True))
    assert (text_of(chunks).endswith(REFUSAL), merged(chunks)[0][2]) == (True, "stop")


def test_an_entry_counts_for_running_traffic_within_a_second_and_stops_when_it_is_removed(guarded: Guarded) -> None:
    subject = CORPUS.kept[1]
    question, answer = subject.exchanges[0].question, subject.exchanges[0].answer
    assert ask(guarded.client, question).choices[0].message.content == answer
    ids = [guarded.call("POST", "/entries", {"kind": "fact", "text": answer, "prompt": question})["id"]]
    began = time.monotonic()
    while ask(guarded.client, question).choices[0].message.content == answer:
        assert time.monotonic() - began < 1.0
    guarded.remember(ids)
    assert ask(guarded.client, question).choices[0].message.content == answer


def test_leaving_and_stopping_free_the_model_server(guarded: Guarded) -> None:
    """vLLM's own count of running requests falls when the client leaves, and when Lethe stops a stream."""
    endless = {"model": "lethe-demo", "prompt": "Hello", "max_tokens": 490, "extra_body": {"ignore_eos": True}}
    with guarded.client.completions.create(**endless, stream=True) as chunks:
        next(iter(chunks))
        assert guarded.vllm.running_requests() == 1
    assert _seconds_until_idle(guarded) < 3
    stopped = list(
        ask(guarded.client, FORGOTTEN[0].question, stream=True, max_tokens=480, extra_body={"ignore_eos": True})
    )
    assert merged(stopped)[0][2] == "content_filter"
    assert _seconds_until_idle(guarded) < 3


def _seconds_until_idle(guarded: Guarded) -> float:
    began = time.monotonic()
    while guarded.vllm.running_requests() and time.monotonic() - began < 10:
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_client_that_leaves_while_a_whole_answer_is_made_frees_the_model_server(guarded: Guarded) -> None:
    impatient = guarded.client.with_options(timeout=0.4)
    with pytest.raises(openai.APITimeoutError):
        impatient.completions.create(
            model="lethe-demo", prompt="Hello", max_tokens=490, extra_body={"ignore_eos": True}
        )
    assert _seconds_until_idle(guarded) < 3


def test_paths_that_are_not_guarded_do_not_exist(guarded: Guarded) -> None:
    for path in ("/embeddings", "/invocations", "/load_lora_adapter"):
        with pytest.raises(openai.NotFoundError):
            guarded.client.post(path, body={}, cast_to=object)


def test_what_was_done_is_on_the_metrics_page(guarded: Guarded) -> None:
    ask(guarded.client, FORGOTTEN[0].question)
    page = guarded.metrics()
    for sample in (
        'lethe_requests_total{dialect="chat",outcome="blocked",stream="false"}',
        'lethe_suppressions_total{action="block",kind="fact",namespace="default",side="answer",stage="claims"}',
        'lethe_index_entries{kind="passage",namespace="default"} 1.0',
        'lethe_stage_seconds_count{stage="embedding"}',
        "lethe_index_revision",
    ):
        assert sample in page, sample
