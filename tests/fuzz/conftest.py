"""What the fuzz tests share: a whole Lethe behind a real HTTP server, on a loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from index.embedder import load_embedder
from index.keys import Role
from tests.server.operators import ADMIN, FACT, operators


@dataclass
class Served:
    """Where it listens, and what a caller needs to get far."""

    url: str
    keys: dict[str, str]
    entry: str


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A Lethe with one entry, for the whole session."""
    ready: list[Served] = []
    begun, over = threading.Event(), threading.Event()

    async def serve(path: Path) -> None:
        async with operators(path, load_embedder()) as lethe:
            config = uvicorn.Config(lethe.app, port=0, log_config=None, lifespan="off")
            server = uvicorn.Server(config)
            serving = asyncio.ensure_future(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            keys = {role.value: lethe.service.keys.create(role, "default")[1] for role in Role}
            ready.append(
                Served(f"http://127.0.0.1:{port}", {**keys, "none": "", "admin": ADMIN}, await lethe.add(FACT))
            )
            begun.set()
            await asyncio.to_thread(over.wait)
            server.should_exit = True
            await serving

    thread = threading.Thread(target=lambda: asyncio.run(serve(tmp_path_factory.mktemp("served"))), daemon=True)
    thread.start()
    assert begun.wait(120)
    yield ready[0]
    over.set()
    thread.join(20)
