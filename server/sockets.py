"""Listening ports, taken before the slow part of a start, so that a port in use is told at once."""

from __future__ import annotations

import socket


class PortTaken(Exception):
    """The port cannot be listened on: the operator's to change, or to stop what uses it."""


def bind(host: str, port: int) -> socket.socket:
    """A bound socket. Raises `PortTaken`."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise PortTaken(f"{host}:{port} cannot be listened on: {error.strerror or error}") from None
    bound.set_inheritable(False)
    return bound


def address_of(bound: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
