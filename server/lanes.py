"""Lanes: which part of which event a released text belongs to.

```
    events:     | The tre | aty was | signed in | 1648 |        a lane holds the portions of one channel in order;
    releases:   |==================|--------------------        an event is whole when all its portions are
                 whole     cut: kept with its released part
```
"""

from __future__ import annotations

from collections import deque

from guard.detector import Window
from guard.events import Check, NeedText, Release, Stop
from guard.stream import StreamMachine
from server.dialects.dialect import Channel, Frame, Piece
from server.dialects.escapes import redacted_json, unescaped


class Held:
    """An event on its way out: `pending` portions of its text have not been released. `choice` is None when it is about
    the whole answer. `altered`: something in it was redacted; `cut` and `lost`: a stop took a part of its text, or
    all of one piece."""

    __slots__ = ("altered", "arrived", "choice", "cut", "frame", "lost", "number", "pending")

    def __init__(self, frame: Frame, arrived: float) -> None:
        self.frame, self.arrived = frame, arrived
        self.choice = frame.choices[0] if frame.choices else None
        self.pending = self.number = 0
        self.altered = self.cut = self.lost = False

    @property
    def hollow(self) -> bool:
        """True when redaction left nothing that is worth an event."""
        frame = self.frame
        if not (self.altered and frame.pieces) or frame.ends:
            return False
        return not any(piece.text or piece.channel.hold_whole for piece in frame.pieces)


class _Portion:
    """One piece of an event as the stretch start..end of its lane.

    `parts` is what was released of it so far, where that is not simply all of it.
    """

    __slots__ = ("altered", "end", "held", "parts", "piece", "start")

    def __init__(self, piece: Piece, held: Held, start: int, end: int) -> None:
        self.piece, self.held, self.start, self.end = piece, held, start, end
        self.parts: list[str] | None = None
        self.altered = False

    def add(self, text: str, altered: bool = False) -> None:
        if self.parts is None:
            self.parts = []
        self.parts.append(text)
        self.altered |= altered

    def close(self, cut: bool = False) -> None:
        """All of this piece was released; or, when `cut`, the rest of it never leaves."""
        self.held.pending -= 1
        self.held.altered |= self.altered
        if self.altered or cut:
            self.held.frame.say(self.piece, "".join(self.parts or ()))


class Lane:
    """One channel, or one stretch of it between stretches of others, on its way through a machine.

    `resumed` is the end of the earlier stretch: judged again together with what follows, never sent again.
    """

    __slots__ = (
        *("_length", "_placeholder", "_portions", "_skip", "channel"),
        *("ended", "machine", "over", "redacted", "stop", "texts"),
    )

    def __init__(self, channel: Channel, machine: StreamMachine, resumed: str = "") -> None:
        self.channel, self.machine = channel, machine
        self.texts = [resumed]
        self.ended = self.over = self.redacted = False
        self.stop: Stop | None = None
        self._skip = self._length = len(resumed)
        self._portions: deque[_Portion] = deque()
        self._placeholder = ""
        if resumed and not channel.json:
            machine.feed(resumed)

    def feed(self, held: Held, piece: Piece) -> None:
        """More text of this channel, which stands in that event."""
        start, self._length = self._length, self._length + len(piece.text)
        held.pending += 1
        self._portions.append(_Portion(piece, held, start, self._length))
        self.texts.append(piece.text)
        if not self.channel.json:
            self.machine.feed(piece.text)

    def end(self) -> None:
        """No more text comes; saying so again changes nothing."""
        if not self.ended:
            self.ended = True
            if self.channel.json:  # nothing of it leaves before its end, and an escape may be cut anywhere
                self.machine.feed(unescaped("".join(self.texts)))
            self.machine.end()

    def run(self) -> tuple[Window, ...]:
        """Go on as far as possible without a verdict; answers the windows that need one."""
        while True:
            event = self.machine.next_event()
            kind = type(event)
            if kind is NeedText:
                return ()
            if isinstance(event, Release):
                if self.channel.json:
                    self.redacted |= event.redacted
                    self._placeholder = event.text if event.redacted else self._placeholder
                else:
                    self._release(event)
            elif isinstance(event, Check):
                return event.windows
            else:
                self.over = True
                if isinstance(event, Stop):
                    self.stop = event
                elif self.channel.json:
                    self._release_json()
                return ()

    def cut(self) -> None:
        """Nothing more of this lane leaves: an event that was partly released keeps that part, the others keep none."""
        while self._portions:
            portion = self._portions.popleft()
            portion.held.cut = True
            portion.held.lost |= not portion.parts
            portion.close(cut=True)

    def _release_json(self) -> None:
        """All of the text leaves, or JSON of the same shape that says nothing."""
        said = redacted_json("".join(self.texts), self._placeholder) if self.redacted else ""
        while self._portions:
            portion = self._portions.popleft()
            if self.redacted:
                portion.add(said, altered=True)
                said = ""
            portion.close()

    def _release(self, release: Release) -> None:
        start, end, text = max(release.start, self._skip), release.end, release.text
        if end <= self._skip:
            return
        self.redacted |= release.redacted
        portions = self._portions
        while portions and portions[0].start < end:
            portion = portions[0]
            if release.redacted:
                portion.add(text, altered=True)
                text = ""
            elif portion.parts is not None or portion.start < start or portion.end > end:
                portion.add(portion.piece.text[max(portion.start, start) - portion.start : end - portion.start])
            if portion.end > end:
                return
            portions.popleft()
            portion.close()


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
