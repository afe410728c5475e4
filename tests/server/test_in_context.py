"""The in-context rule, through the real application: what the user brought may come back, nothing else of an entry."""

from __future__ import annotations

from typing import Any

import pytest

from guard.detector import Window
from guard.policy import InContext, Mode, Policy, Streaming
from guard.supplied import Remembering
from guard.verdict import Action, Kind, Match, Side
from guard.words import words_of
from server.in_context import InContextRule
from server.observation import DecisionObserved, InContextObserved, RequestObserved, RequestOutcome
from tests.guard.streams import PASSAGE
from tests.server.world import (
    REFUSAL,
    Got,
    Request,
    Script,
    SmallView,
    World,
    Writer,
    policy,
    says_json,
    says_stream,
    spoken,
    sse,
    whole,
    world,
)

HALF = " ".join(PASSAGE.split()[:9])
TREATY = "The old copper treaty was signed in the spring by all."
ALLOW, FLAG = policy(in_context=InContext.ALLOW), policy(in_context=InContext.FLAG)
CALL = {"id": "1", "type": "function", "function": {"name": "note", "arguments": f'{{"text": "{PASSAGE}"}}'}}
FORMS = [(path, stream) for path in ("chat", "completions") for stream in (False, True)]


def messages(text: str, role: str = "user") -> list[dict[str, Any]]:
    asked = [] if role == "user" else [{"role": "user", "content": "Go on."}]
    return [{"role": role, "content": text, "tool_call_id": "call_1"}, *asked]


def body(path: str, text: str, stream: bool = False, **more: Any) -> dict[str, Any]:
    given = {"messages": messages(text)} if path == "chat" else {"prompt": text}
    return {"model": "tiny", "stream": stream, **given, **more}


def answers(path: str, said: str, stream: bool, choices: int = 1) -> Script:
    """An upstream that says this, a few characters at a time when it streams."""
    pieces = [said[i : i + 5] for i in range(0, len(said), 5)]
    if path == "chat":
        if stream:
            return says_stream(sse([event for n in range(choices) for event in spoken(*pieces, choice=n)]))
        answer = whole(said)
        answer["choices"] = [{**answer["choices"][0], "index": n} for n in range(choices)]
        return says_json(answer)
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "tiny"}
    if stream:
        ends = [*((piece, None) for piece in pieces), ("", "stop")]
        made = [
            {**head, "choices": [{"index": n, "text": text, "logprobs": None, "finish_reason": end}]}
            for n in range(choices)
            for text, end in ends
        ]
        return says_stream(sse(made))
    made = [{"index": n, "text": said, "logprobs": None, "finish_reason": "stop"} for n in range(choices)]
    return says_json({**head, "choices": made, "usage": None})


def said_by(got: Got, path: str, stream: bool, choice: int = 0) -> str:
    if path == "chat":
        return got.text(choice) if stream else got.json["choices"][choice]["message"]["content"]
    if not stream:
        return str(got.json["choices"][choice]["text"])
    entries = [entry for event in got.events[:-1] for entry in event["choices"]]
    return "".join(entry["text"] for entry in entries if entry["index"] == choice)


async def ask(w: World, form: tuple[str, bool], said: str, supplied: str, **more: Any) -> str:
    path, stream = form
    w.upstream.scripts = [answers(path, said, stream)]
    got = await w.call("/v1/" + path.replace("chat", "chat/completions"), body(path, supplied, stream, **more))
    assert got.status == 200, got.body
    return said_by(got, path, stream)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("streaming", list(Streaming))
async def test_the_users_own_passage_comes_back(form: tuple[str, bool], streaming: Streaming) -> None:
    said = f"You wrote: {PASSAGE}. It is fine."
    async with world(policy=policy(in_context=InContext.ALLOW, streaming=streaming)) as w:
        assert await ask(w, form, said, f"Check my text: {PASSAGE}.") == said
        seen = w.notebook.of(InContextObserved)
        assert {(s.side, s.entry_id, s.kind, s.rule) for s in seen} == {
            (Side.PROMPT, "p1", Kind.PASSAGE, InContext.ALLOW),
            (Side.ANSWER, "p1", Kind.PASSAGE, InContext.ALLOW),
        }
        assert len(seen) == 2
        assert w.notebook.of(DecisionObserved) == []
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.ALLOWED


@pytest.mark.parametrize("form", FORMS, ids=str)
async def test_the_same_answer_is_suppressed_when_the_user_did_not_bring_it(form: tuple[str, bool]) -> None:
    async with world(policy=ALLOW) as w:
        said = await ask(w, form, f"You wrote: {PASSAGE}. It is fine.", "Check my text, will you?")
        assert said.endswith(REFUSAL)
        assert "keeper of orsk" not in said
        assert w.notebook.of(InContextObserved) == []


