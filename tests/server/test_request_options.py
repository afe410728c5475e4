"""Request options as a client meets them: each by its default and by what the operator wants, in both dialects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guard.policy import InContext
from guard.verdict import Action, Kind
from index.embedder import Embedder
from server.dialects import dialects_of
from server.dialects.option_table import GUARD, PASS, REFUSE, STRIP, USUAL, Options, Surface, Treatment
from server.dialects.request_fields import CHAT_REQUEST, COMPLETIONS_REQUEST
from server.observation import RequestObserved, RequestOutcome
from server.offer import Offer
from tests.guard.streams import PASSAGE
from tests.server.operators import operators
from tests.server.world import (
    REFUSAL,
    Got,
    LoopbackUpstream,
    Request,
    World,
    Writer,
    chat_body,
    chunk,
    policy,
    says_json,
    says_stream,
    sse,
    whole,
    world,
)

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
BOTH = pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
PROMPTS = policy(prompt_actions=dict.fromkeys(Kind, Action.BLOCK))
VALUES: dict[str, Any] = {
    "logprobs": 1,
    "add_generation_prompt": False,
    "structured_outputs": {"choice": ["a"]},
    "response_format": {"type": "json_object"},
    "stop": ["\n"],
    "bad_words": ["gull"],
    "logit_bias": {"5": 1.0},
    "guided_json": {"type": "object"},
    "chat_template_kwargs": {"enable_thinking": False},
    "kv_transfer_params": {"prompt_token_ids": [1]},
    "documents": [{"text": "of rain"}],
}


def allows(**changed: Treatment) -> Offer:
    return Offer(Surface(changed))


def body_of(path: str, **changes: Any) -> dict[str, Any]:
    return chat_body(**changes) if path == CHAT else {"model": "tiny", "prompt": "Tell me of rain.", **changes}


def said(path: str, text: str, **choice: Any) -> dict[str, Any]:
    if path == CHAT:
        answer = whole(text)
        answer["choices"][0] |= choice
        return answer
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "tiny"}
    return {**head, "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": "stop", **choice}]}


async def ask(w: World, path: str, text: str = "Fine.", **changes: Any) -> Got:
    w.upstream.scripts = [says_json(said(path, text))]
    return await w.call(path, body_of(path, **changes))


def cases() -> list[Any]:
    tables: dict[str, Options] = {CHAT: CHAT_REQUEST.options, COMPLETIONS: COMPLETIONS_REQUEST.options}
    return [
        pytest.param(path, name, treatment, id=f"{path}-{name}-{treatment}")
        for path, table in tables.items()
        for name, option in table.items()
        for treatment in option.allowed
    ]


@pytest.mark.parametrize(("path", "name", "treatment"), cases())
async def test_every_option_is_treated_as_the_operator_says(path: str, name: str, treatment: Treatment) -> None:
    value = VALUES.get(name, 7)
    async with world(offer=allows(**{name: treatment})) as w:
        got = await ask(w, path, **{name: value})
        if treatment is REFUSE:
            assert (got.status, got.json["error"]["param"]) == (400, name)
            assert got.json["error"]["code"] == "option_not_allowed"
            assert w.upstream.requests == []
            return
        sent = w.upstream.requests[0].json
        assert got.status == 200
        assert sent == body_of(path, **({} if treatment is STRIP else {name: value}))
        assert w.notebook.of(RequestObserved)[0].stripped == ((name,) if treatment is STRIP else ())


@BOTH
async def test_fields_that_nobody_knows_are_dropped_or_refused(path: str) -> None:
    odd = {"a_field_of_tomorrow": PASSAGE, PASSAGE: 1}
    async with world() as w:
        assert (await ask(w, path, **odd)).status == 200
        assert w.upstream.requests[0].json == body_of(path)
        assert w.notebook.of(RequestObserved)[0].stripped == ("a field", "a_field_of_tomorrow")
    async with world(offer=Offer(Surface({}, REFUSE))) as w:
        for name in odd:
            got = await ask(w, path, **{name: 1})
            assert (got.status, got.json["error"]["code"]) == (400, "unknown_field")
            assert "keeper" not in got.body.decode()
        assert w.upstream.requests == []


@BOTH
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "forced",
    [
        {"stop": [PASSAGE]},
        {"stop": PASSAGE},
        {"bad_words": PASSAGE.split()},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"const": PASSAGE}}}},
        {"response_format": {"type": "structural_tag", "structures": [{"begin": PASSAGE}], "triggers": []}},
        {"structured_outputs": {"regex": PASSAGE.replace(" ", r"\s")}},
        {"structured_outputs": {"choice": ["no", PASSAGE]}},
        {"structured_outputs": {"grammar": 'root ::= "' + PASSAGE.replace(" ", ' " "') + '"'}},
        {"guided_json": json.dumps({"properties": {PASSAGE: {}}})},
        {"guided_choice": [PASSAGE]},
    ],
    ids=lambda forced: str(forced)[:40],
)
async def test_text_that_a_client_forces_is_judged_like_the_prompt(
    path: str, stream: bool, forced: dict[str, Any]
) -> None:
    async with world(policy=PROMPTS) as w:
        got = await ask(w, path, stream=stream, **forced)
        assert got.status == 200
        assert REFUSAL in got.body.decode()
        assert w.upstream.requests == []
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.BLOCKED


@pytest.mark.parametrize(
    "told",
    [
        {"tools": [{"type": "function", "function": {"name": "f", "description": PASSAGE}}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {PASSAGE: {}}}}}]},
        {"functions": [{"name": "f", "description": PASSAGE}]},
        {"prediction": {"type": "content", "content": PASSAGE}},
        {"documents": [{"title": "x", "text": PASSAGE}]},
        {"chat_template_kwargs": {"x": PASSAGE}},
        {"messages": [{"role": "user", "content": "Hi", "tool_call_id": PASSAGE}]},
        {"messages": [{"role": PASSAGE, "content": "Hi"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "id": PASSAGE}]}]},
    ],
    ids=lambda told: str(told)[:60],
)
async def test_all_that_a_chat_tells_the_model_is_judged(told: dict[str, Any]) -> None:
    async with world(policy=PROMPTS) as w:
        got = await ask(w, CHAT, **told)
        assert got.json["choices"][0]["finish_reason"] == "content_filter"
        assert w.upstream.requests == []


async def test_a_forced_text_is_not_the_users_own() -> None:
    """The in-context rule lets a user's own words come back: what a grammar forces are not these."""
    rule = policy(prompt_actions=dict.fromkeys(Kind, Action.BLOCK), in_context=InContext.ALLOW)
    async with world(policy=rule) as w:
        got = await ask(w, CHAT, PASSAGE, guided_choice=[PASSAGE])
        assert got.json["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize(
    ("part", "option"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, "images"),
        ({"image_url": "https://example.org/x.png"}, "images"),
        ({"type": "text", "text": "x", "image_pil": "AAAA"}, "images"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "audio"),
        ({"type": "video_url", "video_url": {"url": "https://example.org/x"}}, "video"),
        ({"type": "file", "file": {"file_data": "AAAA"}}, "files"),
        ({"type": "prompt_embeds", "data": "AAAA"}, "files"),
        ({"type": "a_medium_of_tomorrow", "data": "AAAA"}, "files"),
        ({"type": 7}, "files"),
    ],
)
async def test_parts_that_nobody_can_read(part: dict[str, Any], option: str) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]
    async with world() as w:
        got = await ask(w, CHAT, messages=messages)
        assert (got.status, got.json["error"]["param"]) == (400, "messages[0].content[1]")
        assert option in got.json["error"]["message"]
    async with world(offer=allows(**{option: PASS})) as w:
        assert (await ask(w, CHAT, messages=messages)).status == 200
        assert w.upstream.requests[0].json["messages"] == messages
    async with world(offer=allows(**{option: STRIP})) as w:
        assert (await ask(w, CHAT, messages=messages)).status == 200
        assert w.upstream.requests[0].json["messages"][0]["content"] == messages[0]["content"][:1]  # type: ignore[index]  # the list above
        assert w.notebook.of(RequestObserved)[0].stripped == (option,)


