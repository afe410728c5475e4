"""A stream leaves in the order in which it came, whichever of its events are read in full."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.policy import Streaming
from tests.server.world import Got, chunk, policy, says_stream, sse, world

USAGE = {"prompt_tokens": 9, "total_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": None}
WORDS = st.sampled_from([" rain", " falls", ".", " on", ' the "old"', " harbour", "\n", " h\u00e9", ""])
MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def streams(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Events of two choices in any mixture, some of which are not like those before."""
    said = [chunk({"role": "assistant", "content": ""}, choice=n) for n in (0, 1)]
    for _ in range(draw(st.integers(0, 25))):
        choice, name = draw(st.integers(0, 1)), draw(st.sampled_from(["content", "content", "content", "reasoning"]))
        event = chunk({name: draw(WORDS)}, choice=choice)
        if draw(st.integers(0, 8)) == 0:
            event |= draw(st.sampled_from([{"system_fingerprint": "f"}, {"usage": USAGE}, {"created": 2}]))
        said.append(event)
    said += [chunk({}, "stop", choice=n) for n in (0, 1)]
    return [*said, {**said[0], "choices": [], "usage": USAGE}]


async def answered(events: list[dict[str, Any]], cuts: list[int], **shown: Any) -> Got:
    async with world(**shown) as w:
        w.upstream.scripts = [says_stream(sse(events), cuts)]
        options = {"include_usage": True, "continuous_usage_stats": True}
        return await w.chat({"stream": True, "n": 2, "stream_options": options})


@MANY
@given(streams(), st.lists(st.integers(0, 4000), max_size=12))
def test_a_stream_that_nobody_guards_leaves_byte_for_byte(events: list[dict[str, Any]], cuts: list[int]) -> None:
    got = asyncio.run(answered(events, cuts, empty=True))
    assert got.complete
    assert got.body == sse(events)


@MANY
@given(streams(), st.lists(st.integers(0, 4000), max_size=12), st.sampled_from(list(Streaming)))
def test_a_guarded_stream_leaves_all_that_is_allowed_choice_by_choice(
    events: list[dict[str, Any]], cuts: list[int], streaming: Streaming
) -> None:
    got = asyncio.run(answered(events, cuts, policy=policy(streaming=streaming)))
    assert got.complete

    def of(choice: int, told: list[Any]) -> list[Any]:
        return [event for event in told if event != "[DONE]" and [c["index"] for c in event["choices"]] == [choice]]

    assert [of(n, got.events) for n in (0, 1)] == [of(n, events) for n in (0, 1)]
    assert got.events[-2:] == [events[-1], "[DONE]"]


async def test_what_may_leave_does_not_wait_for_a_verdict_on_what_follows() -> None:
    """All of it came in the same bytes, and leaves sentence by sentence."""
    events = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"content": word}) for word in ("Rain falls on the sea.", " Gulls cry over the green water.")]
    async with world(policy=policy(streaming=Streaming.ADAPTIVE)) as w:
        w.upstream.scripts = [says_stream(sse([*events, chunk({}, "stop")]))]
        got = await w.chat({"stream": True})
        assert len(got.writes) > 2
        assert got.body == sse([*events, chunk({}, "stop")])
