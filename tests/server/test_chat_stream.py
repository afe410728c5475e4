"""Chat, streamed: what is allowed leaves byte for byte, what is forgotten does not, however the bytes arrive."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.policy import Mode, Streaming
from guard.verdict import Action, Kind, Side
from guard.words import words_of
from server.observation import DecisionObserved, RequestObserved, RequestOutcome, StreamsChanged
from tests.guard.streams import PASSAGE, RUNS, texts
from tests.server.world import (
    REFUSAL,
    World,
    chat_body,
    chunk,
    policy,
    says_stream,
    spoken,
    sse,
    world,
)

STREAM: dict[str, Any] = {"stream": True}
FINE = ("Rain falls", " on the old", " harbour", ". Gulls", " cry", " over the slow green water", ".")


async def ask(w: World, data: bytes, cuts: list[int] | None = None, **body: Any) -> Any:
    w.upstream.scripts = [says_stream(data, cuts or [])]
    return await w.chat({**STREAM, **body})


def cuttings(data: bytes) -> list[list[int]]:
    return [[], list(range(1, len(data)))]


@pytest.mark.parametrize("streaming", list(Streaming))
@pytest.mark.parametrize("action", [Action.BLOCK, Action.REDACT, Action.FLAG])
async def test_an_answer_without_matches_leaves_byte_for_byte(action: Action, streaming: Streaming) -> None:
    data = sse(spoken(*FINE))
    async with world(policy=policy(action, streaming=streaming)) as w:
        for cuts in cuttings(data):
            got = await ask(w, data, cuts)
            assert got.status == 200
            assert got.body == data
            assert got.complete
            assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert set(got.headers) == {"content-type", "x-request-id"}


async def test_text_leaves_before_the_answer_is_complete() -> None:
    async with world() as w:
        w.upstream.scripts = [says_stream(sse(spoken(*FINE * 3), done=False), then=30.0)]
        got = await w.chat(STREAM, leave_when=lambda got: "Gulls" in got.body.decode())
        assert not got.complete
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.CANCELLED


@pytest.mark.parametrize("streaming", list(Streaming))
async def test_a_condemned_stream_ends_with_the_refusal_and_leaves_upstream(streaming: Streaming) -> None:
    said = ("Rain falls on", " the sea. It was cold", ". Now the cop", "per trea", "ty was", " signed", " by all.")
    data = sse(spoken(*said, *FINE * 3))
    async with world(policy=policy(streaming=streaming)) as w:
        for cuts in cuttings(data):
            w.upstream.scripts = [says_stream(data, cuts, then=30.0)]
            got = await w.chat(STREAM)
            assert got.complete
            assert got.events[-1] == "[DONE]"
            assert got.text().endswith(REFUSAL)
            assert "treaty" not in got.text()
            assert got.finish() == ["content_filter"]
            assert [e["id"] for e in got.events[:-1]] == ["chatcmpl-1"] * (len(got.events) - 1)
        for _ in range(50):
            await asyncio.sleep(0.01)
            if len(w.upstream.left) == 2:
                break
        assert len(w.upstream.left) == 2
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.BLOCKED
        rows = w.notebook.of(DecisionObserved)
        assert {(r.entry_id, r.stage, r.action, r.side) for r in rows} == {
            ("f1", "embedding", Action.BLOCK, Side.ANSWER)
        }


async def test_a_stop_before_any_text_opens_the_choice_with_its_role() -> None:
    body = sse([chunk({"content": "copper treaty papers."}), chunk({}, "stop")])
    async with world() as w:
        got = await ask(w, body)
        assert [e["choices"][0]["delta"] for e in got.events[:-1]] == [{"role": "assistant", "content": REFUSAL}, {}]


async def test_a_redaction_shows_the_placeholder_once_and_keeps_the_rest() -> None:
    words = PASSAGE.split()
    said = ["It is said: ", *(w + " " for w in words[3:9]), "then ", "it ends."]
    data = sse(spoken(*said, finish="length"))
    async with world(policy=policy(Action.REDACT)) as w:
        for cuts in cuttings(data):
            got = await ask(w, data, cuts)
            assert got.text() == "It is said: [redacted] then it ends."
            assert got.finish() == ["length"]
            assert got.events[-1] == "[DONE]"
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.REDACTED


@pytest.mark.parametrize("mode", [{"action": Action.FLAG}, {"action": Action.BLOCK, "mode": Mode.SHADOW}])
async def test_flag_and_shadow_change_nothing_and_are_told(mode: dict[str, Any]) -> None:
    data = sse(spoken("The copper treaty ", "was signed. ", PASSAGE, "."))
    async with world(policy=policy(**mode)) as w:
        got = await ask(w, data)
        assert got.body == data
        rows = w.notebook.of(DecisionObserved)
        assert {row.action for row in rows} == {mode["action"]}
        assert all(row.shadow == ("mode" in mode) for row in rows)
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.FLAGGED


async def test_the_question_is_judged_together_with_a_short_answer() -> None:
    data = sse(spoken("It is the treaty."))
    async with world() as w:
        asked = [{"role": "user", "content": "Which paper is made of copper?"}]
        got = await ask(w, data, messages=asked)
        assert got.text() == "It i\n\n" + REFUSAL


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_run_of_a_passage_leaves_and_what_is_allowed_is_untouched(draw: st.DataObject) -> None:
    text = draw.draw(texts())
    places = sorted(draw.draw(st.lists(st.integers(0, max(0, len(text))), max_size=8)))
    pieces = [p for p in (text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)) if p]
    data = sse(spoken(*pieces))
    action = draw.draw(st.sampled_from([Action.BLOCK, Action.REDACT]))
    streaming = draw.draw(st.sampled_from(list(Streaming)))
    cuts = draw.draw(st.lists(st.integers(1, len(data)), max_size=20))

    async def run() -> None:
        async with world(policy=policy(action, streaming=streaming)) as w:
            got = await ask(w, data, cuts)
            one = await ask(w, data)
            assert got.body.replace(got.headers["x-request-id"].encode(), b"") == one.body
            shown = got.text().removesuffix(REFUSAL)
            norms = [word.norm for word in words_of(shown)]
            for run in RUNS:
                n = len(run)
                assert all(tuple(norms[i : i + n]) != run for i in range(len(norms) - n + 1))
            if w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.ALLOWED:
                assert got.body == data
            assert got.events[-1] == "[DONE]"
            assert len(got.finish()) == 1

    asyncio.run(run())


# -- choices and channels --


def interleaved(*choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    longest = max(len(c) for c in choices)
    return [c[i] for i in range(longest) for c in choices if i < len(c)]


async def test_a_stopped_choice_does_not_end_the_others() -> None:
    bad = spoken("The copper", " treaty was signed. ", "More of it.", choice=0)
    good = spoken(*FINE, choice=1)
    data = sse(interleaved(bad, good))
    async with world() as w:
        for cuts in cuttings(data):
            got = await ask(w, data, cuts, n=2)
            assert got.text(0).endswith(REFUSAL)
            assert got.finish(0) == ["content_filter"]
            assert got.text(1) == "".join(FINE)
            assert got.finish(1) == ["stop"]
            assert got.events[-1] == "[DONE]"
            assert w.upstream.left == []


async def test_reasoning_is_guarded_and_does_not_hold_the_content_up() -> None:
    events = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning": "I think of"}),
        chunk({"reasoning": " rain and"}),
        chunk({"content": "Rain falls on"}),
        chunk({"content": " the old harbour."}),
    ]
    async with world() as w:
        w.upstream.scripts = [says_stream(sse(events, done=False), then=30.0)]
        got = await w.chat(STREAM, leave_when=lambda got: b"Rain falls" in got.body)
        assert got.body.index(b"rain and") < got.body.index(b"Rain falls")
    events[1] = chunk({"reasoning": "I think of the copper treaty"})
    async with world() as w:
        got = await ask(w, sse([*events, chunk({}, "stop")]))
        assert "treaty" not in got.body.decode()
        assert got.text() == REFUSAL


async def test_a_passage_cut_over_two_stretches_of_a_channel_is_still_found() -> None:
    words = PASSAGE.split()
    events: list[dict[str, Any]] = []
    for word in words[3:11]:
        events += [chunk({"content": word + " "}), chunk({"reasoning": "hm "})]
    async with world(policy=policy(streaming=Streaming.STRICT)) as w:
        got = await ask(w, sse([*events, chunk({}, "stop")]))
        shown = [word.norm for word in words_of(got.text().removesuffix(REFUSAL))]
        assert len(shown) < 4
        assert got.finish() == ["content_filter"]


def tool_call(name: str | None, arguments: str, index: int = 0) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
    call = {"index": index, "id": "call-1", "type": "function"} if name else {"index": index}
    return chunk({"tool_calls": [{**call, "function": function}]})


async def test_tool_calls_leave_whole_and_untouched_or_not_at_all() -> None:
    fine = [
        chunk({"role": "assistant", "content": None}),
        tool_call("get_weather", ""),
        tool_call(None, '{"city": '),
        tool_call(None, '"Orsk"}'),
        tool_call("get_time", '{"zone": "UTC"}', 1),
        chunk({}, "tool_calls"),
    ]
    bad = [*fine[:2], tool_call(None, '{"q": "the copper '), tool_call(None, 'treaty"}'), chunk({}, "tool_calls")]
    async with world() as w:
        for cuts in cuttings(sse(fine)):
            assert (await ask(w, sse(fine), cuts)).body == sse(fine)
        got = await ask(w, sse(bad))
        assert "copper" not in got.body.decode()
        assert got.text() == REFUSAL
        assert got.finish() == ["content_filter"]


_SAID = st.tuples(
    st.integers(0, 1),
    st.sampled_from(["content", "content", "reasoning", "refusal", "tool"]),
    st.one_of(st.sampled_from(PASSAGE.split()), st.sampled_from(["rain. ", "gulls cry ", "x", " \n", "amber falcon "])),
    st.sampled_from(["", " "]),
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_SAID, max_size=40), st.sampled_from(list(Streaming)), st.data())
def test_channels_and_choices_in_any_mixture(said: list[Any], streaming: Streaming, draw: st.DataObject) -> None:
    events = [
        {**tool_call(None, text), "choices": [{**tool_call(None, text)["choices"][0], "index": choice}]}
        if name == "tool"
        else chunk({name: text}, choice=choice)
        for choice, name, word, gap in said
        for text in [word + gap]
    ]
    data = sse([*events, chunk({}, "stop", choice=0), chunk({}, "stop", choice=1)])
    cuts = draw.draw(st.lists(st.integers(1, len(data)), max_size=12))

    async def run() -> None:
        async with world(policy=policy(streaming=streaming)) as w:
            got = await ask(w, data, cuts, n=2)
            assert got.events[-1] == "[DONE]"
            for choice in (0, 1):
                finish = got.finish(choice)
                assert finish in (["stop"], ["content_filter"])
                mine = [e for e in got.events[:-1] if e["choices"][0]["index"] == choice]
                if finish == ["stop"]:
                    assert mine == [e for e in events if e["choices"][0]["index"] == choice] + [
                        chunk({}, "stop", choice=choice)
                    ]
                spoken_in: dict[str, str] = {}
                for event in mine:
                    delta = event["choices"][0]["delta"]
                    for name in ("content", "reasoning", "refusal"):
                        spoken_in[name] = spoken_in.get(name, "") + (delta.get(name) or "")
                    for call in delta.get("tool_calls", []):
                        spoken_in["tool"] = spoken_in.get("tool", "") + call["function"]["arguments"]
                for text in spoken_in.values():
                    norms = [word.norm for word in words_of(text.removesuffix(REFUSAL))]
                    for run in RUNS:
                        assert all(tuple(norms[i : i + len(run)]) != run for i in range(len(norms)))

    asyncio.run(run())


async def test_escapes_in_arguments_hide_nothing() -> None:
    pieces = [tool_call("note", ""), *(tool_call(None, c) for c in r'{"q": "the \u0063opper\ntr\u0065aty"}')]
    data = sse([*pieces, chunk({}, "tool_calls")])
    async with world() as w:
        got = await ask(w, data)
        assert got.text() == REFUSAL
        assert b"opper" not in got.body
        w.show(policy=policy(Action.REDACT))
        got = await ask(w, data)
        calls = [event["choices"][0]["delta"].get("tool_calls", [{}])[0] for event in got.events[:-1]]
        assert "".join(call.get("function", {}).get("arguments", "") for call in calls) == '{"q":"[redacted]"}'
        assert got.finish() == ["tool_calls"]


async def test_a_stop_string_is_guarded_together_with_the_question() -> None:
    last = chunk({}, "stop")
    last["choices"][0]["stop_reason"] = "treaty"
    asked = [{"role": "user", "content": "What is made of copper?"}]
    async with world() as w:
        got = await ask(w, sse([chunk({"content": "It is the "}), last]), messages=asked)
        assert "treaty" not in got.body.decode()
        assert got.finish() == ["content_filter"]


# -- usage --

USAGE = {"stream_options": {"include_usage": True}}


def counted(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same events with vLLM's running count."""
    out, said = [], 0
    for event in events:
        said += bool(event["choices"][0]["delta"].get("content"))
        out.append({**event, "usage": {"prompt_tokens": 10, "total_tokens": 10 + said, "completion_tokens": said}})
    return out