@pytest.mark.parametrize("prompt", [[1, 2, 3], [[1, 2], [3]]])
async def test_a_question_in_token_numbers_is_refused_unless_the_operator_trusts_it(prompt: Any) -> None:
    async with world() as w:
        got = await ask(w, COMPLETIONS, prompt=prompt)
        assert (got.status, got.json["error"]["param"]) == (400, "prompt")
    async with world(offer=allows(token_prompts=PASS)) as w:
        got = await ask(w, COMPLETIONS, "The copper treaty.", prompt=prompt)
        assert w.upstream.requests[0].json["prompt"] == prompt
        assert got.json["choices"][0]["finish_reason"] == "content_filter"


PREFIXED = [
    {"role": "user", "content": "Tell me of the harbour."},
    {"role": "assistant", "content": "It is all about the copper"},
]


async def test_an_answer_is_judged_together_with_the_words_that_it_goes_on_from() -> None:
    begun = {"continue_final_message": True, "add_generation_prompt": False}
    async with world(offer=allows(continue_final_message=GUARD, add_generation_prompt=GUARD)) as w:
        for more in ({}, begun):
            got = await ask(w, CHAT, "And the treaty of old.", messages=PREFIXED, **more)
            assert got.json["choices"][0]["finish_reason"] == "content_filter"
            fine = await ask(w, CHAT, "And the treaty of old.", messages=PREFIXED[:1])
            assert fine.json["choices"][0]["finish_reason"] == "stop"


