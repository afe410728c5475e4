"""Runs the service: two listening ports, one event loop, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import uvicorn

from server.access import Access
from server.app import Lethe
from server.logs import Value, configure_logs, record
from server.routes.health import metrics_app
from server.service import Service, open_service
from server.settings import Settings
from server.sockets import address_of, bind

_BACKLOG: Final = 2048


class _Server(uvicorn.Server):
    """Leaves signals to `serve`, which ends both servers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True, slots=True)
class Sockets:
    """The main port and the metrics port, bound and not yet listening."""

    main: socket.socket
    metrics: socket.socket


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `PortTaken`, `StartRefused`, `StoreUnavailable`."""
    configure_logs(settings.log_level)
    loop_factory = _config(None, settings).get_loop_factory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    metrics_host = settings.metrics_host or settings.host
    with bind(settings.host, settings.port) as main, bind(metrics_host, settings.metrics_port) as metrics:
        async with open_service(settings) as service:
            for bound in (main, metrics):
                bound.listen(_BACKLOG)  # whoever reads the announcement may connect at once
            _announce(service, main, metrics)
            await _both(service, Sockets(main, metrics))
    record("stopped")


def _config(app: object, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # None: only the choice of the event loop is asked for
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        ws="none",
        timeout_graceful_shutdown=max(1, round(settings.shutdown_grace_s)),
    )


async def _both(service: Service, sockets: Sockets) -> None:
    servers = [
        (_Server(_config(Lethe(service), service.settings)), sockets.main),
        (_Server(_config(metrics_app(service), service.settings)), sockets.metrics),
    ]
    loop = asyncio.get_running_loop()

    def end() -> None:
        for server, _ in servers:
            server.force_exit = server.should_exit  # a second signal does not wait
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    try:
        await asyncio.gather(*(server.serve(sockets=[bound]) for server, bound in servers))
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _announce(service: Service, main: socket.socket, metrics: socket.socket) -> None:
    fields: dict[str, Value] = {
        "url": address_of(main),
        "metrics": f"{address_of(metrics)}/metrics",
        "upstream": service.settings.upstream,
        "revision": service.index.snapshot.revision,
        "replica": service.settings.replica_name,
    }
    record("serving", fields=fields)
    _notice(service.access)


def _notice(access: Access) -> None:
    """Tell a person who started a server without any key how to get in; a key never goes into a log line."""
    if access.generated_key is None:
        return
    sys.stderr.write(
        "\nNo access key exists yet, so this server listens on loopback only and applications need no key.\n"
        "Operator key of this run (role admin), shown this once:\n\n"
        f"    {access.generated_key}\n\n"
        "Set LETHE_ADMIN_KEY, or create keys with `lethe keys create`, before you serve others.\n\n"
    )
    sys.stderr.flush()
