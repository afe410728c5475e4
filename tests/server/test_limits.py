"""Limits: bodies and requests at work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from server.limits import BodyTooLarge, ClientLeft, Gate, TooBusy, declared_length, read_body


def receiving(*chunks: bytes, left: bool = False) -> Callable[[], Awaitable[dict[str, Any]]]:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.disconnect"} if left else {"type": "http.request", "body": b"", "more_body": False})
    feed = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(feed)

    return receive


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    assert await read_body(receiving(b"abc", b"de"), 5) == b"abcde"


async def test_a_longer_body_is_refused_without_reading_on() -> None:
    with pytest.raises(BodyTooLarge):
        await read_body(receiving(b"abc", b"def"), 5)
    with pytest.raises(BodyTooLarge):
        await read_body(receiving(), 5, declared=6)


async def test_a_client_that_leaves_is_noticed() -> None:
    with pytest.raises(ClientLeft):
        await read_body(receiving(b"abc", left=True), 5)


def test_only_a_sensible_length_is_believed() -> None:
    for value, length in (("12", 12), ("", None), ("-1", None), ("1e3", None), ("9" * 40, None), ("\u0664", None)):
        assert declared_length({"content-length": value}) == length


def test_a_gate_lets_in_as_many_as_it_may_and_says_when_to_come_back() -> None:
    gate = Gate(1)
    with gate.entered():
        assert gate.inside == 1
        with pytest.raises(TooBusy) as busy, gate.entered():
            pass
        assert busy.value.retry_after_s >= 1
    assert gate.inside == 0
    with pytest.raises(RuntimeError, match="inside"), gate.entered():
        raise RuntimeError("inside")
    assert gate.inside == 0
