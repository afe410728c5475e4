"""Guards one answer: every channel of every choice goes through a stream machine of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from guard.detector import Window
from guard.events import Stop
from guard.plan import StreamPlan
from guard.policy import Streaming
from guard.scan import combine
from guard.stream import StreamMachine
from guard.verdict import Verdict
from server.dialects.dialect import Channel
from server.judging import Judge
from server.lanes import Held, Lane

_RESUMED: Final = 600
"""Characters of an earlier stretch of a channel that are judged again with its next stretch."""


Asked = list[tuple[Lane, tuple[Window, ...]]]
"""Lanes, and the windows that each needs verdicts on."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """What became of one choice. `leaked` and `held` in characters."""

    verdict: Verdict
    stop: Stop | None
    redacted: bool
    leaked: int


class AnswerGuard:
    """All channels of one answer.

    ```
        take(event) --> lanes --> settle(): machines go on, windows of all lanes are judged together, until all rest
                                  --> events are complete (`Held.pending`), or a choice is in `stops`
    ```
    Choices do not mix. Inside a choice one channel speaks at a time: when another begins, the one before is ended, so
    that its tail does not wait for the end of the answer; if it resumes, its end is judged again with what follows.
    """

    def __init__(self, judge: Judge, question: Callable[[int], str], strict: bool) -> None:
        view = judge.view
        self._judge, self._question = judge, question
        self._streaming = Streaming.STRICT if strict else view.streaming
        self._redaction = view.redaction
        self._speaking: dict[int, Lane] = {}
        self._latest: dict[Channel, Lane] = {}
        self._lanes: dict[int, list[Lane]] = {}
        self._active: list[Lane] = []
        self.stops: dict[int, Lane] = {}
        self.held = 0

    def take(self, held: Held) -> None:
        """One more event; what belongs to a stopped choice is the caller's to leave out."""
        for piece in held.frame.pieces:
            self._lane(piece.channel).feed(held, piece)
        if held.frame.ends:
            for choice in held.frame.ends:
                self.finish(choice)

    def finish(self, choice: int) -> None:
        """No more text of this choice comes."""
        lane = self._speaking.pop(choice, None)
        if lane is not None:
            lane.end()

    def finish_all(self) -> None:
        """No more text comes."""
        for choice in list(self._speaking):
            self.finish(choice)

    async def settle(self) -> None:
        """Judge what must be judged until every lane rests."""
        while asked := self.run():
            await self.judge(asked)

    async def judge(self, asked: Asked) -> None:
        """Give the lanes the verdicts that `run` said they need."""
        verdicts = await self._judge.answer([window for _, windows in asked for window in windows])
        at = 0
        for lane, windows in asked:
            lane.machine.resolve(verdicts[at : at + len(windows)])
            at += len(windows)

    def guarded(self, choice: int) -> Guarded:
        """What became of a choice so far."""
        lanes = self._lanes.get(choice, [])
        stopped = self.stops.get(choice)
        verdict = combine((v for lane in lanes for v in lane.machine.verdicts), self._judge.view.revision)
        leaked = sum(lane.machine.leaked for lane in lanes)
        return Guarded(verdict, stopped.stop if stopped else None, any(lane.redacted for lane in lanes), leaked)

    def run(self) -> Asked:
        """Let every lane go on; answers those that need verdicts."""
        asked: Asked = []
        over = False
        for lane in self._active:
            if self.stops and lane.channel.choice in self.stops:
                over = True
                continue
            windows = lane.run()
            self.held = max(self.held, lane.machine.held)
            if lane.over:
                over = True
                if lane.stop is not None:
                    self._stop(lane)
            elif windows:
                asked.append((lane, windows))
        if over:
            self._active = [lane for lane in self._active if not lane.over and lane.channel.choice not in self.stops]
            asked = [(lane, windows) for lane, windows in asked if lane.channel.choice not in self.stops]
        return asked

    def _stop(self, lane: Lane) -> None:
        choice = lane.channel.choice
        self.stops[choice] = lane
        self._speaking.pop(choice, None)
        for other in self._lanes[choice]:
            other.cut()

    def _lane(self, channel: Channel) -> Lane:
        speaking = self._speaking.get(channel.choice)
        if speaking is not None and (speaking.channel is channel or speaking.channel == channel):
            return speaking
        if speaking is not None:
            speaking.end()
        earlier = self._latest.get(channel)
        resumed = "".join(earlier.texts)[-_RESUMED:] if earlier is not None else ""
        lane = Lane(channel, self._machine(channel), resumed)
        self._speaking[channel.choice] = self._latest[channel] = lane
        self._lanes.setdefault(channel.choice, []).append(lane)
        self._active.append(lane)
        return lane

    def _machine(self, channel: Channel) -> StreamMachine:
        plan = StreamPlan(
            streaming=self._streaming,
            rule=self._judge.view.rule,
            redaction=self._redaction,
            context=self._question(channel.choice),
            hold_whole=channel.hold_whole,
            adaptive=self._judge.view.adaptive,
        )
        return self._judge.machine(plan)
