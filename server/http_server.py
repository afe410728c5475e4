"""The HTTP server under our applications: uvicorn, told once how, and without a will of its own about signals."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import Final

import uvicorn

BACKLOG: Final = 2048


class Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def server_config(app: object, grace_s: float) -> uvicorn.Config:
    """How every port of ours is served; running requests may take `grace_s` seconds to finish at the end."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # None: only the choice of the event loop is asked for
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        ws="none",
        timeout_graceful_shutdown=max(1, round(grace_s)),
    )


class Servers:
    """Some servers in one event loop that end together."""

    def __init__(self, apps: Sequence[tuple[object, socket.socket]], grace_s: float) -> None:
        self._servers = [(Server(server_config(app, grace_s)), bound) for app, bound in apps]

    def end(self) -> None:
        """Take no more requests and let the running ones finish."""
        for server, _ in self._servers:
            server.should_exit = True

    def end_now(self) -> None:
        """Do not wait for running requests either."""
        for server, _ in self._servers:
            server.force_exit = server.should_exit = True

    def end_again(self) -> None:
        """A signal: the first one lets running requests finish, a second one does not wait."""
        if all(server.should_exit for server, _ in self._servers):
            self.end_now()
        self.end()

    async def serve(self) -> None:
        """Serve until told to end."""
        await asyncio.gather(*(server.serve(sockets=[bound]) for server, bound in self._servers))