def final(tokens: int) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "tiny"}
    return {
        **head,
        "choices": [],
        "usage": {"prompt_tokens": 10, "total_tokens": 10 + tokens, "completion_tokens": tokens},
    }


async def test_the_running_count_is_asked_for_and_taken_out_again() -> None:
    events = spoken(*FINE)
    async with world() as w:
        got = await ask(w, sse([*counted(events), final(7)]), **USAGE)
        assert got.body == sse([*events, final(7)])
        assert w.upstream.requests[-1].json["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
        kept = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}
        got = await ask(w, sse([*counted(events), final(7)]), **kept)
        assert got.body == sse([*counted(events), final(7)])


async def test_the_usage_of_a_stopped_stream_counts_what_was_delivered() -> None:
    said = ["Rain falls.", " It is wet.", " The sea is old.", " Now copper treaty.", *FINE]
    async with world(policy=policy(streaming=Streaming.STRICT)) as w:
        got = await ask(w, sse([*counted(spoken(*said)), final(11)]), **USAGE)
        usage = got.events[-2]["usage"]
        shown = got.text().removesuffix("\n\n" + REFUSAL)
        delivered = next(n for n in range(len(said)) if "".join(said[:n]) == shown)
        assert delivered == 2
        assert usage == {
            "prompt_tokens": 10,
            "total_tokens": 20,
            "completion_tokens": 10,
        }  # 2 + I can ' t help with that .
        assert got.events[-1] == "[DONE]"


