"""A canary in what upstream says when it fails: the client learns that it failed, and nothing of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.guard.streams import PASSAGE
from tests.planted.canary import FACT, LONG_NAMES, TOKEN, WORDS, found
from tests.planted.catalog import ANSWERS
from tests.server.world import says_json, says_stream, world

_FINE = "The harbour is closed at night."


def _error(**fields: Any) -> dict[str, Any]:
    return {"error": {"message": _FINE, "type": "BadRequestError", "param": None, "code": 400, **fields}}


BODIES: dict[str, Any] = {
    "message": _error(message=f"cannot read: {PASSAGE}"),
    "message with a fact": _error(message=f"it was the {FACT}"),
    "message and type": _error(message=" ".join(WORDS[:9]), type=" ".join(WORDS[9:])),
    **{f"type as {form}": _error(type=value) for form, value in LONG_NAMES.items()},
    **{f"code as {form}": _error(code=value) for form, value in LONG_NAMES.items() if form != "token ids"},
    **{f"param as {form}": _error(param=value) for form, value in LONG_NAMES.items()},
    "unknown in the error": _error(unheard=f"{TOKEN} {PASSAGE}"),
    "unknown beside it": {**_error(), "unheard": f"{TOKEN} {PASSAGE}"},
    "older form": {"object": "error", "message": PASSAGE, "type": TOKEN * 9, "code": 400},
    "one string": {"error": PASSAGE},
    "detail": {"detail": [{"loc": ["body"], "msg": PASSAGE, "input": TOKEN}]},
    "messages form": {"type": "error", "error": {"type": "api_error", "message": PASSAGE}, "request_id": TOKEN},
    "a list": [PASSAGE, TOKEN],
    "a string": f"{TOKEN} {PASSAGE}",
}
"""Bodies of errors, in JSON."""

RAW = {
    "HTML": f"<html><title>{TOKEN}</title><body>{PASSAGE}</body></html>".encode(),
    "text": f"{TOKEN} {PASSAGE}".encode(),
    "not UTF-8": b"\xff\xfe" + PASSAGE.encode(),
    "half of JSON": json.dumps(_error(message=PASSAGE)).encode()[:-3],
    "twice the same key": f'{{"error":{{"message":"{PASSAGE}","message":"{_FINE}","type":"x","code":1}}}}'.encode(),
    "nothing": b"",
}
"""Bodies of errors that are no JSON, or odd."""


@pytest.mark.parametrize("dialect", ANSWERS)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", [400, 404, 418, 429, 500, 503])
async def test_an_error_status_says_nothing_of_a_canary(dialect: str, stream: bool, status: int) -> None:
    answers = ANSWERS[dialect]
    async with world() as w:
        for name, raw in {**RAW, **{name: json.dumps(body).encode() for name, body in BODIES.items()}}.items():
            for content_type in ("application/json", "text/html"):
                secret = {"x_secret": TOKEN, "retry_after": PASSAGE, "location": f"/{TOKEN}"}
                w.upstream.scripts = [says_json(raw, status, content_type, **secret)]
                got = await w.call(answers.path, answers.asked(stream, 1))
                assert 400 <= got.status <= 599, name
                assert not found(got.body + json.dumps(got.headers).encode()), name
                assert got.json["error"]["message"]


@pytest.mark.parametrize("dialect", ANSWERS)
async def test_an_error_that_says_nothing_forgotten_is_told_in_its_own_words(dialect: str) -> None:
    answers = ANSWERS[dialect]
    async with world() as w:
        w.upstream.scripts = [says_json(_error(), 400)]
        got = await w.call(answers.path, answers.asked(False, 1))
        assert got.status == 400
        assert got.json["error"]["message"] == _FINE


@pytest.mark.parametrize("dialect", ANSWERS)
async def test_an_error_inside_a_stream_says_nothing_of_a_canary(dialect: str) -> None:
    answers = ANSWERS[dialect]
    begun = answers.encode(answers.stream(1)[:3]).removesuffix(b"data: [DONE]\n\n")
    bodies = [body for body in BODIES.values() if isinstance(body, dict)]
    told = [f"data: {json.dumps(body)}\n\n".encode() for body in bodies]
    told += [f"event: error\ndata: {json.dumps({'type': 'error', **body})}\n\n".encode() for body in bodies]
    told += [b"data: " + raw + b"\n\n" for raw in RAW.values()]
    async with world() as w:
        for before in (begun, b""):
            for event in told:
                w.upstream.scripts = [says_stream(before + event + b"data: [DONE]\n\n")]
                got = await w.call(answers.path, answers.asked(True, 1))
                assert got.complete
                assert not found(got.body + json.dumps(got.headers).encode()), event


@pytest.mark.parametrize("dialect", ANSWERS)
@pytest.mark.parametrize("content_type", ["text/html", "text/plain", f"text/x; charset={TOKEN}"])
async def test_an_answer_of_another_kind_is_a_fault_that_says_nothing(dialect: str, content_type: str) -> None:
    answers = ANSWERS[dialect]
    async with world() as w:
        for raw in RAW.values():
            for stream in (True, False):
                w.upstream.scripts = [says_json(raw, 200, content_type)]
                got = await w.call(answers.path, answers.asked(stream, 1))
                assert got.status == 502
                assert not found(got.body + json.dumps(got.headers).encode())
