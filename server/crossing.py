"""Judged over the borders of channels: texts that follow each other. Held over them: events that belong together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from guard.detector import Window
from guard.events import Release, Stop
from guard.stream import StreamMachine
from server.dialects.escapes import values_in
from server.lanes import TAIL, Held, Lane

_WORD: Final = re.compile(r"[^\W_]+")


class Crossing(Lane):
    """What was said in another channel or choice, and the beginning of what follows it in `own`, as one text.

    It holds events back as a lane does, and changes none: what can only be redacted across the border is stopped. What
    one of `beside` finds by itself, which `own` belongs to, is not its business.
    """

    __slots__ = ("_beside", "_done", "_doubt", "_left", "_own", "_reached")

    def __init__(self, own: Lane, machine: StreamMachine, seed: str, beside: Sequence[Lane]) -> None:
        super().__init__(own.channel, machine, seed)
        self._own, self._beside, self._left = own, beside, TAIL
        self._reached, self._done = 0, False
        self._doubt: int | None = None  # where a redaction across the border ends

    @property
    def full(self) -> bool:
        """True when no more text is of interest here."""
        return self._left <= 0 and not self.channel.json

    def wanted(self, windows: Sequence[Window]) -> Sequence[Window]:
        """Those that lie across the border: the others are judged in their own channel."""
        return [window for window in windows if window.start < self._skip < window.end]

    def run(self) -> tuple[Window, ...]:
        """Go on as far as possible, which is no further than to what only the channel's own lane can tell."""
        windows = super().run()
        if self._doubt is not None and not self.over:
            if not self._own.over and self._own.passed < self._doubt - self._skip:
                return windows
            self._doubt = None
            if self._news:
                self._halt()
                return ()
            self._let_go_of(self._reached)
        if self._done and self._doubt is None:
            self._complete()
        return windows

    def end(self) -> None:
        """No more text comes. Of JSON that leaves whole, what its strings say follows what was said before."""
        if self.channel.json and self.channel.hold_whole and not self.ended:
            self.ended = True
            self.machine.feed(values_in("".join(self.texts)))
            self.machine.end()
        super().end()

    def cut(self) -> None:
        """Nothing leaves of what was not judged together with what came before it, but for the end of a word that began
        to leave: without it, it would be another word."""
        for portion in self._portions:
            kept = self._rest_of_word(portion.start, portion.piece.text) if portion is self._portions[0] else ""
            portion.held.cut = True
            portion.held.lost |= not kept
            portion.held.frame.say(portion.piece, kept)
        self._let_all_go()

    def _rest_of_word(self, start: int, text: str) -> str:
        """The beginning of what the channel's own lane let go of a text, if it goes on with a word begun before it."""
        begun = "".join(self.texts)[: start - self._skip][-1:]
        if self.channel.json or not begun.isalnum():
            return ""
        found = _WORD.match(text)
        return found[0] if found else ""

    def _hear(self, text: str) -> None:
        super()._hear(text)
        self._left -= len(text)

    @property
    def _news(self) -> bool:
        """True when something was found that no lane found by itself."""
        return not self.found <= {entry for lane in self._beside if lane is not self for entry in lane.found}

    def _halt(self, stop: Stop | None = None) -> None:
        if self._news:
            super()._halt(stop)
        else:
            self._doubt = None
            self._complete()

    def _complete(self) -> None:
        self._done = True
        if self._doubt is None:
            self._let_all_go()
            self.over = True

    def _release(self, release: Release) -> None:
        self._reached = release.end
        if release.redacted and release.start < self._skip:
            self._doubt = release.end
        if self._doubt is None:
            self._let_go_of(release.end)

    def _let_go_of(self, end: int) -> None:
        if self.channel.json and self.channel.hold_whole:  # its strings stand elsewhere than in the text
            return
        while self._portions and self._portions[0].end <= end:
            self._portions.popleft().held.pending -= 1

    def _let_all_go(self) -> None:
        for portion in self._portions:
            portion.held.pending -= 1
        self._portions.clear()


class Group:
    """Events that leave together or not at all: a tool call without its arguments would be another one."""

    __slots__ = ("_events", "choice", "lanes")

    def __init__(self, choice: int) -> None:
        self.choice = choice
        self._events: dict[int, Held] = {}
        self.lanes: list[Lane] = []

    def add(self, held: Held) -> None:
        """One more event."""
        if id(held) not in self._events:
            self._events[id(held)] = held
            held.pending += 1

    def settle(self) -> bool:
        """Let the events go if every lane of the group is over; False when they have to wait."""
        if not all(lane.over and lane.ended and lane.stop is None for lane in self.lanes):
            return False
        for held in self._events.values():
            held.pending -= 1
        self._events.clear()
        return True

    def cut(self) -> None:
        """None of the events leaves with any text."""
        for held in self._events.values():
            held.pending -= 1
            held.cut = held.lost = True
            for piece in held.frame.pieces:
                if piece.channel.choice == self.choice:  # a whole answer holds the other choices as well
                    held.frame.say(piece, "")
        self._events.clear()
