"""The order in which events leave."""

from __future__ import annotations

from collections import deque

from server.lanes import Held


class Outbox:
    """Events in the order in which they may leave: kept within a choice, and what is about all of the answer last."""

    def __init__(self) -> None:
        self._queues: dict[int, deque[Held]] = {}
        self._closing: deque[Held] = deque()
        self._count = 0

    def add(self, held: Held) -> None:
        """One more event."""
        self._count += 1
        held.number = self._count
        if held.choice is None:
            self._closing.append(held)
        else:
            self._queues.setdefault(held.choice, deque()).append(held)

    def ready(self, closing: bool = True, ending: bool = True) -> list[Held]:
        """Take out the events that may leave now; those about the whole answer only when `closing`, those that end a
        choice only when `ending`."""
        out: list[Held] = []
        waiting = False
        for queue in self._queues.values():
            while queue and not queue[0].pending and (ending or not queue[0].frame.ends):
                out.append(queue.popleft())
            waiting = waiting or bool(queue)
        if len(self._queues) > 1:
            out.sort(key=lambda held: held.number)  # choices mix as upstream mixed them, where nothing is held back
        if closing and not waiting:
            out.extend(self._closing)
            self._closing.clear()
        return out

    def cut(self, choice: int) -> list[Held]:
        """End a choice whose lanes were cut: the events before the first that lost text, and what that one kept."""
        out: list[Held] = []
        for held in self._queues.pop(choice, ()):
            if not held.lost or any(piece.text for piece in held.frame.pieces):
                out.append(held)
            if held.cut:
                break
        return out