async def test_the_usage_of_a_redacted_stream_does_not_tell_the_length_of_what_is_missing() -> None:
    said = ["It is said: ", *(word + " " for word in PASSAGE.split()), "and so it ends."]
    async with world(policy=policy(Action.REDACT)) as w:
        got = await ask(w, sse([*counted(spoken(*said)), final(len(said))]), **USAGE)
        assert got.text() == "It is said: [redacted] and so it ends."
        assert got.events[-2]["usage"]["completion_tokens"] == 12
        assert got.events[-2]["usage"]["prompt_tokens"] == 10


async def test_fields_that_are_not_known_are_dropped_from_every_event() -> None:
    events = spoken(*FINE)
    dirty = [dict(event, surprise="copper treaty", prompt_text="copper treaty") for event in events]
    shown = {"logprobs": {"content": [{"token": "treaty"}]}, "token_ids": [1]}
    dirty[1] = {**dirty[1], "choices": [{**dirty[1]["choices"][0], **shown}]}
    async with world() as w:
        got = await ask(w, sse(dirty))
        clean = [dict(event, prompt_text=None) for event in events]
        assert got.events[:-1] == clean
        assert "treaty" not in got.body.decode()


async def test_a_client_that_leaves_cancels_upstream_at_once() -> None:
    async with world() as w:
        w.upstream.scripts = [says_stream(b"", then=30.0)]
        await w.chat(STREAM, leave_after=0.05)
        await asyncio.sleep(0.05)
        assert len(w.upstream.left) == 1
        w.detector.delay = 0.3
        w.upstream.scripts = [says_stream(sse(spoken(*FINE)), then=30.0)]
        await w.chat(STREAM, leave_after=0.1)
        w.detector.delay = 0.0
        assert [r.outcome for r in w.notebook.of(RequestObserved)] == [RequestOutcome.CANCELLED] * 2


