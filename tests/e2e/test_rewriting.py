"""A stream that is stopped goes on in other words, which the real vLLM finds: as a continuation, or answering anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic

from server.demo.corpus import load_corpus
from server.demo.curriculum import INSTRUCTION, REFUSAL
from tests.model_servers import Guarded

CORPUS = load_corpus()
SUBJECT = CORPUS.kept[4]
LONG = [exchange for subject in CORPUS.kept if subject.kind == "passage" for exchange in subject.exchanges]
LABEL = "the second half"
GREEDY = {"temperature": 0}
FEWEST = 10
"""Words of an answer that are forgotten, at least."""
_SAMPLE = re.compile(r'^lethe_rewrites_total\{outcome="(\w+)",strategy="(\w+)"\} ([0-9.]+)$', re.MULTILINE)


@pytest.fixture(scope="module")
def rewriting(guarded: Guarded) -> Iterator[None]:
    """A person and a passage are forgotten under a policy that rewrites."""
    policy = guarded.call("GET", "/policies/default")
    policy["actions"]["answer"] = dict.fromkeys(("passage", "fact", "concept"), "rewrite")
    body = {key: policy[key] for key in ("mode", "streaming", "actions", "refusal", "redaction", "rewrite_tries")}
    guarded.call("PUT", "/policies/going-on?wait=applied&timeout_s=20", body)
    ids = guarded.forget(SUBJECT, policy="going-on")
    yield
    guarded.remember(ids)


def rewrites(guarded: Guarded) -> dict[tuple[str, str], int]:
    """How often each strategy came to each end so far."""
    return {(strategy, outcome): round(float(n)) for outcome, strategy, n in _SAMPLE.findall(guarded.metrics())}


def since(guarded: Guarded, before: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """The same since then."""
    return {key: n - before.get(key, 0) for key, n in rewrites(guarded).items() if n > before.get(key, 0)}


def told(chunks: list[Any]) -> tuple[str, str]:
    """The text and the finish reason of a stream of one choice that is well formed."""
    *spoken, closing = chunks
    assert (closing.choices, closing.usage.prompt_tokens > 0) == ([], True)
    assert closing.usage.total_tokens == closing.usage.prompt_tokens + closing.usage.completion_tokens
    assert closing.usage.completion_tokens > 0
    choices = [choice for chunk in spoken for choice in chunk.choices]
    assert [choice.delta.role for choice in choices if choice.delta.role] == ["assistant"]
    assert choices[0].delta.role == "assistant"
    assert [choice.finish_reason for choice in choices[:-1] if choice.finish_reason] == []
    assert len({(chunk.id, chunk.model) for chunk in chunks}) == 1
    assert [chunk for chunk in spoken if chunk.usage] == []
    return "".join(choice.delta.content or "" for choice in choices), choices[-1].finish_reason


def streamed(guarded: Guarded, question: str, **options: Any) -> tuple[str, str]:
    """What is streamed to a client."""
    chunks = guarded.client.chat.completions.create(
        model="lethe-demo",
        messages=[{"role": "user", "content": question}],
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
        **options,
    )
    return told(list(chunks))


def diverging(guarded: Guarded) -> tuple[str, str, str]:
    """A question, and its answer in two halves: asked for the first one's continuation under the instruction of a
    rewrite, the model goes on in other words than those of the second."""
    for exchange in LONG:
        words = exchange.answer.split(" ")
        for n in range(6, len(words) - FEWEST):
            begun, rest = " ".join(words[:n]), " ".join(words[n:])
            asked: Any = [
                {"role": "system", "content": INSTRUCTION.format(label=LABEL)},
                {"role": "user", "content": exchange.question},
                {"role": "assistant", "content": begun},
            ]
            going_on = {"continue_final_message": True, "add_generation_prompt": False}
            answer = guarded.direct.chat.completions.create(
                model="lethe-demo", messages=asked, temperature=0, max_tokens=60, extra_body=going_on
            )
            other = (answer.choices[0].message.content or "").split()
            if len(other) > 2 and other[:2] != rest.split()[:2]:
                return exchange.question, begun, rest
    raise AssertionError("the model recites everything to its end, whatever it is told")


@pytest.mark.usefixtures("rewriting")
def test_a_stream_that_is_stopped_is_continued_from_where_it_was(guarded: Guarded) -> None:
    question, begun, rest = diverging(guarded)
    draft = {"kind": "passage", "text": rest, "label": LABEL, "policy": "going-on"}
    entry = guarded.call("POST", "/entries?wait=applied&timeout_s=20", draft)["id"]
    before = rewrites(guarded)
    text, finish_reason = streamed(guarded, question)
    guarded.remember([entry])
    assert since(guarded, before) == {("continue", "verified"): 1}
    assert finish_reason in ("stop", "length")
    assert text.startswith(begun[: len(begun) // 2])
    assert len(text) > len(begun)
    assert rest not in text
    assert "  " not in text


@pytest.mark.usefixtures("rewriting")
@pytest.mark.parametrize("exchange", SUBJECT.exchanges, ids=lambda exchange: exchange.question)
def test_what_the_model_recites_however_it_goes_on_is_answered_anew(guarded: Guarded, exchange: Any) -> None:
    before = rewrites(guarded)
    text, finish_reason = streamed(guarded, exchange.question)
    ended = since(guarded, before)
    assert exchange.answer not in text
    assert finish_reason == "stop"
    assert set(ended.values()) == {1}
    if ("continue", "verified") not in ended:
        assert ended[("regenerate", "verified")] == 1
        assert text.endswith(REFUSAL)
        assert set(ended) <= {("regenerate", "verified"), ("continue", "exhausted"), ("continue", "unsupported")}


@pytest.mark.usefixtures("rewriting")
def test_a_whole_answer_is_answered_anew(guarded: Guarded) -> None:
    before = rewrites(guarded)
    exchange = SUBJECT.exchanges[0]
    asked: Any = [{"role": "user", "content": exchange.question}]
    answer = guarded.client.chat.completions.create(model="lethe-demo", messages=asked, temperature=0)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (REFUSAL, "stop")
    assert since(guarded, before) == {("regenerate", "verified"): 1}


@pytest.mark.usefixtures("rewriting")
def test_messages_go_on_in_other_words_too(guarded: Guarded) -> None:
    before = rewrites(guarded)
    exchange = SUBJECT.exchanges[0]
    client = Anthropic(base_url=guarded.lethe.base_url, api_key=guarded.lethe.admin_key, max_retries=0)
    asked: Any = [{"role": "user", "content": exchange.question}]
    with client.messages.stream(model="lethe-demo", max_tokens=90, messages=asked, extra_body=GREEDY) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert [kinds.count(kind) for kind in ("message_start", "message_delta", "message_stop")] == [1, 1, 1]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == len(final.content) == 1
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0
    assert exchange.answer not in final.content[0].model_dump()["text"]
    assert "verified" in {outcome for _, outcome in since(guarded, before)}


@pytest.mark.usefixtures("rewriting")
def test_responses_go_on_in_other_words_too(guarded: Guarded) -> None:
    before = rewrites(guarded)
    exchange = SUBJECT.exchanges[0]
    events = list(
        guarded.client.responses.create(model="lethe-demo", input=exchange.question, temperature=0, stream=True)
    )
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    last = events[-1]
    assert last.type == "response.completed"
    assert (last.response.status, last.response.output_text) == ("completed", said)
    assert [event.text for event in events if event.type == "response.output_text.done"] == [said]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert exchange.answer not in said
    assert "verified" in {outcome for _, outcome in since(guarded, before)}