@pytest.mark.parametrize("form", FORMS, ids=str)
async def test_by_default_what_the_user_brought_is_suppressed_too(form: tuple[str, bool]) -> None:
    async with world() as w:
        assert (await ask(w, form, f"You wrote: {PASSAGE}.", f"Check: {PASSAGE}.")).endswith(REFUSAL)
        assert w.notebook.of(InContextObserved) == []


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("streaming", list(Streaming))
async def test_the_continuation_of_the_users_half_is_suppressed(form: tuple[str, bool], streaming: Streaming) -> None:
    async with world(policy=policy(in_context=InContext.ALLOW, streaming=streaming)) as w:
        said = await ask(w, form, f"You wrote: {HALF}. All of it: {PASSAGE}.", f"Go on from here: {HALF}")
        assert said.endswith(REFUSAL)
        rest = " ".join(PASSAGE.split()[9:])
        assert not any(word in words_norm(said) for word in ("answers", "slow", "green"))
        assert rest not in said
        stopped = [row for row in w.notebook.of(DecisionObserved) if row.side is Side.ANSWER]
        assert [(row.entry_id, row.action, row.counted) for row in stopped] == [("p1", Action.BLOCK, True)]


def words_norm(text: str) -> set[str]:
    return {word.norm for word in words_of(text)}


@pytest.mark.parametrize("form", FORMS, ids=str)
async def test_what_an_embedding_finds_is_excused_only_as_a_whole(form: tuple[str, bool]) -> None:
    async with world(policy=ALLOW) as w:
        assert await ask(w, form, TREATY, f"Summarise: {TREATY}") == TREATY
        new = "The old copper treaty was signed in the capital."
        assert (await ask(w, form, new, f"Summarise: {TREATY}")).endswith(REFUSAL)
        # halves that stand apart in the user's text, put together by the model
        apart = "The old treaty was signed in the spring. The roof of the house was made of copper plates."
        assert (await ask(w, form, "The treaty was made of copper plates.", apart)).endswith(REFUSAL)


@pytest.mark.parametrize("form", FORMS, ids=str)
async def test_a_flag_lets_it_pass_and_tells_it_apart_from_what_was_recalled(form: tuple[str, bool]) -> None:
    said = f"You wrote: {PASSAGE}."
    async with world(policy=FLAG) as w:
        assert await ask(w, form, said, f"Check: {PASSAGE}.") == said
        rows = w.notebook.of(DecisionObserved)
        assert {(r.side, r.entry_id, r.action) for r in rows} == {(side, "p1", Action.FLAG) for side in Side}
        assert [r.counted for r in rows if r.side is Side.ANSWER] == [False]
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.FLAGGED
        assert {s.rule for s in w.notebook.of(InContextObserved)} == {InContext.FLAG}


async def test_every_choice_may_repeat_it_and_one_that_goes_on_is_stopped_alone() -> None:
    fine, leak = f"You wrote: {HALF}.", f"You wrote: {PASSAGE}."
    async with world(policy=ALLOW) as w:
        w.upstream.scripts = [says_stream(sse([*spoken(fine, choice=0), *spoken(leak, choice=1)]))]
        got = await w.chat({"messages": messages(HALF), "n": 2, "stream": True})
        assert got.text(0) == fine
        assert got.text(1).endswith(REFUSAL)
        assert (got.finish(0), got.finish(1)) == (["stop"], ["content_filter"])


@pytest.mark.parametrize(
    ("more", "excused"),
    [
        ({"messages": messages(PASSAGE, "tool")}, True),
        ({"messages": messages(PASSAGE, "function")}, True),
        ({"messages": messages("Hello."), "documents": [{"title": "t", "text": PASSAGE}]}, True),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": PASSAGE}]}]}, True),
        ({"messages": messages(PASSAGE, "system")}, False),
        ({"messages": messages(PASSAGE, "developer")}, False),
        ({"messages": messages(PASSAGE, "assistant")}, False),
        ({"messages": [{"role": "assistant", "tool_calls": [CALL]}, *messages("Go on.")]}, False),
        ({"messages": messages("Hello."), "chat_template_kwargs": {"hint": PASSAGE}}, False),
    ],
)
async def test_only_the_user_tools_and_documents_supply(more: dict[str, Any], excused: bool) -> None:
    said = f"It says: {PASSAGE}."
    async with world(policy=ALLOW) as w:
        w.upstream.scripts = [says_json(whole(said))]
        got = await w.chat(more)
        assert (got.json["choices"][0]["message"]["content"] == said) is excused


async def test_what_an_earlier_request_supplied_excuses_nothing() -> None:
    async with world(policy=ALLOW) as w:
        said = f"You wrote: {PASSAGE}."
        assert await ask(w, ("chat", False), said, PASSAGE) == said
        assert await ask(w, ("chat", False), said, "What did I write?") == REFUSAL


