"""Lanes: which part of which event a released text belongs to.

```
    events:     | The tre | aty was | signed in | 1648 |        a lane holds the portions of one channel in order;
    releases:   |==================|--------------------        an event is whole when all its portions are
                 whole     cut: kept with its released part
```
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from guard.detector import Window
from guard.events import Check, NeedText, Release, Stop
from guard.scan import combine
from guard.stream import StreamMachine
from server.dialects.dialect import Channel, Frame, Piece
from server.dialects.escapes import Span, cut_escape, redacted_json, unescaped

TAIL: Final = 600
"""Characters of what was said before that are judged again with what follows."""

Reshape = Callable[[str, Sequence[Span], str], str | None]
"""JSON, what in it is redacted (start, end), and what stands for that: JSON that says less, or None."""


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

    `seed` is what was said before it: judged again together with what follows, never sent again. A channel that holds
    JSON is judged as what it says once read; one that leaves whole is given another shape by `reshape` when something
    in it is redacted, and is stopped when that cannot be done. One that does not leave whole is stopped instead.
    """

    __slots__ = (
        *("_escaped", "_length", "_portions", "_reshape", "_seed", "_skip", "_spans", "_told"),
        *("channel", "crossings", "ended", "machine", "over", "redacted", "stop", "texts"),
    )

    def __init__(
        self, channel: Channel, machine: StreamMachine, seed: str = "", reshape: Reshape = redacted_json
    ) -> None:
        self.channel, self.machine = channel, machine
        self.texts: list[str] = []
        self.ended = self.over = self.redacted = False
        self.stop: Stop | None = None
        self.crossings: list[Lane] = []
        self._seed = seed
        self._skip = self._length = len(seed)
        self._portions: deque[_Portion] = deque()
        self._reshape, self._spans, self._told = reshape, list[Span](), ""
        self._escaped = ""  # an escape whose end has not come yet
        if seed:
            machine.feed(seed)

    @property
    def said(self) -> str:
        """All that came of this stretch, as it is judged."""
        return unescaped("".join(self.texts)) if self.channel.json else "".join(self.texts)

    @property
    def full(self) -> bool:
        """True when no more text is of interest here."""
        return False

    @property
    def passed(self) -> int:
        """Characters of this stretch that were judged for good."""
        whole = self.over or not self.channel.json
        return self._length - self.machine.held - self._skip if whole else 0

    @property
    def found(self) -> set[str]:
        """The entries that were found in it so far."""
        return {match.entry_id for verdict in self.machine.verdicts for match in verdict.matches}

    @property
    def tail(self) -> str:
        """The end of what was said in this channel, before this stretch too."""
        return (self._seed + self.said)[-TAIL:]

    def feed(self, held: Held, piece: Piece) -> None:
        """More text of this channel, which stands in that event."""
        start, self._length = self._length, self._length + len(piece.text)
        held.pending += 1
        self._portions.append(_Portion(piece, held, start, self._length))
        self._hear(piece.text)
        if self.crossings:
            self._cross(held, piece)

    def _cross(self, held: Held, piece: Piece) -> None:
        for crossing in self.crossings:
            crossing.feed(held, piece)
            if crossing.full:
                crossing.end()
        self.crossings = [crossing for crossing in self.crossings if not crossing.ended]

    def _hear(self, text: str) -> None:
        self.texts.append(text)
        if not self.channel.json:
            self.machine.feed(text)
        elif not self.channel.hold_whole:
            text, self._escaped = cut_escape(self._escaped + text)
            if text:
                self.machine.feed(unescaped(text))

    def end(self) -> None:
        """No more text comes; saying so again changes nothing."""
        if not self.ended:
            self.ended = True
            if self.channel.json:
                rest = "".join(self.texts) if self.channel.hold_whole else self._escaped
                self.machine.feed(unescaped(rest))
            self.machine.end()
            for crossing in self.crossings:
                crossing.end()

    def run(self) -> tuple[Window, ...]:
        """Go on as far as possible without a verdict; answers the windows that need one."""
        while not self.over:
            event = self.machine.next_event()
            kind = type(event)
            if kind is NeedText:
                return ()
            if isinstance(event, Release):
                if event.end > self._skip:
                    self._release(event)
            elif isinstance(event, Check):
                return event.windows
            elif isinstance(event, Stop):
                self._halt(event)
            else:
                self._complete()
                return ()
        return ()

    def wanted(self, windows: Sequence[Window]) -> Sequence[Window]:
        """Those of its windows that must be judged."""
        return windows

    def cut(self) -> None:
        """Nothing more of this lane leaves: an event that was partly released keeps that part, the others keep none."""
        while self._portions:
            portion = self._portions.popleft()
            portion.held.cut = True
            portion.held.lost |= not portion.parts
            portion.close(cut=True)

    def _halt(self, stop: Stop | None = None) -> None:
        """Stop here, also where the policy would redact what cannot be redacted."""
        self.over = True
        self.stop = stop or Stop(combine(self.machine.verdicts), self.machine.leaked)

    def _complete(self) -> None:
        if self.channel.json and self.channel.hold_whole and not self._release_json():
            self._halt()
        self.over = True

    def _release_json(self) -> bool:
        """All of the text leaves, or JSON of the same shape that says less; False when there is none."""
        said = self._reshape("".join(self.texts), self._spans, self._told) if self.redacted else ""
        if said is None:
            return False
        while self._portions:
            portion = self._portions.popleft()
            if self.redacted:
                portion.add(said, altered=True)
                said = ""
            portion.close()
        return True

    def _release(self, release: Release) -> None:
        if self.channel.json and release.redacted:
            self._redact_json(release)
        elif not (self.channel.json and self.channel.hold_whole):
            self._let_go(release)

    def _redact_json(self, release: Release) -> None:
        if not self.channel.hold_whole:  # a part of it left already: what remains cannot be made JSON again
            self._halt()
            return
        self.redacted, self._told = True, release.text
        self._spans.append((max(release.start, self._skip) - self._skip, release.end - self._skip))

    def _let_go(self, release: Release) -> None:
        start, end, text = max(release.start, self._skip), release.end, release.text
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
