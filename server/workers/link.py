"""The link between the supervisor and one worker: frames over a pair of unix sockets, with file descriptors.

```
    frame    subject (1 byte)   descriptors (2 bytes)   length (4 bytes)   body
             descriptors travel with the first byte, those beyond MOST_AT_ONCE with bytes of their own behind the body
```
"""

from __future__ import annotations

import array
import os
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

MOST_AT_ONCE: Final = 200  # the kernel takes 253 with one message
_HEAD: Final = struct.Struct("!BHI")
_SEND_S: Final = 10


class Subject(IntEnum):
    """What a frame is about. The first ones go to a worker, the last ones come from it; `BASE` goes both ways."""

    START = 1  # the terms on which the worker works
    LEAD = 2  # from now on this worker makes bases
    WAKE = 3  # the store has something new
    METRICS = 4  # tell what you counted; and the answer
    READINESS = 5  # tell whether you are ready; and the answer
    END = 6  # let running requests finish and end
    END_NOW = 7
    BASE = 8  # the newest base, with its descriptors
    SERVING = 9  # this worker serves
    REFUSED = 10  # it cannot: the reason in one sentence
    APPLIED = 11  # it serves this revision now


@dataclass(frozen=True, slots=True)
class Frame:
    """One message. Whoever receives it closes its descriptors."""

    subject: Subject
    body: bytes = b""
    fds: tuple[int, ...] = ()

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self.fds:
            os.close(fd)


class LinkClosed(Exception):
    """The other end is gone, or takes nothing any more."""


class Link:
    """One end. `send` may be called from any thread; `receive` blocks and belongs to one thread."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._turn = threading.Lock()
        end.setblocking(True)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_S, 0))

    def send(self, frame: Frame) -> None:
        """Send a frame; the descriptors stay open here. Raises `LinkClosed`, at the latest after ten seconds."""
        head = _HEAD.pack(frame.subject, len(frame.fds), len(frame.body))
        first, rest = frame.fds[:MOST_AT_ONCE], frame.fds[MOST_AT_ONCE:]
        try:
            with self._turn:
                sent = socket.send_fds(self._end, [head], list(first)) if first else self._end.send(head)
                self._end.sendall(head[sent:] + frame.body)
                for at in range(0, len(rest), MOST_AT_ONCE):
                    socket.send_fds(self._end, [b"+"], list(rest[at : at + MOST_AT_ONCE]))
        except OSError:
            self._break()  # half a frame may have left
            raise LinkClosed from None

    def receive(self) -> Frame | None:
        """The next frame; None when the other end is gone."""
        try:
            head, fds = self._with_fds(_HEAD.size)
            subject, count, length = _HEAD.unpack(head)
            body = self._exactly(length)
            while len(fds) < count:
                fds += self._with_fds(1)[1]
        except (OSError, LinkClosed):
            return None
        return Frame(Subject(subject), body, tuple(fds))

    def close(self) -> None:
        """Close this end; the other one's `receive` answers None."""
        self._break()
        self._end.close()

    def _break(self) -> None:
        with suppress(OSError):  # the other end was faster
            self._end.shutdown(socket.SHUT_RDWR)

    def _with_fds(self, size: int) -> tuple[bytes, list[int]]:
        fds = array.array("i")
        room = socket.CMSG_SPACE(MOST_AT_ONCE * fds.itemsize)
        head, told, _, _ = self._end.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC)  # `recv_fds` forgets its flags
        for level, kind, data in told:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        return head + self._exactly(size - len(head), begun=bool(head)), fds.tolist()

    def _exactly(self, size: int, begun: bool = True) -> bytes:
        if size and not begun:
            raise LinkClosed
        found = bytearray(size)
        view = memoryview(found)
        while view.nbytes:
            got = self._end.recv_into(view)
            if not got:
                raise LinkClosed
            view = view[got:]
        return bytes(found)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