async def test_a_prompt_that_blocks_lets_the_users_own_text_through_and_nobody_elses() -> None:
    blocking = Policy(prompt_actions=dict.fromkeys(Kind, Action.BLOCK), in_context=InContext.ALLOW)
    async with world(policy=blocking) as w:
        assert await ask(w, ("chat", False), "Fine.", f"Check: {PASSAGE}.") == "Fine."
        w.upstream.scripts = [says_json(whole("Fine."))]
        got = await w.chat({"messages": messages(PASSAGE, "system")})
        assert got.json["choices"][0]["message"]["content"] == REFUSAL
    async with world(policy=Policy(prompt_actions=dict.fromkeys(Kind, Action.BLOCK))) as w:
        assert await ask(w, ("chat", False), "Fine.", f"Check: {PASSAGE}.") == REFUSAL


async def test_an_excused_prompt_still_makes_its_answer_strict() -> None:
    """The first sentence must not leave before the one after it was judged with it."""
    said = ("The first one was a treaty.", " It was about copper.")
    async with world(policy=ALLOW) as w:
        for asked, strict in ((f"Check: {PASSAGE}", True), ("Check it.", False)):
            w.upstream.scripts = [says_stream(sse(spoken(*said)))]
            got = await w.chat({"messages": messages(asked), "stream": True})
            assert got.text().endswith(REFUSAL)
            assert got.text().startswith(said[0]) is not strict


async def test_shadow_policies_do_not_tell_what_is_excused() -> None:
    async with world(policy=policy(in_context=InContext.ALLOW, mode=Mode.SHADOW)) as w:
        await ask(w, ("chat", False), f"You wrote: {PASSAGE}.", PASSAGE)
        assert w.notebook.of(DecisionObserved) == []
        assert len(w.notebook.of(InContextObserved)) == 2


async def test_an_echoing_model_may_echo_the_user() -> None:
    async def echo(request: Request, writer: Writer) -> None:
        await says_json(whole(request.json["messages"][-1]["content"]))(request, writer)

    async with world(policy=ALLOW) as w:
        w.upstream.scripts = [echo]
        for text in (PASSAGE, PASSAGE.upper(), TREATY, f"{TREATY}\n\n{PASSAGE}"):
            got = await w.chat({"messages": messages(text)})
            assert got.json["choices"][0]["message"]["content"] == text


# -- the rule by itself -----------------------------------------------------------------------------------------------


def found(detector: str = "embedding", view: str = "plain", start: int = 0, end: int = len(TREATY)) -> Match:
    return Match("f1", Kind.FACT, detector, 0.9, 0.8, start, end, view)


WINDOW = Window(TREATY, 0, len(TREATY))


def test_a_dressed_reading_is_never_excused() -> None:
    rule = InContextRule([TREATY])
    assert rule.in_window(WINDOW, Side.ANSWER)(found(), ALLOW) is Action.ALLOW
    assert rule.in_window(WINDOW, Side.ANSWER)(found(view="base64"), ALLOW) is Action.BLOCK
    assert rule.in_window(WINDOW, Side.PROMPT)(found(view="rot13"), ALLOW) is Action.BLOCK


def test_texts_are_read_only_when_a_policy_asks() -> None:
    class Texts(tuple[str, ...]):
        __slots__ = ()

        def __iter__(self) -> Any:
            raise AssertionError("they were read")

    rule = InContextRule(Texts([TREATY]))
    for asks_nothing in (policy(), policy(Action.ALLOW, in_context=InContext.ALLOW)):
        assert rule.in_window(WINDOW, Side.ANSWER)(found(), asks_nothing) is Action.BLOCK
    with pytest.raises(AssertionError, match="read"):
        rule.in_window(WINDOW, Side.ANSWER)(found(), ALLOW)


def test_only_the_span_of_a_fingerprint_must_be_the_users() -> None:
    rule = InContextRule(["old copper treaty"])
    assert rule.in_window(WINDOW, Side.ANSWER)(found("fingerprint", start=4, end=21), ALLOW) is Action.ALLOW
    assert rule.in_window(WINDOW, Side.ANSWER)(found("fingerprint", start=4, end=25), ALLOW) is Action.BLOCK
    redacted = Window("The [redacted] copper treaty", 0, len(TREATY))
    assert rule.in_window(redacted, Side.ANSWER)(found("fingerprint", start=4, end=21), ALLOW) is Action.BLOCK


def test_the_strongest_excused_match_of_an_entry_is_kept_per_side() -> None:
    rule = InContextRule([TREATY])
    weak, strong = found(), Match("f1", Kind.FACT, "fingerprint", 1.0, 1.0, 0, len(TREATY))
    for match in (weak, strong, weak):
        rule.in_window(WINDOW, Side.ANSWER)(match, ALLOW)
    assert rule.excused == {(Side.ANSWER, "f1"): strong}


def test_a_run_that_the_watcher_no_longer_remembers_is_not_excused() -> None:
    memory = Remembering(SmallView(None, ALLOW).watcher(), most=2)  # type: ignore[arg-type]  # no detector is asked
    found_there = [match for word in words_of(PASSAGE) for match in memory.push(word)]
    assert InContextRule([PASSAGE]).in_run(memory)(found_there[0], ALLOW) is Action.BLOCK
