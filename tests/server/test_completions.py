"""Completions."""

from __future__ import annotations

from typing import Any

import pytest

from guard.policy import Streaming
from guard.verdict import Action
from tests.guard.streams import PASSAGE
from tests.server.world import REFUSAL, policy, says_json, says_stream, sse, world

HEAD = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "tiny"}


def event(text: str, finish: str | None = None, choice: int = 0) -> dict[str, Any]:
    entry = {"index": choice, "text": text, "logprobs": None, "finish_reason": finish, "stop_reason": None}
    return {**HEAD, "choices": [{**entry, "prompt_token_ids": None, "token_ids": None}]}


def texts(got: Any) -> dict[int, str]:
    said: dict[int, str] = {}
    for sent in got.events[:-1]:
        for choice in sent["choices"]:
            said[choice["index"]] = said.get(choice["index"], "") + choice["text"]
    return said


def body(**changes: Any) -> dict[str, Any]:
    return {"model": "tiny", "prompt": "Once upon a time", **changes}


@pytest.mark.parametrize("streaming", list(Streaming))
async def test_a_stream_without_matches_leaves_byte_for_byte(streaming: Streaming) -> None:
    data = sse([event("Rain"), event(" falls on"), event(" the harbour."), event("", "stop")])
    async with world(policy=policy(streaming=streaming)) as w:
        for cuts in ([], range(1, len(data))):
            w.upstream.scripts = [says_stream(data, list(cuts))]
            got = await w.call("/v1/completions", body(stream=True))
            assert got.body == data


async def test_the_choices_of_several_prompts_are_judged_with_their_own_question() -> None:
    prompts = ["Of rain.", "What is made of copper?"]
    data = sse(
        [event("The treaty.", choice=0), event("The treaty.", choice=1), event("", "stop", 0), event("", "stop", 1)]
    )
    async with world() as w:
        w.upstream.scripts = [says_stream(data)]
        got = await w.call("/v1/completions", body(stream=True, prompt=prompts))
        assert texts(got)[0] == "The treaty."
        assert texts(got)[1].endswith(REFUSAL)
        assert [c["finish_reason"] for e in got.events[:-1] for c in e["choices"] if c["finish_reason"]] == [
            "stop",
            "content_filter",
        ]


async def test_a_whole_answer_is_blocked_redacted_or_left_alone() -> None:
    usage = {"prompt_tokens": 3, "total_tokens": 30, "completion_tokens": 27}
    choice = event("")["choices"][0]

    def answer(text: str) -> dict[str, Any]:
        return {**HEAD, "choices": [{**choice, "text": text, "finish_reason": "stop"}], "usage": usage}

    async with world() as w:
        w.upstream.scripts = [says_json(answer("All is well."))]
        got = await w.call("/v1/completions", body())
        assert got.json == answer("All is well.")
        w.upstream.scripts = [says_json(answer("The copper treaty."))]
        got = await w.call("/v1/completions", body())
        assert got.json["choices"][0]["text"] == REFUSAL
        assert got.json["choices"][0]["finish_reason"] == "content_filter"
        assert got.json["usage"]["completion_tokens"] == 8
        w.show(policy=policy(Action.REDACT))
        w.upstream.scripts = [says_json(answer(f"So: {PASSAGE}!"))]
        got = await w.call("/v1/completions", body())
        assert got.json["choices"][0]["text"] == "So: [redacted]!"


async def test_a_rewrite_puts_the_instruction_before_the_prompt_of_its_choice() -> None:
    choice = event("")["choices"][0]
    answers = [{**choice, "index": i, "text": "The copper treaty." if i == 2 else "Fine."} for i in range(4)]
    async with world(policy=policy(Action.REWRITE)) as w:
        again = {**HEAD, "choices": [{**choice, "text": " Gulls cry."}]}
        w.upstream.scripts = [says_json({**HEAD, "choices": answers}), says_json(again)]
        got = await w.call("/v1/completions", body(prompt=["First.", "Second."], n=2))
        assert [c["text"] for c in got.json["choices"]] == ["Fine.", "Fine.", " Gulls cry.", "Fine."]
        prompt = w.upstream.requests[1].json["prompt"]
        assert prompt.startswith("Do not mention") and prompt.endswith("\n\nSecond.")