async def test_a_prefix_can_be_refused_or_stripped() -> None:
    async with world(offer=allows(assistant_prefix=REFUSE)) as w:
        assert (await ask(w, CHAT, messages=PREFIXED)).json["error"]["param"] == "messages"
        assert (await ask(w, CHAT, messages=PREFIXED[:1])).status == 200
    async with world(offer=allows(assistant_prefix=STRIP)) as w:
        await ask(w, CHAT, messages=PREFIXED)
        assert w.upstream.requests[0].json["messages"] == PREFIXED[:1]


async def test_an_echo_that_is_guarded_is_judged_as_answer() -> None:
    async with world(offer=allows(echo=GUARD)) as w:
        got = await ask(w, COMPLETIONS, f"Tell me of rain. {PASSAGE}", echo=True)
        assert got.json["choices"][0]["finish_reason"] == "content_filter"
        assert "keeper" not in got.body.decode()


async def test_what_is_stripped_inside_the_templates_own_options_does_not_go_up() -> None:
    async with world(offer=allows(chat_template=STRIP)) as w:
        await ask(w, CHAT, chat_template_kwargs={"chat_template": "x", "enable_thinking": True})
        assert w.upstream.requests[0].json["chat_template_kwargs"] == {"enable_thinking": True}


# -- log probabilities --


def likely(*tokens: str) -> dict[str, Any]:
    """As vLLM tells it in a chat."""
    content = [
        {
            "token": token,
            "logprob": -0.5,
            "bytes": list(token.encode()),
            "top_logprobs": [{"token": other, "logprob": -1.0, "bytes": None} for other in (token, " copper")],
        }
        for token in tokens
    ]
    return {"content": content}


def tokens_of(logprobs: Any) -> list[str]:
    return [entry["token"] for entry in logprobs["content"]] if logprobs else []


