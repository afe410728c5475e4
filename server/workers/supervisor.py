"""`lethe serve --workers N`: the supervisor, a small process that judges nothing.

```
    supervisor   keeps the port, the metrics port, the newest base, the counts of workers that ended
     |- worker 1   listens at the port, judges, follows the store; leads: makes bases
     |- worker 2   the same, on the bases of the leader
     ...
```
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from server.announcement import announce, show_key
from server.http_server import BACKLOG, Servers
from server.logs import configure_logs, record
from server.settings import Settings
from server.sockets import bind, reserve
from server.workers.crew import Crew
from server.workers.gathering import Gathering


def supervise(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `PortTaken`, `StartRefused`."""
    configure_logs(settings.log_level)
    asyncio.run(_supervise(settings))


async def _supervise(settings: Settings) -> None:
    metrics_host = settings.metrics_host or settings.host
    with reserve(settings.host, settings.port) as main, bind(metrics_host, settings.metrics_port) as metrics:
        port: int = main.getsockname()[1]
        crew = Crew(settings, lambda: bind(settings.host, port, shared=True))
        gathering = Gathering(crew, settings.workers)
        servers = Servers([(gathering.app(), metrics)], settings.shutdown_grace_s)
        starting = asyncio.create_task(crew.start())

        def signalled() -> None:
            crew.dismiss()
            servers.end_again()
            starting.cancel()

        with _signals(signalled):
            try:
                await asyncio.wait({starting})
                if not starting.cancelled():
                    starting.result()  # raises what was wrong
                    metrics.listen(BACKLOG)
                    announce(settings, main, metrics, crew.revision)
                    show_key(crew.generated_key)
                    await _gathered(servers, gathering)
            finally:
                await crew.end()
    record("stopped")


async def _gathered(servers: Servers, gathering: Gathering) -> None:
    """Serve the metrics port until a signal comes."""
    keeping = asyncio.create_task(gathering.keep())
    try:
        await servers.serve()
    finally:
        keeping.cancel()


@contextmanager
def _signals(told: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
