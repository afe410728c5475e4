"""A client of one Lethe, as applications and operators call it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from bench.soaking.model_server import MODEL

KEEP_ALIVE: Final = b": keep-alive\n\n"
REFUSAL: Final = "I can't help with that."
_SLOW_BYTES: Final = 512
_SHED: Final = 429


@dataclass(slots=True)
class Got:
    """What a stream brought. `arrived` holds the time (seconds on the monotonic clock) and size of each read."""

    status: int = 0
    raw: bytes = b""
    arrived: list[tuple[float, int]] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        """All bytes but the signs of life."""
        return self.raw.replace(KEEP_ALIVE, b"")

    @property
    def choices(self) -> list[dict[str, Any]]:
        """The choice of every event."""
        events = [line[6:] for line in self.data.decode().split("\n\n") if line.startswith("data: {")]
        return [choice for event in events for choice in json.loads(event).get("choices", ())]

    @property
    def text(self) -> str:
        """What was said."""
        return "".join(choice["delta"].get("content") or "" for choice in self.choices)

    @property
    def finish(self) -> list[str]:
        """The finish reasons that were told: one in a well-formed stream."""
        return [choice["finish_reason"] for choice in self.choices if choice["finish_reason"]]

    @property
    def stopped(self) -> bool:
        """True when the answer was suppressed, in a well-formed stream."""
        whole = self.data.endswith(b"data: [DONE]\n\n") and self.data.count(b"[DONE]") == 1
        return whole and self.finish == ["content_filter"] and self.text.endswith(REFUSAL)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a client reads: it leaves after `leave_after` bytes, or waits `pause_s` between reads of few bytes."""

    leave_after: int | None = None
    pause_s: float = 0.0


TO_THE_END: Final = Reading()


class Shed(Exception):
    """The server has too much to do and says so (429)."""


class Client:
    """Requests with one key over connections that are kept. What is shed raises `Shed`."""

    def __init__(self, base: str, key: str) -> None:
        self._base = base
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0),  # uvicorn keeps them 5 s
            timeout=aiohttp.ClientTimeout(total=120),
            headers={"Authorization": f"Bearer {key}"},
            read_bufsize=2_048,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """One call of the operator API: the answer's JSON. Raises `aiohttp.ClientError` when it is refused."""
        async with self._session.request(method, f"{self._base}/lethe/v1{path}", json=body) as answer:
            if answer.status == _SHED:
                raise Shed
            if answer.status >= 400:
                raise aiohttp.ClientError(
                    f"{method} {path.split('?', maxsplit=1)[0]}: {answer.status} {await answer.text()}"
                )
            return await answer.json(content_type=None)

    async def stream(self, seed: int, reading: Reading = TO_THE_END) -> Got:  # frozen, without state
        """Ask the model server's speech of that seed."""
        got = Got()
        async with self._session.post(f"{self._base}/v1/chat/completions", json=_asked(seed, True)) as answer:
            got.status = answer.status
            if got.status == _SHED:
                raise Shed
            while True:
                part = await (answer.content.read(_SLOW_BYTES) if reading.pause_s else answer.content.readany())
                if not part:
                    return got
                got.raw += part
                got.arrived.append((time.monotonic(), len(part)))
                if reading.leave_after is not None and len(got.raw) >= reading.leave_after:
                    answer.close()
                    return got
                if reading.pause_s:
                    await asyncio.sleep(reading.pause_s)

    async def whole(self, seed: int) -> tuple[float, str]:
        """The seconds until a whole answer was there, and its finish reason."""
        began = time.monotonic()
        async with self._session.post(f"{self._base}/v1/chat/completions", json=_asked(seed, False)) as answer:
            body = await answer.json()
        return time.monotonic() - began, body["choices"][0]["finish_reason"]


def _asked(seed: int, stream: bool) -> dict[str, object]:
    question = f"Please write note number {seed} about anything you like."
    said = {"messages": [{"role": "user", "content": question}], "user": f"user-{seed}"}  # each has a ledger of its own
    return {"model": MODEL, **said, "seed": seed, "stream": stream}
