"""What a server says when it begins to serve: one line in the log, and how a person gets in."""

from __future__ import annotations

import socket
import sys

from server.logs import Value, record
from server.settings import Settings
from server.sockets import address_of


def announce(settings: Settings, main: socket.socket, metrics: socket.socket, revision: int) -> None:
    """Whoever reads this may connect at once: both sockets listen."""
    fields: dict[str, Value] = {
        "url": address_of(main),
        "metrics": f"{address_of(metrics)}/metrics",
        "upstream": settings.upstream,
        "revision": revision,
        "replica": settings.replica_name,
    }
    record("serving", fields=fields if settings.workers == 1 else {**fields, "workers": settings.workers})


def show_key(generated_key: str | None) -> None:
    """Tell a person who started a server without any key how to get in; a key never goes into a log line."""
    if generated_key is None:
        return
    sys.stderr.write(
        "\nNo access key exists yet, so this server listens on loopback only and applications need no key.\n"
        "Operator key of this run (role admin), shown this once:\n\n"
        f"    {generated_key}\n\n"
        "Set LETHE_ADMIN_KEY, or create keys with `lethe keys create`, before you serve others.\n\n"
    )
    sys.stderr.flush()
