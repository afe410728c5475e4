"""The small world of the server's tests, with an upstream whose answers come in the very pieces that a test cuts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from guard.policy import Streaming
from guard.verdict import Action
from server.access import Access
from server.batching import Batcher
from server.limits import Gate
from server.proxy import Proxy
from server.routes.application import Application
from server.upstream import Ask
from tests.server.world import LIMITS, Halves, NoKeys, Notebook, SmallIndex, SmallView, World, policy


@dataclass
class PieceAnswer:
    """An answer of status 200 whose bytes were cut."""

    pieces: list[bytes]
    content_type: str

    async def read(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    async def rest(self) -> None:
        self.pieces.clear()

    async def whole(self, limit: int = 0) -> bytes:
        return b"".join(self.pieces)


@dataclass
class PieceUpstream:
    """Says `data`, cut at `cuts`, without a network between."""

    data: bytes = b""
    cuts: Sequence[int] = ()
    asked: list[Ask] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def ask(self, ask: Ask) -> AsyncIterator[PieceAnswer]:
        self.asked.append(ask)
        places = [0, *sorted({c for c in self.cuts if 0 < c < len(self.data)}), len(self.data)]
        pieces = [piece for start, end in pairwise(places) if (piece := self.data[start:end])]
        yield PieceAnswer(pieces, "text/event-stream" if ask.stream else "application/json")


@contextlib.asynccontextmanager
async def pieces_world(
    action: Action = Action.REDACT, streaming: Streaming = Streaming.ADAPTIVE, **shown: Any
) -> AsyncIterator[World]:
    """A world whose upstream is a `PieceUpstream`."""
    detector, notebook = Halves(), Notebook()
    index = SmallIndex(SmallView(detector, policy(action, streaming=streaming), **shown))
    batcher = Batcher(LIMITS, notebook, time.perf_counter)
    upstream: Any = PieceUpstream()
    proxy = Proxy(index, upstream, batcher, notebook)
    try:
        app = Application(proxy, Access(NoKeys(), None), Gate(64), 1_000_000)
        yield World(app, upstream, index, detector, notebook, batcher)
    finally:
        batcher.close()
