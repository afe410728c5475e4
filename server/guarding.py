"""Guards one answer: every channel of every choice goes through a stream machine of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from guard.detector import Window
from guard.events import Stop
from guard.plan import StreamPlan
from guard.policy import Streaming
from guard.scan import combine
from guard.stream import StreamMachine
from guard.verdict import Verdict
from server.crossing import Crossing, Group
from server.dialects.dialect import Channel
from server.dialects.escapes import redacted_json
from server.judging import Judge
from server.lanes import TAIL, Held, Lane, Reshape
from server.structured import Structured, redacted

Asked = list[tuple[Lane, tuple[Window, ...]]]
"""Lanes, and the windows that each needs verdicts on."""


_LABELS: Final = frozenset({"id", "call_id", "name", "namespace", "server_label"})


@dataclass(frozen=True, slots=True)
class Guarded:
    """What became of one choice. `leaked` and `held` in characters."""

    verdict: Verdict
    stop: Stop | None
    redacted: bool
    leaked: int


class _Choice:
    """The lanes of one choice: those that more may come for, and all that there were, in the order of their beginning.

    `key` is the channel, or the group of channels, that speaks now. `known`: how much of the choice before it had been
    said when this one began.
    """

    __slots__ = ("channel", "finished", "group", "key", "known", "lanes", "latest", "number", "open", "speaking")

    def __init__(self, number: int, known: int) -> None:
        self.number, self.known = number, known
        self.finished = False
        self.key = ""
        self.channel: Channel | None = None
        self.speaking: Lane | None = None
        self.group: Group | None = None
        self.open: dict[Channel, Lane] = {}
        self.latest: dict[Channel, Lane] = {}
        self.lanes: list[Lane] = []

    @property
    def said(self) -> list[str]:
        """The texts of all stretches."""
        return [lane.said for lane in self.lanes if not isinstance(lane, Crossing)]

    @property
    def length(self) -> int:
        """Characters said so far."""
        return sum(len(text) for lane in self.lanes if not isinstance(lane, Crossing) for text in lane.texts)

    def tail(self, labels: bool = True) -> str:
        """The end of what was said, whatever the channel; without the `labels` of tool calls if not wanted."""
        found: list[str] = []
        length = 0
        for lane in reversed(self.lanes):
            if length >= TAIL:
                break
            if not isinstance(lane, Crossing) and lane.texts and (labels or not _is_label(lane.channel)):
                found.append(lane.said)
                length += len(found[-1])
        return " ".join(reversed(found))[-TAIL:]

    def close(self) -> None:
        """No more text comes for what is open; saying so again changes nothing."""
        for lane in self.open.values():
            lane.end()
        self.open.clear()
        self.key, self.channel, self.speaking, self.group = "", None, None, None


def _is_label(channel: Channel) -> bool:
    """True for what stands between a text and the arguments of a tool that go on with it."""
    return bool(channel.group) and channel.name.rpartition(".")[2] in _LABELS


class AnswerGuard:
    """All channels of one answer.

    ```
        take(event) --> lanes --> settle(): machines go on, windows of all lanes are judged together, until all rest
                                  --> events are complete (`Held.pending`), or a choice is in `stops`
    ```
    Inside a choice one channel, or one tool call, speaks at a time: when another begins, the one before is ended, so
    that its tail does not wait for the end of the answer; if it resumes, its end is judged again with what follows.
    Where one follows another, in a choice or from choice to choice, the border is judged as one text (`Crossing`).
    Choices that are told at the same time are judged across their border when both are complete. Where the answer must
    be `structured`, a redaction of it is too, or it is stopped.
    """

    def __init__(
        self, judge: Judge, question: Callable[[int], str], strict: bool, structured: Structured | None = None
    ) -> None:
        view = judge.view
        self._judge, self._question = judge, question
        self._streaming = Streaming.STRICT if strict else view.streaming
        self._redaction = view.redaction
        self._reshape: Reshape = partial(redacted, structured=structured) if structured is not None else redacted_json
        self._choices: dict[int, _Choice] = {}
        self._active: list[Lane] = []
        self._groups: list[Group] = []
        self._nothing = Verdict(revision=view.revision)
        self.stops: dict[int, Lane] = {}
        self.held = 0

    def take(self, held: Held) -> None:
        """One more event; what belongs to a stopped choice is the caller's to leave out."""
        for piece in held.frame.pieces:
            channel = piece.channel
            choice = self._choices.get(channel.choice) or self._begin(channel.choice)
            lane = choice.speaking
            if lane is None or (choice.channel is not channel and choice.channel != channel):
                lane = self._turn(choice, channel)
            if choice.group is not None:
                choice.group.add(held)
            lane.feed(held, piece)
        if held.frame.ends:
            for number in held.frame.ends:
                self.finish(number)

    def finish(self, number: int) -> None:
        """No more text of this choice comes."""
        choice = self._choices.get(number)
        if choice is None or choice.finished:
            return
        choice.close()
        choice.finished = True
        for later in (number, number + 1):
            self._cross(later, choice)

    def finish_all(self) -> None:
        """No more text comes."""
        for number in list(self._choices):
            self.finish(number)

    async def settle(self) -> None:
        """Judge what must be judged until every lane rests."""
        while asked := self.run():
            await self.judge(asked)

    async def judge(self, asked: Asked) -> None:
        """Give the lanes the verdicts that `run` said they need."""
        wanted = [lane.wanted(windows) for lane, windows in asked]
        windows = [window for chosen in wanted for window in chosen]
        verdicts = iter(await self._judge.answer(windows) if windows else ())
        for (lane, all_of_it), chosen in zip(asked, wanted, strict=True):
            if len(chosen) == len(all_of_it):
                lane.machine.resolve([next(verdicts) for _ in chosen])
            else:
                lane.machine.resolve([next(verdicts) if window in chosen else self._nothing for window in all_of_it])

    def guarded(self, number: int) -> Guarded:
        """What became of a choice so far."""
        choice, stopped = self._choices.get(number), self.stops.get(number)
        lanes = choice.lanes if choice is not None else []
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
            self._groups = [group for group in self._groups if not group.settle()]
        return asked

    def _stop(self, lane: Lane) -> None:
        number = lane.channel.choice
        self.stops[number] = lane
        choice = self._choices[number]
        choice.finished = True
        choice.close()
        for other in choice.lanes:
            other.cut()
        for group in self._groups:
            if group.choice == number and not group.settle():
                group.cut()
        self._groups = [group for group in self._groups if group.choice != number]

    def _begin(self, number: int) -> _Choice:
        before = self._choices.get(number - 1)
        choice = self._choices[number] = _Choice(number, before.length if before is not None else 0)
        return choice

    def _turn(self, choice: _Choice, channel: Channel) -> Lane:
        """Another channel speaks."""
        key = channel.group or f"{channel.name}#{channel.part}"
        if key != choice.key:
            choice.close()
            choice.key = key
            if channel.group:
                choice.group = Group(choice.number)
                self._groups.append(choice.group)
        lane = choice.open.get(channel) or self._lane(choice, channel)
        choice.channel, choice.speaking = channel, lane
        return lane

    def _lane(self, choice: _Choice, channel: Channel) -> Lane:
        earlier = choice.latest.get(channel)
        seed = earlier.tail if earlier is not None else ""
        lane = Lane(channel, self._machine(channel), seed, redacted_json if channel.group else self._reshape)
        known = {choice.tail(), choice.tail(labels=False)} if channel.group else {choice.tail()}
        for before in sorted({text or self._before(choice.number) for text in known} - {""}):
            lane.crossings.append(self._crossing(lane, before + " ", choice))
        choice.open[channel] = choice.latest[channel] = lane
        for new in (lane, *lane.crossings):
            choice.lanes.append(new)
            self._active.append(new)
            if choice.group is not None:
                choice.group.lanes.append(new)
        return lane

    def _before(self, number: int) -> str:
        before = self._choices.get(number - 1)
        return before.tail() if before is not None and before.number not in self.stops else ""

    def _cross(self, number: int, last: _Choice) -> None:
        """Judge the border of two choices of which `last` was completed last, if more was said than was known when the
        second began."""
        first, second = self._choices.get(number - 1), self._choices.get(number)
        if first is None or second is None or not (first.finished and second.finished):
            return
        if first.length == second.known or {first.number, second.number} & self.stops.keys():
            return
        crossing = self._crossing(last.lanes[-1], first.tail() + " ", last)
        crossing.machine.feed(" ".join(second.said)[:TAIL])
        crossing.end()
        last.lanes.append(crossing)
        self._active.append(crossing)

    def _crossing(self, own: Lane, before: str, choice: _Choice) -> Crossing:
        near = (self._choices.get(choice.number + offset) for offset in (-1, 1))
        beside = [lane for other in near if other is not None for lane in other.lanes]
        return Crossing(own, self._machine(own.channel, len(before)), before, [own, *choice.lanes, *beside])

    def _machine(self, channel: Channel, border: int | None = None) -> StreamMachine:
        plan = StreamPlan(
            streaming=self._streaming,
            rule=self._judge.view.rule,
            redaction=self._redaction,
            context=self._question(channel.choice),
            hold_whole=channel.hold_whole,
            adaptive=self._judge.view.adaptive,
        )
        return self._judge.machine(plan, border)
