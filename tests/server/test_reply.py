"""What happens to work when the client that it is for leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from server.reply import while_connected


def leaves_after(seconds: float) -> Callable[[], Awaitable[dict[str, Any]]]:
    sent = [{"type": "http.request"}]

    async def receive() -> dict[str, Any]:
        if sent:
            return sent.pop()
        await asyncio.sleep(seconds)
        return {"type": "http.disconnect"}

    return receive


def being_cancelled() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def test_work_that_ends_first_is_done() -> None:
    done = []

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.append(True)

    before = asyncio.all_tasks()
    assert await while_connected(leaves_after(5), work())
    assert done
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_work_is_cancelled_when_the_client_leaves_and_the_caller_is_not() -> None:
    cancelled = []

    async def work() -> None:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    assert not await while_connected(leaves_after(0.01), work())
    assert cancelled
    assert not being_cancelled()
    await asyncio.sleep(0)  # nothing is left to strike here


async def test_what_goes_wrong_while_work_ends_for_nobody_is_told_to_nobody() -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(5)
        finally:
            raise ValueError

    assert not await while_connected(leaves_after(0.01), work())
    assert not being_cancelled()


async def test_what_goes_wrong_while_the_client_waits_is_told() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError

    with pytest.raises(ValueError):
        await while_connected(leaves_after(5), work())


async def test_cancelling_the_caller_cancels_the_work() -> None:
    cancelled = []

    async def work() -> None:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    caller = asyncio.ensure_future(while_connected(leaves_after(5), work()))
    await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert cancelled


async def test_a_time_limit_inside_the_work_still_counts() -> None:
    async def work() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(5)

    assert await while_connected(leaves_after(5), work())
