"""Streams at a fixed rate: whether a server keeps up with it, in completed tokens per second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from openai import AsyncOpenAI

STREAMS = 16
LONGEST = 160


@dataclass(frozen=True, slots=True)
class Way:
    """A server to ask: its URL with /v1, a key, the model's name."""

    url: str
    key: str
    model: str


@dataclass(frozen=True, slots=True)
class Paced:
    """What was completed: tokens per second, answers, and how many began late because the one before was not done."""

    tokens_per_s: float
    answers: int
    late: int


async def _paced(way: Way, questions: Sequence[str], period_s: float) -> Paced:
    client = AsyncOpenAI(base_url=way.url, api_key=way.key, max_retries=0)
    tokens = answers = late = 0
    began = time.monotonic()

    async def work(place: int) -> None:
        nonlocal tokens, answers, late
        for turn, question in enumerate(questions[place::STREAMS]):
            due = began + period_s * (turn + place / STREAMS)
            late += time.monotonic() > due + 0.005
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            stream = await client.chat.completions.create(
                model=way.model,
                messages=[{"role": "user", "content": question}],
                temperature=0,
                max_tokens=LONGEST,
                stream=True,
                stream_options={"include_usage": True},
            )
            async for chunk in stream:
                tokens += chunk.usage.completion_tokens if chunk.usage else 0
            answers += 1

    await asyncio.gather(*(work(place) for place in range(STREAMS)))
    wall = time.monotonic() - began
    await client.close()
    return Paced(tokens / wall, answers, late)


def paced(way: Way, questions: Sequence[str], period_s: float) -> Paced:
    """`STREAMS` streams at once; each begins its next answer every `period_s` seconds (0: as soon as it can)."""
    return asyncio.run(_paced(way, questions, period_s))


def period_that_holds(way: Way, questions: Sequence[str]) -> float:
    """A period at which a server has half of the work that it can do without pauses."""
    began = time.monotonic()
    paced(way, questions, 0.0)
    return 2 * (time.monotonic() - began) / (len(questions) / STREAMS)
