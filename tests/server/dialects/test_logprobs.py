"""What is told about tokens is about the text that leaves, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from server.dialects.logprobs import spelled


def entry(token: str, *others: str, **changes: Any) -> dict[str, Any]:
    top = [{"token": other, "logprob": -2.0, "bytes": list(other.encode())} for other in (token, *others)]
    return {"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": top, **changes}


def test_the_tokens_of_the_text_leave_without_alternatives() -> None:
    told = spelled({"content": [entry("The", "A"), entry(" harbour", " copper"), entry("<end>")]}, ["The harbour"])
    assert told is not None
    assert [each["token"] for each in told["content"]] == ["The", " harbour"]
    assert [[top["token"] for top in each["top_logprobs"]] for each in told["content"]] == [["The"], [" harbour"]]
    assert "copper" not in str(told)


@pytest.mark.parametrize(
    "content",
    [
        [entry("The"), entry(" copper")],
        [entry("The")],
        [entry("The harbour wall")],
        [entry("The", bytes=list(b"copper")), entry(" harbour")],
        [entry("The", logprob="copper"), entry(" harbour")],
        [entry("The", logprob=True), entry(" harbour")],
        ["The", " harbour"],
        [{"token": None}],
        [],
    ],
)
def test_tokens_that_spell_another_text_stay_here(content: Any) -> None:
    assert spelled({"content": content}, ["The harbour"]) is None


def test_what_was_redacted_is_not_told_by_its_tokens() -> None:
    told = {"content": [entry("The"), entry(" copper"), entry(" treaty")]}
    assert spelled(told, ["The [redacted]"]) is None
    assert spelled(told, ["The"]) == {"content": [entry("The") | {"top_logprobs": [_alone("The")]}]}
    assert spelled(told, [""]) is None


def _alone(token: str) -> dict[str, Any]:
    return {"token": token, "logprob": -0.5, "bytes": list(token.encode())}


def test_unknown_fields_of_a_token_stay_here() -> None:
    told = spelled({"content": [entry("Rain", extra="copper")], "more": "copper"}, ["Rain"])
    assert "copper" not in str(told)


def test_the_form_of_completions() -> None:
    told = {
        "tokens": ["Rain", " falls", "<end>"],
        "token_logprobs": [None, -0.5, -0.1],
        "top_logprobs": [None, {" falls": -0.5, " copper": -0.7}, {"x": 1.0}],
        "text_offset": [0, 4, 10],
    }
    assert spelled(told, ["Rain falls"]) == {
        "tokens": ["Rain", " falls"],
        "token_logprobs": [None, -0.5],
        "top_logprobs": [None, {" falls": -0.5}],
        "text_offset": [0, 4],
    }
    assert spelled({**told, "token_logprobs": ["copper", 1, 2]}, ["Rain falls"]) is None
    assert spelled({**told, "tokens": ["Rain", " copper", ""]}, ["Rain falls"]) is None
    assert spelled({**told, "text_offset": ["copper"]}, ["Rain falls"])["text_offset"] is None  # type: ignore[index]
