"""A model server that says what it was told to: the text that a request's `seed` stands for, word by word."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from aiohttp import web

_WORD = re.compile(r"\s*\S+")
_DONE = b"data: [DONE]\n\n"
MODEL = "invented"


@dataclass(slots=True)
class Speech:
    """A text that is said with `pause_s` between its words, and what became of it: when (seconds on the monotonic
    clock) each word was written, and when the client went away before the end."""

    text: str
    pause_s: float
    said: list[float] = field(default_factory=list)
    left: float | None = None

    @property
    def words(self) -> list[str]:
        """Its pieces, one per event."""
        return _WORD.findall(self.text)

    def events(self) -> list[bytes]:
        """All that is written, one event each, as vLLM encodes it."""
        head = {"id": "chatcmpl-soak", "object": "chat.completion.chunk", "created": 1, "model": MODEL}

        def event(delta: dict[str, str], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return b"data: " + json.dumps({**head, "choices": [choice]}, separators=(",", ":")).encode() + b"\n\n"

        words = [event({"content": word}) for word in self.words]
        return [event({"role": "assistant", "content": ""}), *words, event({}, "stop"), _DONE]


class ModelServer:
    """Serves `/v1/chat/completions`. `open` counts the answers that are being written."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._speeches: dict[int, Speech] = {}
        self._runner: web.AppRunner | None = None
        self.open = 0

    @property
    def connections(self) -> int:
        """Open connections, idle ones included."""
        server = self._runner.server if self._runner else None
        return len(server.connections) if server else 0

    def will_say(self, speech: Speech) -> int:
        """Keep a speech; answers the seed to ask for it with. It is said once."""
        number = next(self._numbers)
        self._speeches[number] = speech
        return number

    def forget(self, number: int) -> None:
        """Nobody will ask for that speech any more."""
        self._speeches.pop(number, None)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Its base URL, without `/v1`."""
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        finally:
            await self._runner.cleanup()

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        speech = self._speeches[asked["seed"]]
        if not asked.get("stream"):
            await asyncio.sleep(speech.pause_s)
            return web.json_response(_whole(speech.text))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        self.open += 1
        try:
            for event in speech.events():
                await response.write(event)
                speech.said.append(time.monotonic())
                if speech.pause_s:
                    await asyncio.sleep(speech.pause_s)
            await response.write_eof()
        except (asyncio.CancelledError, ConnectionError):
            speech.left = time.monotonic()
            raise
        finally:
            self.open -= 1
        return response


def _whole(text: str) -> dict[str, object]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    head = {"id": "chatcmpl-soak", "object": "chat.completion", "created": 1, "model": MODEL}
    return {**head, "choices": [choice], "usage": {"prompt_tokens": 9, "total_tokens": 29, "completion_tokens": 20}}
