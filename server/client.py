"""The HTTP client of the command line towards a running server."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import orjson

TIMEOUT_S: Final = 120.0


class ServerRefused(Exception):
    """The server answered with an error, or could not be reached; the message is its sentence."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Talks to one server with one key. `namespace` is for admins."""

    def __init__(self, url: str, key: str | None, namespace: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServerRefused(f"{url} is no http:// or https:// URL")
        self._url, self._parts = url, parts
        self._namespace = namespace
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def call(self, method: str, path: str, query: Mapping[str, object] | None = None, body: object = None) -> Any:
        """The JSON answer of /lethe/v1`path`. Raises `ServerRefused`."""
        headers, data = {}, None
        if body is not None:
            headers, data = {"Content-Type": "application/json"}, orjson.dumps(body)
        with self._asked(method, path, query or {}, (headers, data)) as response:
            return orjson.loads(response.read())

    def upload(self, path: str, chunks: Iterable[bytes]) -> Any:
        """POST a body that is made while it is sent. Raises `ServerRefused`."""
        headers = {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}
        with self._asked("POST", path, {}, (headers, chunks)) as response:
            return orjson.loads(response.read())

    @contextmanager
    def _asked(
        self, method: str, path: str, query: Mapping[str, object], sent: tuple[Mapping[str, str], Any]
    ) -> Iterator[http.client.HTTPResponse]:
        headers, data = sent
        asked = {k: v for k, v in {**query, "namespace": self._namespace}.items() if v is not None and v != ""}
        target = f"{self._parts.path.rstrip('/')}/lethe/v1{path}" + (f"?{urlencode(asked)}" if asked else "")
        connection = self._connection()
        try:
            chunked = headers.get("Transfer-Encoding") == "chunked"
            connection.request(method, target, data, {**self._headers, **headers}, encode_chunked=chunked)
            response = connection.getresponse()
            if response.status >= 400:
                raise _refusal(response)
            yield response
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise ServerRefused(f"the server at {self._url} cannot be reached: {reason}") from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


def _refusal(response: http.client.HTTPResponse) -> ServerRefused:
    try:
        error = orjson.loads(response.read())["error"]
        details = error.get("details") or {}
        told = "; ".join(f"{e['where']}: {e['reason']}" for e in details.get("errors", ()))
        return ServerRefused(f"{error['message']}{': ' + told if told else ''}", response.status)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ServerRefused(f"the server answered with status {response.status}", response.status)
