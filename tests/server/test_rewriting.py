"""The rest of a stopped answer: it goes on from what was released, is guarded across the seam, and leaves on a grid."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guard.policy import Streaming
from guard.verdict import Action, Kind
from guard.words import words_of
from server.observation import RequestObserved, RequestOutcome, RewriteObserved
from server.rewriting import joint, rest_of
from tests.guard.streams import PASSAGE, RUNS
from tests.server.test_completions import event, texts
from tests.server.world import (
    REFUSAL,
    Got,
    Request,
    Script,
    World,
    Writer,
    chat_body,
    chunk,
    policy,
    says_json,
    says_stream,
    spoken,
    sse,
    whole,
    world,
)

SAID = "Rain falls on the sea. It was cold. "
BAD = sse(spoken("Rain falls on the sea. It was cold. ", "The copper treaty was signed. ", "Gulls cry."))
STREAM: dict[str, Any] = {"stream": True}
INSTRUCTION = (
    "Do not mention, quote or paraphrase the Orsk papers. Answer without it, or say that you cannot help with that."
)


async def rewritten(w: World, *answers: Script, data: bytes = BAD, **body: Any) -> Got:
    w.upstream.scripts = [says_stream(data, then=30.0), *answers]
    return await w.chat({**STREAM, **body})


def told(w: World) -> list[tuple[str, str, int]]:
    return [(seen.strategy, seen.outcome.value, seen.tries) for seen in w.notebook.of(RewriteObserved)]


async def test_upstream_is_left_before_another_answer_is_asked_for() -> None:
    seen: list[tuple[int, int]] = []
    async with world(policy=policy(Action.REWRITE)) as w:

        async def again(request: Request, writer: Writer) -> None:
            seen.append((len(w.upstream.left), w.upstream.running))
            await says_json(whole("Gulls cry."))(request, writer)

        got = await rewritten(w, again)
        assert got.finish() == ["stop"]
        assert seen == [(1, 1)]


async def test_a_client_that_does_not_read_does_not_keep_upstream_at_work() -> None:
    """The last text is taken by the client only after upstream saw that it was left: the other order never ends."""
    said = spoken("Rain falls. Gulls cry. It was cold. The copper treaty. ", "So.")
    async with world() as w:
        w.upstream.scripts = [says_stream(sse(said), then=30.0)]
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
        body, sent, asked = json.dumps(chat_body(**STREAM)).encode(), bytearray(), []

        async def receive() -> dict[str, Any]:
            asked.append(True)
            if len(asked) == 1:
                return {"type": "http.request", "body": body}
            await asyncio.Event().wait()  # the client stays
            return {}

        async def send(message: Any) -> None:
            while b"Rain" in message.get("body", b"") and not w.upstream.left:
                await asyncio.sleep(0.001)
            sent.extend(message.get("body", b""))

        async with asyncio.timeout(20):
            await w.app(scope, receive, send)
        assert REFUSAL.encode() in sent and b"Rain falls" in sent and b"treaty" not in sent


async def test_the_model_continues_what_was_released_as_its_own_message() -> None:
    async with world(policy=policy(Action.REWRITE), label="the Orsk papers") as w:
        fine = says_json(whole("Gulls cry over the old harbour, as ever.", finish="length"))
        got = await rewritten(w, fine, temperature=0.0, tools=[], n=1, response_format={"type": "text"})
        shown = got.text().removesuffix("Gulls cry over the old harbour, as ever.")
        assert SAID.startswith(shown) and shown.strip()
        asked = w.upstream.requests[1].json
        assert asked["messages"][0] == {"role": "system", "content": INSTRUCTION}
        begun = asked["messages"][-1].pop("content")
        assert (asked["messages"][-1], begun.rstrip()) == ({"role": "assistant"}, shown.rstrip())
        assert (asked["continue_final_message"], asked["add_generation_prompt"]) == (True, False)
        assert not {"stream", "n", "tools", "response_format"} & asked.keys()
        assert got.finish() == ["length"]
        assert told(w) == [("continue", "verified", 1)]
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.REWRITTEN


async def test_a_rewrite_comes_in_the_events_of_a_stream() -> None:
    async with world(policy=policy(Action.REWRITE)) as w:
        got = await rewritten(w, says_json(whole("Gulls cry over  the old\n\nharbour, as ever.")))
        deltas = [e["choices"][0]["delta"] for e in got.events[:-1]][-4:]
        deltas[0]["content"] = deltas[0]["content"].lstrip()  # the space before it may have left already
        assert [delta.get("content") for delta in deltas] == [
            "Gulls cry over  ",
            "the old\n\nharbour, ",
            "as ever.",
            None,
        ]
        assert got.complete and got.events[-1] == "[DONE]"
        assert {e["id"] for e in got.events[:-1]} == {"chatcmpl-1"}


@pytest.mark.parametrize("status", [400, 422, 500])
async def test_a_server_that_cannot_continue_is_told_what_was_said(status: int) -> None:
    async with world(policy=policy(Action.REWRITE, rewrite_tries=1), label="the Orsk papers") as w:
        refused = says_json({"error": {"message": "unknown field"}}, status=status)
        got = await rewritten(w, refused, says_json(whole("Gulls cry.")))
        shown = got.text().removesuffix("Gulls cry.").removesuffix(" ")
        assert SAID.startswith(shown) and shown.strip()
        asked = w.upstream.requests[2].json
        assert [message["role"] for message in asked["messages"]] == ["system", "user"]
        assert asked["messages"][0]["content"].startswith(INSTRUCTION + "\n\n")
        assert asked["messages"][0]["content"].endswith(f"without repeating any of it:\n\n{shown}")
        assert "continue_final_message" not in asked
        assert told(w) == [("continue", "unsupported", 1), ("regenerate", "verified", 1)]


async def test_a_server_that_begins_anew_is_asked_in_another_way_and_one_that_repeats_is_cut() -> None:
    async with world(policy=policy(Action.REWRITE)) as w:
        anew = says_json(whole("Rain falls on roofs and gulls cry."))
        got = await rewritten(w, anew, says_json(whole(f"{SAID}Gulls cry.")))
        assert got.text().count("Rain falls") == 1
        assert got.text().endswith("Gulls cry.")
        assert told(w) == [("continue", "unsupported", 1), ("regenerate", "verified", 1)]


async def test_usage_counts_no_beginning_that_was_taken_off() -> None:
    said = sse(spoken(SAID, "The copper treaty was signed. ", "So.")[:-1], done=False)
    counted = {"prompt_tokens": 10, "total_tokens": 50, "completion_tokens": 40}
    async with world(policy=policy(Action.REWRITE)) as w:
        repeated = says_json({**whole(f"{SAID}Gulls cry."), "usage": counted})
        got = await rewritten(w, repeated, data=said, stream_options={"include_usage": True})
        assert got.text().endswith("Gulls cry.")
        assert [e["usage"]["completion_tokens"] < 20 for e in got.events[:-1] if e.get("usage")] == [True]


async def test_answers_that_are_refused_are_followed_by_warmer_ones_and_then_by_the_refusal() -> None:
    async with world(policy=policy(Action.REWRITE, rewrite_tries=3)) as w:
        got = await rewritten(w, says_json(whole("The copper treaty!")), temperature=0.0)
        assert got.text().endswith("\n\n" + REFUSAL) or got.text().endswith(f" {REFUSAL}")
        assert got.finish() == ["content_filter"]
        asked = [request.json for request in w.upstream.requests[1:]]
        assert [body["temperature"] for body in asked] == [0.0, 0.0, 0.4]
        assert [body.get("continue_final_message", False) for body in asked] == [True, False, False]
        assert "the withheld subject" in asked[0]["messages"][0]["content"]
        assert told(w) == [("continue", "exhausted", 1), ("regenerate", "exhausted", 2)]


async def test_upstream_that_fails_leaves_the_refusal() -> None:
    async with world(policy=policy(Action.REWRITE)) as w:
        got = await rewritten(w, says_json(b"not json"))
        assert got.text().endswith(REFUSAL)
        assert told(w) == [("continue", "error", 1)]


@pytest.mark.parametrize("streaming", list(Streaming))
async def test_a_passage_is_found_across_the_seam(streaming: Streaming) -> None:
    """Its first half was released, the second half is in the rewrite: no run of it may be completed by the join."""
    words = PASSAGE.split()
    data = sse(spoken("Rain falls. ", " ".join(words[:3]), ". The copper treaty.", "And so on."))
    async with world(policy=policy(Action.REWRITE, streaming=streaming, rewrite_tries=1)) as w:
        for rest in (" ".join(words[3:]), f" {' '.join(words[3:])}"):
            got = await rewritten(w, says_json(whole(rest)), data=data)
            norms = [word.norm for word in words_of(got.text().removesuffix(REFUSAL))]
            for run in RUNS:
                assert all(tuple(norms[i : i + len(run)]) != run for i in range(len(norms)))


async def test_the_other_half_of_a_passage_alone_would_have_been_accepted() -> None:
    """What is judged is the whole: a rewrite that is harmless alone is refused for what it completes."""
    words = PASSAGE.split()
    half = " ".join(words[3:6])
    data = sse(spoken(f"Rain falls. {' '.join(words[:3])}", ". The copper treaty.", "And so on."))
    async with world(policy=policy(Action.REWRITE, rewrite_tries=1)) as w:
        alone = await rewritten(w, says_json(whole(half)), data=sse(spoken("The copper treaty.", "And so on.")))
        assert alone.text().endswith(half)
        joined = await rewritten(w, says_json(whole(half)), data=data)
        assert half not in joined.text()
        assert joined.text().endswith(REFUSAL)


async def test_a_completion_continues_its_own_prompt() -> None:
    pieces = ("Rain falls.", " Gulls cry. The", " copper treaty", " was signed. So", " it was.")
    said = [event(piece) for piece in pieces]
    async with world(policy=policy(Action.REWRITE)) as w:
        rest = {**event(" sea is old."), "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}}
        w.upstream.scripts = [says_stream(sse(said, done=False), then=30.0), says_json(rest)]
        body = {"model": "tiny", "prompt": "Once upon a time", "stream": True}
        got = await w.call("/v1/completions", {**body, "stream_options": {"include_usage": True}})
        shown = texts(got)[0].removesuffix(" sea is old.")
        assert shown and "Rain falls. Gulls cry. The".startswith(shown)
        prompt = w.upstream.requests[1].json["prompt"]
        assert prompt.endswith(f"\n\nOnce upon a time{shown}")
        usages = [e for e in got.events[:-1] if e.get("usage")]
        assert len(usages) == 1 and usages[0] == got.events[-2]
        assert [c["finish_reason"] for e in got.events[:-1] for c in e["choices"] if c["finish_reason"]] == ["stop"]


async def test_only_the_choice_that_was_stopped_is_rewritten_and_usage_is_told_once() -> None:
    bad, good = spoken("Gulls cry. The copper", " treaty was signed. "), spoken(*["Rain falls. "] * 6, choice=1)
    mixed = [one for pair in zip(bad, good, strict=False) for one in pair] + good[len(bad) :]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "tiny"}
    usage = {"prompt_tokens": 10, "total_tokens": 40, "completion_tokens": 30}
    data = sse([*mixed, {**head, "choices": [], "usage": usage}])
    async with world(policy=policy(Action.REWRITE)) as w:
        w.upstream.scripts = [says_stream(data), says_json(whole("Rain falls."))]
        got = await w.chat({**STREAM, "n": 2, "stream_options": {"include_usage": True}})
        assert got.text(0).endswith("Rain falls.") and "treaty" not in got.text(0)
        assert got.text(1) == "Rain falls. " * 6
        assert (got.finish(0), got.finish(1)) == (["stop"], ["stop"])
        assert len([e for e in got.events[:-1] if e.get("usage")]) == 1


# -- the seam --

WORDS = st.lists(st.sampled_from(["the", "sea", "is", "old", "Rain", "falls."]), min_size=1, max_size=12)


@given(WORDS, WORDS)
@example(["the"], ["the"])
@example(["Rain", "falls.", "the", "sea"], ["Rain", "falls.", "the", "sea"])
def test_a_beginning_that_is_repeated_whole_is_taken_off(begun: list[str], rest: list[str]) -> None:
    said, told_anew = " ".join(begun), " ".join(begun + rest)
    if len(set(begun)) == len(begun):  # else a shorter end may fit as well
        assert rest_of(said, told_anew) == " " + " ".join(rest)


@given(WORDS, WORDS)
def test_the_rest_is_always_an_end_of_what_was_answered(begun: list[str], answer: list[str]) -> None:
    rest = rest_of(" ".join(begun), " ".join(answer))
    assert rest is None or " ".join(answer).endswith(rest)


@pytest.mark.parametrize(
    ("begun", "answer", "rest"),
    [
        ("Rain falls on the sea", "on the sea, and gulls cry", ", and gulls cry"),
        ("Rain falls on the se", "on the sea, and gulls cry", "a, and gulls cry"),
        ("Rain falls on the ", "falls on the sea", " sea"),
        ("Rain falls on the sea", "Rain falls on roofs", None),
        ("Rain falls", "Rain stops", "Rain stops"),
        ("Rain falls on the sea", "the sea is old", "the sea is old"),
        ("I", "It is", "It is"),
        ("", "Rain", "Rain"),
    ],
)
def test_what_an_answer_adds(begun: str, answer: str, rest: str | None) -> None:
    assert rest_of(begun, answer) == rest


@pytest.mark.parametrize(
    ("begun", "rest", "continued", "joined"),
    [
        ("", "Gulls cry", False, "Gulls cry"),
        ("The sea is", " old.", True, "The sea is old."),
        ("The sea is ", " old.", True, "The sea is old."),
        ("The se", "a is old.", True, "The sea is old."),
        ("The NA", "SA is old.", True, "The NASA is old."),
        ("The sea is (", "Gulls say) old.", True, "The sea is (Gulls say) old."),
        ("The se", "I cannot say.", True, "The se\n\nI cannot say."),
        ("The sea is old.", "Gulls cry.", True, "The sea is old. Gulls cry."),
        ("The sea is", "old.", False, "The sea is old."),
        ("The sea is ", "old.", False, "The sea is old."),
        ("The sea", ", old as it is.", False, "The sea, old as it is."),
        ("The sea is old.", "Gulls cry.", False, "The sea is old. Gulls cry."),
        ('"The sea is old."', "Gulls cry.", False, '"The sea is old." Gulls cry.'),
        ("The sea is", "I cannot say.", False, "The sea is\n\nI cannot say."),
        ("The sea is old.\n", "\n\nGulls cry.", False, "The sea is old.\n\n\nGulls cry."),
    ],
)
def test_the_seam_shows_no_missing_and_no_doubled_space(begun: str, rest: str, continued: bool, joined: str) -> None:
    assert begun + joint(begun, rest, continued) == joined


# -- the grid --

GRID_S = 0.1


async def _seconds(w: World, body: dict[str, Any]) -> float:
    """How long the answer of that request took, which is suppressed."""
    began = time.perf_counter()
    got = await w.chat(body)
    assert REFUSAL in got.body.decode()
    return time.perf_counter() - began


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("said", [f"It is said: {PASSAGE}", "Now the copper treaty."], ids=["passage", "fact"])
async def test_no_ending_leaves_before_the_next_moment_of_the_grid(said: str, stream: bool) -> None:
    async with world(ending_grid_s=GRID_S) as w:
        w.upstream.scripts = [says_stream(sse(spoken(said))) if stream else says_json(whole(said))]
        assert await _seconds(w, {"stream": stream}) >= GRID_S
        w.detector.delay = 1.1 * GRID_S
        if "treaty" in said:
            assert await _seconds(w, {"stream": stream}) >= 2 * GRID_S


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refused_prompt_waits_for_the_grid(stream: bool) -> None:
    refusing = policy(prompt_actions=dict.fromkeys(Kind, Action.BLOCK))
    async with world(policy=refusing, ending_grid_s=GRID_S) as w:
        asked = [{"role": "user", "content": "What of the copper treaty?"}]
        assert await _seconds(w, {"stream": stream, "messages": asked}) >= GRID_S
        assert not w.upstream.requests


async def test_a_choice_that_opens_with_a_rewrite_has_its_role_once() -> None:
    async with world(policy=policy(Action.REWRITE)) as w:
        data = sse([chunk({"content": "copper treaty papers."}), chunk({}, "stop")])
        got = await rewritten(w, says_json(whole("Gulls cry over the sea.")), data=data)
        deltas = [e["choices"][0]["delta"] for e in got.events[:-1]]
        assert deltas == [{"role": "assistant", "content": "Gulls cry over "}, {"content": "the sea."}, {}]
        assert told(w) == [("regenerate", "verified", 1)]
