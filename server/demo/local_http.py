"""Plain blocking HTTP to the servers that the demonstration started on this machine."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Reply:
    """Status and body of an answer."""

    status: int
    body: bytes

    def json(self) -> object:
        """The body as JSON. Raises `ValueError`."""
        return json.loads(self.body)


def get(url: str, timeout_s: float = 5.0) -> Reply:
    """Raises `OSError` or `http.client.HTTPException` when nobody answers."""
    return _exchange("GET", url, None, {}, timeout_s)


def post(url: str, body: object, key: str | None = None, timeout_s: float = 60.0) -> Reply:
    """Sends `body` as JSON, with `key` as bearer. Raises as `get`."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    return _exchange("POST", url, json.dumps(body).encode(), headers, timeout_s)


def free_port(preferred: int = 0) -> int:
    """A port of the loopback interface that nobody listens on now: the preferred one if possible."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise OSError("no port of the loopback interface is free")


def _exchange(method: str, url: str, body: bytes | None, headers: dict[str, str], timeout_s: float) -> Reply:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target or "/", body, headers)
        response = connection.getresponse()
        return Reply(response.status, response.read())
    finally:
        connection.close()