async def test_guarded_log_probabilities_of_a_whole_answer() -> None:
    async with world(offer=allows(logprobs=GUARD)) as w:
        w.upstream.scripts = [says_json(said(CHAT, "Rain falls.", logprobs=likely("Rain", " falls", ".", "<end>")))]
        got = await w.chat({"logprobs": True})
        assert w.upstream.requests[0].json["logprobs"] is True
        assert tokens_of(got.json["choices"][0]["logprobs"]) == ["Rain", " falls", "."]
        assert "copper" not in got.body.decode()
        w.upstream.scripts = [says_json(said(CHAT, "The treaty.", logprobs=likely("The", " copper", " treaty")))]
        assert (await w.chat({"logprobs": True})).json["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("action", [Action.BLOCK, Action.REDACT])
async def test_what_is_suppressed_is_not_told_by_its_tokens(action: Action) -> None:
    words = ["It", *(f" {word}" for word in PASSAGE.split()), "."]
    async with world(offer=allows(logprobs=GUARD), policy=policy(action)) as w:
        w.upstream.scripts = [says_json(said(CHAT, "".join(words), logprobs=likely(*words)))]
        got = await w.chat({"logprobs": True})
        assert got.json["choices"][0]["logprobs"] is None
        assert "keeper" not in got.body.decode()
        events = [chunk({"role": "assistant", "content": ""})]
        events += [chunk({"content": word}) for word in words]
        for event, word in zip(events[1:], words, strict=True):
            event["choices"][0]["logprobs"] = likely(word)
        w.upstream.scripts = [says_stream(sse([*events, chunk({}, "stop")]))]
        streamed = await w.chat({"logprobs": True, "stream": True})
        assert "keeper" not in streamed.body.decode()
        for event in streamed.events[:-1]:
            for choice in event["choices"]:
                assert "".join(tokens_of(choice.get("logprobs"))) in ("", choice["delta"].get("content"))


async def test_a_stream_keeps_the_log_probabilities_of_what_leaves_and_its_bytes_where_it_can() -> None:
    def exact(token: str) -> dict[str, Any]:
        return {"content": [{"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": []}]}

    events = [chunk({"role": "assistant", "content": ""})]
    for word in ("Rain", " falls", " on", " the", " harbour."):
        events.append(chunk({"content": word}))
        events[-1]["choices"][0]["logprobs"] = exact(word)
    data = sse([*events, chunk({}, "stop")])
    async with world(offer=allows(logprobs=GUARD)) as w:
        for cuts in ([], range(1, len(data), 7)):
            w.upstream.scripts = [says_stream(data, list(cuts))]
            assert (await w.chat({"logprobs": True, "stream": True})).body == data
        odd = chunk({"content": " copper"})
        odd["choices"][0]["logprobs"] = exact(" treaty")
        w.upstream.scripts = [says_stream(sse([*events, odd, chunk({}, "stop")]))]
        assert b"treaty" not in (await w.chat({"logprobs": True, "stream": True})).body


async def test_guarded_log_probabilities_of_completions() -> None:
    told = {"tokens": ["Rain"], "token_logprobs": [-1.0], "top_logprobs": [{"Rain": -1.0, "copper": -2.0}]}
    async with world(offer=allows(logprobs=GUARD)) as w:
        w.upstream.scripts = [says_json(said(COMPLETIONS, "Rain", logprobs=told))]
        got = await w.call(COMPLETIONS, body_of(COMPLETIONS, logprobs=2))
        assert got.json["choices"][0]["logprobs"] == {**told, "top_logprobs": [{"Rain": -1.0}]}


# -- what a request tells the rest of the server --


@pytest.mark.parametrize(
    ("fields", "end_user"),
    [
        ({}, ""),
        ({"user": "u-1"}, "u-1"),
        ({"user": "u-1", "safety_identifier": "s-1"}, "s-1"),
        ({"user": "u-1", "safety_identifier": "x" * 201}, "u-1"),
        ({"user": 7}, ""),
    ],
)
@BOTH
def test_the_end_user_is_whom_the_client_names(path: str, fields: dict[str, Any], end_user: str) -> None:
    dialect = next(dialect for dialect in dialects_of(USUAL) if dialect.path == path)
    assert dialect.read(json.dumps(body_of(path, **fields)).encode()).end_user == end_user


@BOTH
async def test_of_a_field_that_stands_twice_upstream_sees_the_one_that_was_judged(path: str) -> None:
    async with world() as w:
        w.upstream.scripts = [says_json(said(path, "Fine."))]
        raw = json.dumps(body_of(path)).encode()
        twice = b'{"echo": true, "prompt_logprobs": 3, ' + raw[1:-1] + b', "echo": false, "prompt_logprobs": null}'
        assert (await w.call(path, twice)).status == 200
        assert w.upstream.requests[0].body.count(b"echo") == 1
        assert w.upstream.requests[0].json == body_of(path, echo=False, prompt_logprobs=None)


@BOTH
async def test_a_body_that_is_nested_too_deep_is_refused(path: str) -> None:
    async with world() as w:
        deep = b"[" * 900 + b"]" * 900
        for field in (b"guided_json", b"user", b"messages", b"stop"):
            raw = json.dumps(body_of(path)).encode()[:-1] + b', "' + field + b'": ' + deep + b"}"
            got = await w.call(path, raw)
            assert (got.status, got.json["error"]["code"]) == (400, "invalid_json")
        assert w.upstream.requests == []


async def test_the_settings_reach_the_served_application(tmp_path: Path, embedder: Embedder) -> None:
    loopback = LoopbackUpstream()
    loopback.scripts = [lists_one_adapter]
    settings: dict[str, Any] = {
        "request_options": "logit_bias=refuse,logprobs=guard",
        "unknown_fields": "refuse",
        "side_calls": "embeddings=pass",
        "adapters": "tuned",
    }
    async with loopback.serve() as base, operators(tmp_path, embedder, upstream=base, **settings) as lethe:
        models = await lethe.admin.get("/v1/models")
        assert [model["id"] for model in models.json()["data"]] == ["tiny", "tuned"]
        refused = [{"logit_bias": {"5": 1}}, {"of_tomorrow": 1}, {"model": "private"}]
        answers = [await lethe.admin.post(CHAT, json={**chat_body(), **changes}) for changes in refused]
        assert [got.json()["error"]["code"] for got in answers] == [
            "option_not_allowed",
            "unknown_field",
            "model_not_found",
        ]
        assert (await lethe.admin.post(CHAT, json=chat_body(model="tuned", logprobs=True))).status_code == 200
        assert loopback.requests[-1].json["logprobs"] is True
        assert (await lethe.admin.post("/v1/embeddings", json={"input": "rain"})).status_code == 200
        assert (await lethe.admin.post("/tokenize", json={"prompt": "rain"})).status_code == 404


async def lists_one_adapter(request: Request, writer: Writer) -> None:
    """A model server with a base model and two adapters."""
    data = [{"id": "tiny"}, {"id": "tuned", "parent": "tiny"}, {"id": "private", "parent": "tiny"}]
    answers = {"/v1/models": {"object": "list", "data": data}, "/v1/embeddings": {"object": "list", "data": []}}
    await says_json(answers.get(request.path, whole("Fine.")))(request, writer)
