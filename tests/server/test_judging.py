"""The prompt side: every place of a conversation is judged, alone and with what stands next to it, and judged once."""

from __future__ import annotations

from typing import Any

import pytest

from guard.policy import InContext, Policy
from guard.verdict import Action, Kind, Side
from server.observation import DecisionObserved
from tests.guard.streams import PASSAGE
from tests.server.world import (
    REFUSAL,
    World,
    policy,
    says_json,
    says_stream,
    spoken,
    sse,
    whole,
    world,
)

FACT = "It was the old copper treaty."
SAID = ("The first one was a treaty.", " It was about copper.")
ASK = {"role": "user", "content": "Go on, please."}


def call(text: str) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": "note", "arguments": f'{{"text": "{text}"}}'}}


PLACES: dict[str, Any] = {
    "user": lambda text: {"messages": [{"role": "user", "content": text}]},
    "part": lambda text: {"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]},
    "earlier": lambda text: {"messages": [{"role": "user", "content": text}, *[ASK] * 9]},
    "system": lambda text: {"messages": [{"role": "system", "content": text}, ASK]},
    "developer": lambda text: {"messages": [{"role": "developer", "content": text}, ASK]},
    "assistant": lambda text: {"messages": [ASK, {"role": "assistant", "content": text}, ASK]},
    "reasoning": lambda text: {"messages": [ASK, {"role": "assistant", "reasoning_content": text}, ASK]},
    "tool call": lambda text: {"messages": [ASK, {"role": "assistant", "tool_calls": [call(text)]}, ASK]},
    "function call": lambda text: {
        "messages": [ASK, {"role": "assistant", "function_call": call(text)["function"]}, ASK]
    },
    "tool": lambda text: {"messages": [ASK, {"role": "tool", "tool_call_id": "call_1", "content": text}]},
    "function": lambda text: {"messages": [ASK, {"role": "function", "name": "note", "content": text}]},
    "document": lambda text: {"messages": [ASK], "documents": [{"title": "t", "text": text}]},
    "template": lambda text: {"messages": [ASK], "chat_template_kwargs": {"hint": text}},
}


def told(w: World) -> set[tuple[str, Side, Action]]:
    return {(row.entry_id, row.side, row.action) for row in w.notebook.of(DecisionObserved) if row.side is Side.PROMPT}


async def strict(w: World, **body: Any) -> bool:
    """True when the first sentence of an answer waits for the second one."""
    w.upstream.scripts = [says_stream(sse(spoken(*SAID)))]
    got = await w.chat({"stream": True, **body})
    assert got.text().endswith(REFUSAL)
    return not got.text().startswith(SAID[0])


@pytest.mark.parametrize("place", PLACES)
async def test_every_place_of_a_conversation_is_judged_and_makes_its_answer_strict(place: str) -> None:
    async with world() as w:
        assert await strict(w, **PLACES[place](FACT))
        assert told(w) == {("f1", Side.PROMPT, Action.FLAG)}
        assert await strict(w, **PLACES[place](PASSAGE))
        assert ("p1", Side.PROMPT, Action.FLAG) in told(w)
        assert not await strict(w, **PLACES[place]("It rained all day."))


@pytest.mark.parametrize("place", PLACES)
async def test_every_place_can_block(place: str) -> None:
    async with world(policy=Policy(prompt_actions=dict.fromkeys(Kind, Action.BLOCK))) as w:
        w.upstream.scripts = [says_json(whole("Fine."))]
        for text, said in ((FACT, REFUSAL), (PASSAGE, REFUSAL), ("It rained all day.", "Fine.")):
            got = await w.chat(PLACES[place](text))
            assert got.json["choices"][0]["message"]["content"] == said


def turns(*said: str, between: str = "I see.") -> dict[str, Any]:
    """A conversation in which the user said these things."""
    messages: list[dict[str, Any]] = []
    for text in said:
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": between}]
    return {"messages": messages[:-1]}


HALVES = (" ".join(PASSAGE.split()[:9]), " ".join(PASSAGE.split()[9:]))


@pytest.mark.parametrize(
    ("body", "entry"),
    [
        (turns("Let us speak of that treaty.", "What was the thing made of? Was it copper?"), "f1"),
        (turns("Let us speak of that treaty.", "Tell me more of it.", "Was it copper?"), "f1"),
        (turns("Let us speak of it.", "Was it copper?", between="The treaty?"), "f1"),
        ({"messages": [ASK, {"role": "tool", "content": "copper"}, {"role": "user", "content": "The treaty?"}]}, "f1"),
        (turns(*(f"{i} {half}" if i else f"So: {half}" for i, half in enumerate(HALVES))), "p1"),
        ({"messages": [{"role": "user", "content": "the lamp keeper"}, {"role": "user", "content": "of orsk"}]}, "p1"),
        (turns("Note this: the lamp keeper", "of orsk. Got it?"), "p1"),
        (
            {"messages": [ASK, {"role": "assistant", "content": "the lamp keeper"}, {**ASK, "content": "of orsk?"}]},
            "p1",
        ),
    ],
)
async def test_what_is_split_over_turns_is_seen(body: dict[str, Any], entry: str) -> None:
    async with world() as w:
        assert await strict(w, **body)
        assert (entry, Side.PROMPT, Action.FLAG) in told(w)


async def test_the_prompts_of_several_completions_are_not_read_together() -> None:
    async with world() as w:
        w.upstream.scripts = [says_json(whole("Fine."))]
        await w.call("/v1/completions", {"model": "tiny", "prompt": ["About a treaty.", "About some copper."]})
        assert told(w) == set()


# -- what a growing conversation costs --------------------------------------------------------------------------------


async def grow(w: World, *said: str, **body: Any) -> int:
    """How many windows were judged for the prompt of this conversation."""
    w.upstream.scripts = [says_json(whole(""))]  # nothing to judge in the answer
    w.detector.seen.clear()
    await w.chat({**turns(*said), **body})
    return len(w.detector.seen)


LONG = " ".join(f"Sentence number {n} is about ordinary weather." for n in range(40))


async def test_a_growing_conversation_costs_only_what_is_new() -> None:
    async with world() as w:
        first = await grow(w, LONG)
        assert first >= 79
        assert await grow(w, LONG) == 0
        added = await grow(w, LONG, "And what is next?")
        assert 0 < added <= 12
        assert await grow(w, LONG, "And what is next?", "And then?") <= 12


async def test_what_was_found_before_is_found_again() -> None:
    async with world() as w:
        for _ in range(2):
            w.notebook.seen.clear()
            await grow(w, FACT)
            assert told(w) == {("f1", Side.PROMPT, Action.FLAG)}
            assert await strict(w, **turns(FACT))


async def test_another_revision_judges_everything_again() -> None:
    async with world() as w:
        first = await grow(w, LONG)
        assert await grow(w, LONG) == 0
        w.show(policy=policy(), revision=8)
        assert await grow(w, LONG) == first
        assert await grow(w, LONG) == 0


async def test_what_could_not_be_judged_is_asked_again() -> None:
    async with world() as w:
        w.detector.failing = True
        await grow(w, FACT)
        w.detector.failing = False
        w.notebook.seen.clear()
        assert await grow(w, FACT) > 0
        assert told(w) == {("f1", Side.PROMPT, Action.FLAG)}


async def test_a_policy_applies_to_what_was_found_before() -> None:
    async with world() as w:
        await grow(w, PASSAGE)
        blocking = policy(in_context=InContext.ALLOW, prompt_actions=dict.fromkeys(Kind, Action.BLOCK))
        w.show(policy=blocking)
        w.upstream.scripts = [says_json(whole("Fine."))]
        got = await w.chat({"messages": [{"role": "system", "content": PASSAGE}, ASK]})
        assert got.json["choices"][0]["message"]["content"] == REFUSAL
