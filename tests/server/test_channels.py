"""What is split between channels or choices is judged together, and a tool call leaves whole or not at all."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from guard.policy import Streaming
from guard.verdict import Action
from guard.words import words_of
from tests.guard.streams import PASSAGE
from tests.server.world import REFUSAL, World, chunk, policy, says_json, says_stream, spoken, sse, whole, world

STREAM: dict[str, Any] = {"stream": True}
WORDS = PASSAGE.split()
FACT = ("It is made of copper,", " the treaty.")
FILL = "rain falls on an old quiet harbour at night while gulls cry over slow water and far away"
FINE = "Rain falls on the old harbour."


def fourfold(text: str) -> bool:
    """True when a run of the passage of more than its k words is in the text."""
    said, passage = [word.norm for word in words_of(text)], [word.norm for word in words_of(PASSAGE)]
    runs = {tuple(passage[i : i + 4]) for i in range(len(passage) - 3)}
    return any(tuple(said[i : i + 4]) in runs for i in range(len(said)))


def told(got: Any) -> str:
    """All that the client was told, whatever the channel, in the order in which it came."""
    texts = []
    for event in got.events:
        for choice in event["choices"] if isinstance(event, dict) else ():
            delta = choice["delta"]
            texts += [delta.get(name) or "" for name in ("reasoning", "content", "refusal")]
            for call in delta.get("tool_calls") or ():
                texts += [call["function"].get("name") or "", call["function"].get("arguments") or ""]
    return " ".join(texts)


async def ask(w: World, data: bytes, **body: Any) -> Any:
    w.upstream.scripts = [says_stream(data, [])]
    return await w.chat({**STREAM, **body})


@pytest.mark.parametrize("streaming", list(Streaming))
@pytest.mark.parametrize("cut", range(2, len(WORDS) - 1))
async def test_a_passage_that_is_split_between_reasoning_and_content_is_stopped(cut: int, streaming: Streaming) -> None:
    first, second = " ".join(WORDS[max(0, cut - 3) : cut]), " ".join(WORDS[cut : cut + 3])
    events = [chunk({"reasoning": first}), chunk({"content": second}), chunk({}, "stop")]
    async with world(policy=policy(streaming=streaming)) as w:
        got = await ask(w, sse(events))
        assert got.finish() == ["content_filter"]
        assert not fourfold(told(got))
        fine = [chunk({"reasoning": first}), chunk({"content": FINE}), chunk({}, "stop")]
        assert (await ask(w, sse(fine))).body == sse(fine)


@pytest.mark.parametrize("action", [Action.BLOCK, Action.REDACT])
async def test_a_fact_that_is_split_between_channels_is_stopped(action: Action) -> None:
    async with world(policy=policy(action)) as w:
        for first, second in itertools.permutations(("reasoning", "content", "refusal"), 2):
            got = await ask(w, sse([chunk({first: FACT[0]}), chunk({second: FACT[1]}), chunk({}, "stop")]))
            assert got.finish() == ["content_filter"]
            assert "treaty" not in told(got)
            answer = whole(None)
            answer["choices"][0]["message"] |= {first: FACT[0], second: FACT[1]}
            w.upstream.scripts = [says_json(answer)]
            (choice,) = (await w.chat()).json["choices"]
            assert choice["finish_reason"] == "content_filter"
            assert "treaty" not in str(choice)


async def test_a_channel_that_another_one_interrupts_at_every_word_is_judged_in_both_orders() -> None:
    mixed = [
        chunk({name: word + " "})
        for pair in zip(WORDS, FILL.split(), strict=False)
        for name, word in zip(("content", "reasoning"), pair, strict=True)
    ]
    shared = [chunk({("content", "reasoning")[n % 2]: word + " "}) for n, word in enumerate(WORDS)]
    async with world() as w:
        for events in (mixed, shared):
            got = await ask(w, sse([*events, chunk({}, "stop")]))
            assert got.finish() == ["content_filter"]
            assert not fourfold(told(got))


async def test_what_one_channel_says_by_itself_is_redacted_there_and_the_rest_arrives() -> None:
    events = [chunk({"reasoning": "Let me see. "}), *spoken("The copper treaty. ", FINE)[1:]]
    async with world(policy=policy(Action.REDACT)) as w:
        got = await ask(w, sse(events))
        assert got.finish() == ["stop"]
        assert FINE in told(got)
        assert "copper" not in told(got)


async def test_half_in_the_text_and_half_in_the_arguments_of_a_tool_is_stopped() -> None:
    async with world() as w:
        events = [chunk({"content": "It is made of copper, the"}), *call("note", '{"about": "treaty"}')]
        got = await ask(w, sse([*events, chunk({}, "tool_calls")]))
        assert got.finish() == ["content_filter"]
        assert "treaty" not in got.body.decode()


def call(name: str, arguments: str, index: int = 0, pieces: int = 3) -> list[dict[str, Any]]:
    size = -(-len(arguments) // pieces)
    head = {"index": index, "id": f"call_{index}abc", "type": "function"}
    events = [chunk({"tool_calls": [{**head, "function": {"name": name, "arguments": ""}}]})]
    for at in range(0, len(arguments), size):
        events.append(chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments[at : at + size]}}]}))
    return events


async def test_a_suppressed_tool_call_leaves_neither_name_nor_arguments() -> None:
    async with world() as w:
        got = await ask(w, sse([*call("harbour_log", '{"q": "the copper treaty"}'), chunk({}, "tool_calls")]))
        assert got.finish() == ["content_filter"]
        assert got.text() == REFUSAL
        assert b"tool_calls" not in got.body
        assert b"harbour_log" not in got.body


async def test_of_two_tool_calls_only_the_suppressed_one_is_kept_back() -> None:
    fine = call("harbour_log", '{"q": "rain"}')
    async with world() as w:
        got = await ask(w, sse([*fine, *call("other", '{"q": "the copper treaty"}', 1), chunk({}, "tool_calls")]))
        assert [event for event in got.events[:-1] if event["choices"][0]["delta"].get("tool_calls")] == fine
        assert b"other" not in got.body
        assert got.finish() == ["content_filter"]


async def test_tool_calls_that_say_nothing_forgotten_leave_byte_for_byte() -> None:
    events = [chunk({"content": "Let me look. "}), *call("a", '{"q": "rain"}'), *call("b", '{"n": 5}', 1)]
    data = sse([*events, chunk({}, "tool_calls")])
    async with world() as w:
        assert (await ask(w, data)).body == data


async def test_a_fact_that_is_split_between_choices_is_stopped_in_the_second() -> None:
    answer = whole(FACT[0])
    answer["choices"].append({**answer["choices"][0], "index": 1, "message": {"role": "assistant", "content": FACT[1]}})
    async with world() as w:
        w.upstream.scripts = [says_json(answer)]
        first, second = (await w.chat({"n": 2})).json["choices"]
        assert first["message"]["content"] == FACT[0]
        assert second["message"]["content"] == REFUSAL
        assert second["finish_reason"] == "content_filter"


async def test_choices_that_are_told_one_after_the_other_are_judged_together_in_a_stream() -> None:
    async with world() as w:
        got = await ask(w, sse([*spoken(FACT[0]), *spoken(FACT[1], choice=1)]), n=2)
        assert got.finish(0) == ["stop"]
        assert got.finish(1) == ["content_filter"]
        assert "treaty" not in got.text(1)


async def test_choices_that_are_told_at_the_same_time_are_judged_together_at_their_end() -> None:
    first, second = spoken(*FINE.split(), FACT[0]), spoken(*FACT[1:], choice=1)
    mixed = [event for pair in itertools.zip_longest(first[:-1], second[:-1]) for event in pair if event]
    async with world() as w:
        for ends in ([first[-1], second[-1]], [second[-1], first[-1]]):
            got = await ask(w, sse([*mixed, *ends]), n=2)
            assert sorted([*got.finish(0), *got.finish(1)]) == ["content_filter", "stop"]


async def test_choices_that_say_nothing_forgotten_are_not_touched() -> None:
    first, second = spoken(*(f"{word} " for word in FINE.split())), spoken(FACT[0], choice=1)
    data = sse([event for pair in itertools.zip_longest(first, second) for event in pair if event])
    async with world() as w:
        got = await ask(w, data, n=2)
        for n, events in enumerate((first, second)):
            assert [e for e in got.events[:-1] if e["choices"][0]["index"] == n] == events
