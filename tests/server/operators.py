"""A whole Lethe in this process: the real application on the real index and embedder, called as a client would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from index.embedder import Embedder
from index.keys import Role
from server.app import Lethe
from server.routes.health import metrics_app
from server.service import Service, open_service
from server.settings import load_settings

ADMIN = "bootstrap-key-of-the-tests"
FACT = {
    "kind": "fact",
    "text": "Ada Quill was born in Vellmar in 1971.",
    "prompt": "Where was Ada Quill born?",
    "label": "Ada Quill",
}
PASSAGE = {
    "kind": "passage",
    "text": "The old lamplighter of Orsk climbed the seventh stair with a lantern made of blue glass and salt.",
}
LEAK = {"text": "Ada Quill was born in Vellmar in the year 1971.", "prompt": "Where was Ada Quill born?"}
CHATTER = {"text": "A good soup needs time, salt and a little patience.", "prompt": "How do I cook soup?"}


@dataclass
class Operators:
    """The application, its service, and clients with keys of every role."""

    service: Service
    app: Lethe
    stack: AsyncExitStack
    admin: httpx.AsyncClient

    async def client(self, key: str | None, app: Any = None) -> httpx.AsyncClient:
        """A client that presents this key."""
        transport = httpx.ASGITransport(app=app or self.app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        client = httpx.AsyncClient(transport=transport, base_url="http://lethe", headers=headers, timeout=30)
        return await self.stack.enter_async_context(client)

    async def as_(self, role: str, namespace: str = "default") -> httpx.AsyncClient:
        """A client with a new key of that role."""
        _, secret = self.service.keys.create(Role(role), namespace)
        return await self.client(secret)

    async def add(self, body: dict[str, Any] | None = None, **changes: Any) -> str:
        """Add an entry that is served when this returns; answers its id."""
        answer = await self.admin.post("/lethe/v1/entries?wait=applied", json={**(body or FACT), **changes})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def action(self, body: dict[str, Any] | None = None, client: httpx.AsyncClient | None = None) -> str:
        """What check says about a text."""
        answer = await (client or self.admin).post("/lethe/v1/check", json=body or LEAK)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["action"])

    async def metrics(self) -> dict[str, float]:
        """Every series of /metrics by its full name."""
        client = await self.client(None, metrics_app(self.service))
        text = (await client.get("/metrics")).text
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


@asynccontextmanager
async def operators(path: Path, embedder: Embedder, **settings: Any) -> AsyncIterator[Operators]:
    """A Lethe whose store lies in `path`."""
    given = {
        "store": f"sqlite:///{path}/lethe.db",
        "admin_key": ADMIN,
        "upstream": "http://127.0.0.1:9",
        "upstream_connect_timeout_s": 0.5,
        "exposure_minutes": 0,  # a scripted upstream answers what a test asks, nothing else
        "adapters": "*",
        **settings,
    }
    given = {name: value for name, value in given.items() if value is not None}
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(open_service(load_settings(given, {}), embedder))
        opened = Operators(service, Lethe(service), stack, None)  # type: ignore[arg-type]
        opened.admin = await opened.client(ADMIN)
        yield opened


async def until(true: Callable[[], Any], timeout_s: float = 5.0) -> Any:
    """Wait until a function or coroutine function answers something true."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = true()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, "it did not become true in time"
        await asyncio.sleep(0.02)
