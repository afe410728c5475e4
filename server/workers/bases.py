"""The newest base as one worker has it: what it published itself, or what the supervisor passed on."""

from __future__ import annotations

import struct
import threading
from contextlib import suppress
from typing import Final

from index.base import Base
from server.workers.link import Frame, Link, LinkClosed, Subject

_REVISION: Final = struct.Struct("!Q")


def base_frame(base: Base) -> Frame:
    """The frame that carries a base; the descriptors stay the base's."""
    return Frame(Subject.BASE, _REVISION.pack(base.revision) + base.manifest, base.fds)


def base_of(frame: Frame) -> Base:
    """The base in a frame; the descriptors are the base's now."""
    revision: int = _REVISION.unpack_from(frame.body)[0]
    return Base(revision, frame.body[_REVISION.size :], frame.fds)


class SharedBases:
    """Implements `index.base.Bases`. `newest` belongs to one thread, the one that follows the store.

    A base that was handed out is closed when a newer one is handed out: until then its descriptors stay open.
    """

    def __init__(self, link: Link, leads: bool) -> None:
        self.leads = leads
        self._link = link
        self._turn = threading.Lock()
        self._arrived: Base | None = None
        self._given: Base | None = None

    def publish(self, base: Base) -> None:
        """See `Bases.publish`. The supervisor passes it on, also to workers that start later."""
        with suppress(LinkClosed):  # the supervisor is gone, and this worker is about to end
            self._link.send(base_frame(base))
        self.arrived(base)

    def arrived(self, base: Base) -> None:
        """A newer base; an older one is ignored."""
        with self._turn:
            newest = self._arrived or self._given
            if newest is not None and base.revision < newest.revision:
                base.close()
                return
            if self._arrived is not None:
                self._arrived.close()  # nobody has seen it
            self._arrived = base

    def newest(self) -> Base | None:
        """See `Bases.newest`."""
        with self._turn:
            if self._arrived is not None:
                if self._given is not None:
                    self._given.close()
                self._given, self._arrived = self._arrived, None
            return self._given