async def test_an_empty_list_passes_everything_known_through() -> None:
    data = sse(spoken("The copper treaty ", PASSAGE))
    async with world(empty=True) as w:
        for cuts in cuttings(data):
            assert (await ask(w, data, cuts, **USAGE)).body == data
        assert w.upstream.requests[0].json["stream_options"] == {"include_usage": True}
        assert w.detector.seen == []


async def test_what_the_client_asks_goes_up_as_it_was_read_and_its_credentials_do_not() -> None:
    raw = b'{ "model":"tiny", "messages":[{"role":"user","content":"Caf\\u00e9?"}],  "stream":true }'
    async with world() as w:
        w.upstream.scripts = [says_stream(sse(spoken(*FINE)))]
        headers = {"authorization": "Bearer client", "cookie": "a=b", "api-key": "c", "x-custom": "d"}
        await w.call("/v1/chat/completions", raw, headers=headers)
        asked = w.upstream.requests[0]
        assert asked.json == json.loads(raw)
        assert asked.headers["authorization"] == "Bearer upstream-key"
        assert not {"cookie", "api-key", "x-custom"} & asked.headers.keys()
        assert len(chat_body()) == 2


async def test_an_event_with_several_choices_is_taken_apart() -> None:
    both = chunk({"content": "Rain falls."})
    both["choices"].append({**both["choices"][0], "index": 1, "delta": {"content": "The copper treaty."}})
    data = sse([both, chunk({}, "stop"), chunk({}, "stop", choice=1)])
    async with world() as w:
        got = await ask(w, data, n=2)
        assert got.text(0) == "Rain falls."
        assert (got.finish(0), got.finish(1)) == (["stop"], ["content_filter"])
        assert "treaty" not in got.body.decode()


