"""What goes wrong: the client gets a clear error in its API's form, nothing unguarded leaves, nothing hangs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guard.policy import FailureRule, Streaming
from server.batching import BatchLimits
from server.observation import (
    DecisionObserved,
    Degraded,
    RequestObserved,
    RequestOutcome,
    UpstreamFailed,
    UpstreamReason,
)
from server.upstream import Timeouts
from tests.server.world import (
    Got,
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

FINE = ("Rain falls", " on the old", " harbour.", " Gulls", " cry", " again.")
QUICK = Timeouts(connect=0.5, first_byte=0.3, idle=0.2, total=1.0)


def is_error(body: Any) -> bool:
    error = body["error"]
    return set(error) == {"message", "type", "param", "code"} and isinstance(error["message"], str) and error["message"]


# -- requests --

CHAT: list[tuple[str, bytes, str | None]] = [
    ("empty", b"", None),
    ("not JSON", b'{"messages": [', None),
    ("not an object", b"[]", None),
    ("a string", b'"hello"', None),
    ("not UTF-8", b'{"messages":[{"role":"user","content":"\xff"}]}', None),
    ("UTF-16", '{"messages":[]}'.encode("utf-16"), None),
    ("a lone surrogate", b'{"messages":[{"role":"user","content":"\\ud800"}]}', None),
    ("a lone surrogate in UTF-8", b'{"messages":[{"role":"user","content":"\xed\xa0\x80"}]}', None),
    ("NaN", b'{"messages":[],"temperature":NaN}', None),
    ("too deep", b'{"messages":' + b"[" * 2000 + b"]" * 2000 + b"}", None),
    ("no messages", b'{"model":"tiny"}', "messages"),
    ("messages of a wrong type", b'{"messages":"hello"}', "messages"),
    ("null messages", b'{"messages":null}', "messages"),
    ("a message of a wrong type", b'{"messages":["hello"]}', "messages[0]"),
    ("no role", b'{"messages":[{"content":"x"}]}', "messages[0].role"),
    ("content of a wrong type", b'{"messages":[{"role":"user","content":5}]}', "messages[0].content"),
    ("a part of a wrong type", b'{"messages":[{"role":"user","content":[5]}]}', "messages[0].content"),
    ("stream of a wrong type", b'{"messages":[],"stream":"yes"}', "stream"),
    ("n of a wrong type", b'{"messages":[],"n":"2"}', "n"),
    ("n of nothing", b'{"messages":[],"n":0}', "n"),
    ("n without end", b'{"messages":[],"n":1000000}', "n"),
    ("a truth value as n", b'{"messages":[],"n":true}', "n"),
    ("a model of a wrong type", b'{"messages":[],"model":5}', "model"),
    ("stream options of a wrong type", b'{"messages":[],"stream":true,"stream_options":[]}', "stream_options"),
    (
        "a stream option of a wrong type",
        b'{"messages":[],"stream":true,"stream_options":{"include_usage":1}}',
        "stream_options.include_usage",
    ),
]


@pytest.mark.parametrize(("raw", "param"), [case[1:] for case in CHAT], ids=[case[0] for case in CHAT])
async def test_a_request_that_cannot_be_read_is_refused(raw: bytes, param: str | None) -> None:
    async with world() as w:
        got = await w.call("/v1/chat/completions", raw)
        assert got.status == 400
        assert is_error(got.json)
        assert got.json["error"]["param"] == param
        assert w.upstream.requests == []
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.CLIENT_ERROR


REFUSED: list[tuple[str, Any]] = [
    ("echo", True),
    ("chat_template", "{{ messages }}"),
    ("continue_final_message", True),
    ("add_generation_prompt", False),
    ("use_beam_search", True),
    ("kv_transfer_params", {"do_remote_decode": True}),
    ("allowed_token_ids", [5, 6]),
    ("logits_processors", ["a.b"]),
    ("vllm_xargs", {"a": 1}),
    ("prompt_embeds", "AAAA"),
]
HARMLESS: list[tuple[str, Any]] = [
    ("echo", False),
    ("chat_template", None),
    ("continue_final_message", False),
    ("add_generation_prompt", True),
    ("logprobs", False),
    ("top_logprobs", None),
    ("response_format", {"type": "json_object"}),
    ("structured_outputs", {"choice": ["a", "b"]}),
    ("guided_json", {"type": "object"}),
    ("chat_template_kwargs", {"enable_thinking": False}),
    ("logit_bias", {"5": 1.0}),
]
STRIPPED: list[tuple[str, Any]] = [
    ("logprobs", True),
    ("logprobs", 0),
    ("top_logprobs", 5),
    ("prompt_logprobs", 0),
    ("return_token_ids", True),
    ("return_tokens_as_token_ids", True),
    ("return_prompt_text", True),
    ("logprob_token_ids", [1]),
    ("an_option_of_tomorrow", {"a": [1]}),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
async def test_an_option_that_forces_text_is_refused(name: str, value: Any) -> None:
    async with world() as w:
        got = await w.chat({name: value})
        assert got.status == 400
        assert got.json["error"]["param"] == name
        assert w.upstream.requests == []


@pytest.mark.parametrize("kwargs", [{"chat_template": "x"}, {"continue_final_message": True}, {"tokenize": True}])
async def test_the_same_inside_the_templates_own_options(kwargs: dict[str, Any]) -> None:
    async with world() as w:
        assert (await w.chat({"chat_template_kwargs": kwargs})).status == 400


@pytest.mark.parametrize(("name", "value"), HARMLESS)
async def test_every_other_option_goes_up_as_it_is(name: str, value: Any) -> None:
    async with world() as w:
        w.upstream.scripts = [says_json(whole("Fine."))]
        assert (await w.chat({name: value})).status == 200
        assert w.upstream.requests[0].json == chat_body(**{name: value})


@pytest.mark.parametrize(("name", "value"), STRIPPED)
async def test_an_option_that_shows_tokens_is_taken_out(name: str, value: Any) -> None:
    async with world() as w:
        w.upstream.scripts = [says_json(whole("Fine."))]
        got = await w.chat({name: value, "seed": 7})
        assert got.json == whole("Fine.")
        assert w.upstream.requests[0].json == chat_body(seed=7)
        assert w.notebook.of(RequestObserved)[0].stripped == (name,)


@pytest.mark.parametrize("prompt", [None, 5, [], [1, 2, 3], [[1, 2]], ["a", 1], {"a": "b"}])
async def test_a_prompt_that_cannot_be_read_is_refused(prompt: Any) -> None:
    async with world() as w:
        got = await w.call("/v1/completions", {"model": "tiny", "prompt": prompt})
        assert (got.status, got.json["error"]["param"]) == (400, "prompt")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_is_too_long_is_refused_while_it_is_read(declared: bool) -> None:
    body = chat_body(messages=[{"role": "user", "content": "a" * 10_000_000}])
    async with world() as w:
        got = await w.call("/v1/chat/completions", body, headers={} if declared else {"content-length": "x"})
        assert got.status == 413
        assert is_error(got.json)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/embeddings"),
        ("POST", "/invocations"),
        ("POST", "/tokenize"),
        ("GET", "/metrics"),
        ("POST", "/v1/models"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/v1//chat/completions"),
        ("POST", "/V1/chat/completions"),
        ("POST", "/v1/chat/completions/batch"),
        ("POST", "/v1/load_lora_adapter"),
        ("OPTIONS", "/v1/chat/completions"),
    ],
)
async def test_everything_that_is_not_guarded_is_not_there(method: str, path: str) -> None:
    async with world() as w:
        got = await w.call(path, chat_body(), method=method)
        assert got.status == 404
        assert is_error(got.json)
        assert w.upstream.requests == []


# -- upstream --


def breaks_after(data: bytes) -> Any:
    return says_stream(data, closed=False)


async def silent(*_: Any) -> None:
    await asyncio.sleep(30)


async def hangs_up(_: Any, writer: Writer) -> None:
    await writer.raw(b"")


async def says_nonsense(_: Any, writer: Writer) -> None:
    await writer.raw(b"\x00\x01 nonsense\r\n\r\n")


async def stalls_inside(_: Any, writer: Writer) -> None:
    await writer.head(200, "application/json", content_length="5000")
    await writer.raw(b'{"id": "copper treaty')
    await asyncio.sleep(30)


async def breaks_inside(_: Any, writer: Writer) -> None:
    await writer.head(200, "application/json", content_length="5000")
    await writer.raw(b'{"id": "copper treaty')


HTML = says_json(b"<html><body>the copper treaty</body></html>", content_type="text/html")
WHOLE_FAULTS: list[tuple[str, Any, int, UpstreamReason]] = [
    ("HTML", HTML, 502, UpstreamReason.PROTOCOL),
    ("HTML as an error", says_json(b"<html>copper treaty", 500, "text/html"), 502, UpstreamReason.STATUS),
    ("not JSON", says_json(b'{"id": "copper treaty'), 502, UpstreamReason.PROTOCOL),
    ("a list", says_json([1]), 502, UpstreamReason.PROTOCOL),
    ("no choices", says_json({"id": "x"}), 502, UpstreamReason.PROTOCOL),
    ("choices of a wrong type", says_json({"choices": 5}), 502, UpstreamReason.PROTOCOL),
    ("a choice of a wrong type", says_json({"choices": [5]}), 502, UpstreamReason.PROTOCOL),
    ("a choice too many", says_json({"choices": [{"index": 7, "message": {}}]}), 502, UpstreamReason.PROTOCOL),
    ("a redirect", says_json({}, 302, location="http://127.0.0.1:1/"), 502, UpstreamReason.STATUS),
    ("silence", silent, 504, UpstreamReason.TIMEOUT),
    ("hangs up", hangs_up, 502, UpstreamReason.CLOSED),
    ("not HTTP", says_nonsense, 502, UpstreamReason.PROTOCOL),
    ("stalls", stalls_inside, 504, UpstreamReason.IDLE),
    ("closes midway", breaks_inside, 502, UpstreamReason.CLOSED),
]


@pytest.mark.parametrize(
    ("script", "status", "reason"), [c[1:] for c in WHOLE_FAULTS], ids=[c[0] for c in WHOLE_FAULTS]
)
async def test_a_whole_answer_that_goes_wrong(script: Any, status: int, reason: UpstreamReason) -> None:
    async with world(QUICK) as w:
        w.upstream.scripts = [script]
        got = await w.chat()
        assert got.status == status
        assert is_error(got.json)
        assert "treaty" not in got.body.decode()
        assert [seen.reason for seen in w.notebook.of(UpstreamFailed)] == [reason]
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.UPSTREAM_ERROR


BEGUN = spoken(*FINE[:3])[:-1]
BAD_EVENT = {
    "id": "x",
    "object": "chat.completion.chunk",
    "choices": [{"index": 9, "delta": {"content": "copper treaty"}}],
}
STREAM_FAULTS: list[tuple[str, Any, UpstreamReason]] = [
    ("closes midway", breaks_after(sse(BEGUN, done=False)), UpstreamReason.CLOSED),
    ("ends too early", says_stream(sse(BEGUN, done=False)), UpstreamReason.CLOSED),
    ("ends inside an event", says_stream(sse(BEGUN, done=False) + b'data: {"copper treaty'), UpstreamReason.CLOSED),
    ("a broken frame", says_stream(sse(BEGUN, done=False) + b'data: {"copper treaty\n\n'), UpstreamReason.PROTOCOL),
    (
        "HTML midway",
        says_stream(sse(BEGUN, done=False) + b"data: <html>copper treaty</html>\n\n"),
        UpstreamReason.PROTOCOL,
    ),
    ("a strange choice", says_stream(sse([*BEGUN, BAD_EVENT], done=False)), UpstreamReason.PROTOCOL),
    ("stalls", says_stream(sse(BEGUN, done=False), then=30.0), UpstreamReason.IDLE),
    ("an endless event", says_stream(sse(BEGUN, done=False) + b"data: " + b"x" * 9_000_000), UpstreamReason.PROTOCOL),
]


@pytest.mark.parametrize(("script", "reason"), [c[1:] for c in STREAM_FAULTS], ids=[c[0] for c in STREAM_FAULTS])
async def test_a_stream_that_goes_wrong_ends_with_an_error_event(script: Any, reason: UpstreamReason) -> None:
    async with world(QUICK) as w:
        w.upstream.scripts = [script]
        got = await w.chat({"stream": True})
        assert (got.status, got.complete) == (200, True)
        assert is_error(got.events[-2])
        assert got.events[-1] == "[DONE]"
        assert got.text() == "".join(FINE[:3])
        assert "treaty" not in got.body.decode()
        assert [seen.reason for seen in w.notebook.of(UpstreamFailed)] == [reason]


async def test_condemned_text_does_not_leave_when_upstream_fails_before_it_was_judged() -> None:
    events = [chunk({"role": "assistant", "content": ""}), chunk({"content": "copper "}), chunk({"content": "treaty"})]
    async with world(QUICK) as w:
        w.upstream.scripts = [breaks_after(sse(events, done=False))]
        got = await w.chat({"stream": True})
        assert "treaty" not in got.body.decode()
        assert got.events[-1] == "[DONE]"


async def test_a_stream_that_never_began_is_an_ordinary_error() -> None:
    async with world(QUICK) as w:
        for script, status in ((HTML, 502), (silent, 504), (hangs_up, 502), (says_json(whole("copper treaty")), 502)):
            w.upstream.scripts = [script]
            got = await w.chat({"stream": True})
            assert (got.status, got.headers["content-type"]) == (status, "application/json")
            assert is_error(got.json)
            assert "treaty" not in got.body.decode()


async def test_an_upstream_that_is_not_there_is_told_so() -> None:
    async with world(QUICK, nobody=True) as w:
        for stream in (True, False):
            got = await w.chat({"stream": stream})
            assert got.status == 503
            assert is_error(got.json)
        assert [seen.reason for seen in w.notebook.of(UpstreamFailed)] == [UpstreamReason.CONNECT] * 2


ERRORS: list[tuple[str, Any, int, dict[str, str]]] = [
    ("429", {"message": "slow down", "type": "RateLimit", "param": None, "code": 429}, 429, {"retry_after": "7"}),
    ("500", {"message": "it broke", "type": "InternalServerError", "param": None, "code": 500}, 500, {}),
    (
        "404",
        {"message": "The model `x` does not exist.", "type": "NotFoundError", "param": "model", "code": 404},
        404,
        {},
    ),
    ("400", {"message": "too long", "type": "BadRequestError", "param": "input_text", "code": 400}, 400, {}),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("error", "status", "headers"), [c[1:] for c in ERRORS], ids=[c[0] for c in ERRORS])
async def test_an_error_of_upstream_is_passed_on(
    error: Any, status: int, headers: dict[str, str], stream: bool
) -> None:
    async with world() as w:
        w.upstream.scripts = [says_json({"error": {**error, "new": "copper"}, "trace": "copper"}, status, **headers)]
        got = await w.chat({"stream": stream})
        assert (got.status, got.json) == (status, {"error": error})
        assert got.headers.get("retry-after") == headers.get("retry_after")


@pytest.mark.parametrize("where", ["body", "event"])
async def test_the_message_of_an_error_is_guarded(where: str) -> None:
    error = {"message": "invalid input: the copper treaty was signed", "type": "BadRequestError", "code": 400}
    async with world() as w:
        if where == "body":
            w.upstream.scripts = [says_json({"error": error}, 400)]
            got = await w.chat()
            assert got.status == 400
            told = got.json["error"]
        else:
            w.upstream.scripts = [says_stream(sse([*BEGUN, {"error": error}]))]
            got = await w.chat({"stream": True})
            told = got.events[-2]["error"]
            assert got.events[-1] == "[DONE]"
        assert told["type"] == "BadRequestError"
        assert "treaty" not in got.body.decode()
        w.upstream.scripts = [says_json({"error": {**error, "message": "invalid input"}}, 400)]
        assert (await w.chat()).json["error"]["message"] == "invalid input"


# -- the guard itself --


def unavailable(w: World, got: Got) -> None:
    assert got.status == 503
    assert is_error(got.json)
    assert got.headers["retry-after"] == "1"
    assert w.notebook.of(RequestObserved)[-1].outcome is RequestOutcome.UNAVAILABLE
    assert w.notebook.of(DecisionObserved) == []


@pytest.mark.parametrize("stream", [True, False])
async def test_without_a_verdict_nothing_is_answered(stream: bool) -> None:
    async with world() as w:
        w.detector.failing = True
        w.upstream.scripts = [says_stream(sse(spoken(*FINE))) if stream else says_json(whole("Fine words here."))]
        unavailable(w, await w.chat({"stream": stream}))
        assert w.notebook.of(Degraded)[0].stage == "embedding"


async def test_a_detector_that_fails_midway_ends_the_stream_with_an_error() -> None:
    async with world(policy=policy(streaming=Streaming.STRICT)) as w:

        async def speaks_then_fails(_: Any, writer: Writer) -> None:
            await writer.head(200, "text/event-stream", transfer_encoding="chunked")
            await writer.chunk(sse(spoken(*FINE)[:-1], done=False))
            await asyncio.sleep(0.2)
            w.detector.failing = True
            await writer.chunk(sse([chunk({"content": " More words come. Then more."})], done=False))
            await asyncio.sleep(30)

        w.upstream.scripts = [speaks_then_fails]
        got = await w.chat({"stream": True})
        assert is_error(got.events[-2])
        assert got.events[-1] == "[DONE]"
        assert "More" not in got.body.decode()
        assert got.finish() == []
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.UNAVAILABLE


async def test_a_policy_may_let_text_pass_that_could_not_be_judged() -> None:
    async with world(policy=policy(on_failure=FailureRule.ALLOW)) as w:
        w.detector.failing = True
        w.upstream.scripts = [says_json(whole("Fine words here."))]
        assert (await w.chat()).json == whole("Fine words here.")
        assert w.notebook.of(Degraded)


async def test_an_index_that_is_not_ready_answers_nothing() -> None:
    async with world() as w:
        w.index.ready = False
        unavailable(w, await w.chat())
        assert w.upstream.requests == []


async def test_a_verdict_that_comes_too_late_is_no_verdict() -> None:
    async with world(limits=BatchLimits(timeout_s=0.05)) as w:
        w.detector.delay = 0.2
        unavailable(w, await w.chat())


async def test_a_defect_of_ours_tells_the_client_nothing() -> None:
    async with world() as w:
        w.index.shown.policy = None  # type: ignore[assignment]
        w.index.shown.rules = None  # type: ignore[assignment]
        w.upstream.scripts = [says_json(whole("Fine words here."))]
        got = await w.chat()
        assert got.status == 500
        assert is_error(got.json)
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.ERROR
