"""Listening ports, taken before the slow part of a start, so that a port in use is told at once."""

from __future__ import annotations

import socket


class PortTaken(Exception):
    """The port cannot be listened on: the operator's to change, or to stop what uses it."""


def bind(host: str, port: int, shared: bool = False) -> socket.socket:
    """A bound socket; a `shared` one leaves room for others of this user at the same port. Raises `PortTaken`."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            bound.bind((host, port))
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise PortTaken(f"{host}:{port} cannot be listened on: {error.strerror or error}") from None
    bound.set_inheritable(False)
    return bound


def reserve(host: str, port: int) -> socket.socket:
    """A bound socket that never listens: it keeps a port for workers, each of which listens on a socket of its own.

    The kernel spreads connections over the sockets that listen. Raises `PortTaken`, also when the other server that
    listens there shares its port.
    """
    with bind(host, port) as alone:  # two shared sockets would not notice each other
        taken: int = alone.getsockname()[1]
    return bind(host, taken, shared=True)


def address_of(bound: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
