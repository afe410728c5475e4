"""Runs the service in one process: two listening ports, one event loop, and an orderly end."""

from __future__ import annotations

import asyncio
import signal

from server.announcement import announce, show_key
from server.app import Lethe
from server.http_server import BACKLOG, Servers, server_config
from server.logs import configure_logs, record
from server.routes.health import metrics_app
from server.service import open_service
from server.settings import Settings
from server.sockets import bind


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `PortTaken`, `StartRefused`, `StoreUnavailable`."""
    configure_logs(settings.log_level)
    loop_factory = server_config(None, settings.shutdown_grace_s).get_loop_factory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    metrics_host = settings.metrics_host or settings.host
    with bind(settings.host, settings.port) as main, bind(metrics_host, settings.metrics_port) as metrics:
        async with open_service(settings) as service:
            for bound in (main, metrics):
                bound.listen(BACKLOG)  # whoever reads the announcement may connect at once
            announce(settings, main, metrics, service.index.snapshot.revision)
            show_key(service.access.generated_key)
            apps = [(Lethe(service), main), (metrics_app(service), metrics)]
            await _until_signalled(Servers(apps, settings.shutdown_grace_s))
    record("stopped")


async def _until_signalled(servers: Servers) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, servers.end_again)
    try:
        await servers.serve()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