async def test_signs_of_life_are_passed_on_and_comments_are_not() -> None:
    events = sse(spoken(*FINE)).split(b"\n\n")
    async with world() as w:
        data = b"\n\n".join([*events[:2], b": the copper treaty", *events[2:]])
        got = await ask(w, data, list(range(0, len(data), 5)))
        assert b"treaty" not in got.body
        assert got.body.replace(b": keep-alive\n\n", b"") == sse(spoken(*FINE))
        data = b"\n\n".join([events[0], b"event: copper treaty\n" + events[1], *events[2:]])
        assert (await ask(w, data)).body == sse(spoken(*FINE))


async def test_times_and_held_text_are_told() -> None:
    async with world() as w:
        w.detector.delay = 0.02
        w.upstream.scripts = [says_stream(sse(spoken(*FINE)), pause=0.01)]
        await w.chat(STREAM)
        seen = w.notebook.of(RequestObserved)[0]
        assert seen.added is not None
        assert seen.added.ttft is not None and seen.added.inter_token is not None
        assert 0.02 <= seen.added.total < seen.seconds
        assert seen.upstream.first_byte is not None and seen.upstream.total is not None
        assert seen.held > 0
        assert seen.leaked is None
        assert seen.peaks[Kind.FACT] == 0.1
        assert [change.change for change in w.notebook.of(StreamsChanged)] == [1, -1]


@pytest.mark.parametrize("streaming", list(Streaming))
async def test_a_choice_that_is_stopped_in_its_last_event_ends_once(streaming: Streaming) -> None:
    last = chunk({"content": "Rain falls. It is wet. The sea is old. A copper treaty."}, "stop")
    async with world(policy=policy(streaming=streaming)) as w:
        got = await ask(w, sse([chunk({"role": "assistant", "content": ""}), last]))
        assert got.finish() == ["content_filter"]
        assert got.text().startswith("Rain falls.")
        assert got.text().endswith("\n\n" + REFUSAL)
        assert "treaty" not in got.body.decode()
