"""A guarded stream: upstream's events in, the client's events out.

```
    upstream bytes --> events --> frames --> guard --> outbox --> client bytes      what is released leaves as it came
                                               | a choice stops
                                               +--> upstream is left at once when nothing else runs --> remedy, [DONE]
```
"""

from __future__ import annotations

from collections.abc import Iterable

from server.dialects.dialect import Ending, Frame, FrameKind, Json, Unreadable
from server.dialects.shape import Shapes
from server.dialects.sse import END, KEEP_ALIVE, SseBroken, SseComment, SseEvent, SseReader
from server.exchange import Exchange
from server.faults import UpstreamFault, UpstreamSpoke
from server.guarding import AnswerGuard
from server.lanes import Held
from server.observation import UpstreamReason
from server.outbox import Outbox
from server.remedies import Remedies
from server.reply import Reply
from server.upstream import Answer
from server.usage import Tally


class AnswerStream:
    """One stream. `guard` is None when there is nothing to look for: then only fields are filtered."""

    def __init__(self, exchange: Exchange, guard: AnswerGuard | None, remedies: Remedies, reply: Reply) -> None:
        self._exchange, self._guard, self._remedies, self._reply = exchange, guard, remedies, reply
        self._dialect = exchange.dialect
        self._telling = exchange.telling
        self._reader, self._shapes = SseReader(), Shapes(self._telling.read)
        self._arrived = 0.0  # when the bytes came that are looked at now
        self._outbox, self._tally = Outbox(), Tally()
        self._running = set(range(exchange.asked.choices))  # choices that upstream still speaks for
        self._last: list[Held] = []  # what leaves once upstream is left
        self._stopped: dict[int, bool] = {}  # choice: its remedy was sent
        self._opened: set[int] = set()
        self._counts: bool | None = None  # whether every event has a count that only we want; known after the first
        self._final_usage: Json | None = None
        self._done = self._alive = False

    async def relay(self, answer: Answer) -> None:
        """Pass the answer on until upstream is done or nothing more is wanted of it. Raises `UpstreamFault`."""
        if not answer.content_type.startswith("text/event-stream"):
            raise UpstreamFault(UpstreamReason.PROTOCOL, "the model server did not answer with a stream")
        exchange, reader, times = self._exchange, self._reader, self._exchange.times
        try:
            while True:
                asked = exchange.now()
                try:
                    data = await answer.read()
                finally:
                    self._arrived = exchange.now()
                    times.waited += self._arrived - asked
                if data:
                    self._take_bytes(data)
                else:
                    self._take_all(reader.end())
                await self._settle()
                if self._done:
                    await answer.rest()
                    return
                if self._stopped and not self._running:
                    return
                if not data:
                    if self._running or reader.pending:
                        raise UpstreamFault(UpstreamReason.CLOSED, "the model server ended its answer too early")
                    return
        except (SseBroken, Unreadable):
            raise UpstreamFault(UpstreamReason.PROTOCOL, "the model server sent what is no event of a stream") from None

    async def close(self) -> None:
        """Upstream is left: send what remains to be said by us."""
        last, self._last = self._last, []
        await self._send(last)
        await self._remedy()
        await self._send(self._outbox.ready())
        if self._stopped and not self._done:
            wanted = self._exchange.asked.include_usage and self._final_usage is None
            usage = self._tally.total(self._exchange.asked, None) if wanted else None
            await self._reply.write(self._telling.close(usage))
        await self._reply.finish()

    async def abandon(self) -> None:
        """Upstream failed: what is already here leaves if it may."""
        if self._guard is not None:
            self._guard.finish_all()
        await self._settle(remedies=False)

    def conclude(self) -> None:
        """Tell what became of every choice."""
        if self._guard is None:
            return
        self._exchange.held = self._guard.held
        for choice in range(self._exchange.asked.choices):
            self._exchange.concluded(self._guard.guarded(choice))

    # -- taking --

    def _take_bytes(self, data: bytes) -> None:
        """Take what came: events of a known shape by that, the others one by one in full."""
        at, length = 0, len(data)
        while at < length and not self._done:
            if self._reader.idle:
                at = self._take_known(data, at)
            end = data.find(END, at) + len(END)
            end = length if end < len(END) else end
            if at < end:
                self._take_all(self._reader.feed(data if end - at == length else data[at:end]))
            at = end

    def _take_known(self, data: bytes, at: int) -> int:
        """Take the events from data[at] on that have a known shape; answers where another begins."""
        begin, length, count, choice = at, len(data), 0, 0
        while at < length and (found := self._shapes.find(data, at)):
            shape, text, end, usage = found
            choice = shape.channel.choice
            if self._guard is not None and choice not in self._stopped:
                frame = self._shapes.frame(data if end - at == length else data[at:end], shape, text, usage)
                held = Held(frame, self._arrived)
                self._take_choice(frame, held)
                self._outbox.add(held)
            count, at = count + 1, end
        if count and self._guard is None:
            self._pass(data if at - begin == length else data[begin:at], choice, count)
        return at

    def _pass(self, raw: bytes, choice: int, count: int) -> None:
        """Events that nobody looks at leave as they came, in the moment in which they came."""
        frame, times = Frame(raw), self._exchange.times
        frame.choices = (choice,)
        self._outbox.add(Held(frame, self._arrived))
        if times.first_text is None:
            times.first_text = self._arrived
        if times.first_sent is None:
            times.first_sent = self._arrived
            count -= 1
        times.delayed += count

    def _take_all(self, events: Iterable[SseEvent | SseComment]) -> None:
        for event in events:
            if isinstance(event, SseComment):
                self._alive = True
                continue
            frames = self._telling.read(event)
            self._shapes.learn(event, frames)
            for frame in frames:
                self._exchange.note(frame)
                self._take(frame)
            if self._done:
                return

    def _take(self, frame: Frame) -> None:
        if frame.kind is FrameKind.ERROR:
            raise UpstreamSpoke(frame.body)
        held = Held(frame, self._arrived)
        if frame.kind is FrameKind.DONE:
            self._done = True
            self._running.clear()
            if self._guard is not None:
                self._guard.finish_all()
        elif held.choice is None:
            self._final_usage = frame.usage or self._final_usage
        elif held.choice in self._stopped:
            return
        else:
            if frame.sums_up:
                self._final_usage = frame.usage or self._final_usage
            self._take_choice(frame, held)
        self._outbox.add(held)

    def _take_choice(self, frame: Frame, held: Held) -> None:
        if not 0 <= frame.choices[0] < self._exchange.asked.choices:
            raise UpstreamFault(UpstreamReason.PROTOCOL, "the model server sent a choice that nobody asked for")
        if self._counts is None:
            self._begin(frame)
        if self._counts:
            self._dialect.forget_usage(frame)
        if frame.pieces and self._exchange.times.first_text is None:
            self._exchange.times.first_text = held.arrived
        if frame.ends:
            self._running.difference_update(frame.ends)
        if self._guard is not None:
            self._guard.take(held)

    def _begin(self, frame: Frame) -> None:
        asked = self._exchange.asked
        unwanted = self._guard is not None and asked.include_usage and not asked.continuous_usage
        self._counts = frame.usage is not None and unwanted

    # -- leaving --

    async def _settle(self, remedies: bool = True) -> None:
        """Judge, let everything leave that may, and look after the choices that were stopped."""
        guard = self._guard
        leaving: list[Held] = []
        if guard is not None:
            while asked := guard.run():
                await self._send(self._outbox.ready(closing=False, ending=False))  # need not wait for the verdicts
                await guard.judge(asked)
            if guard.stops:
                leaving = self._cut(guard)
        settled = not self._stopped or all(self._stopped.values())
        ready = self._outbox.ready(closing=settled)
        ready = [*leaving, *ready] if leaving else ready
        if remedies and self._stopped and not self._running:
            self._last += ready  # upstream is left first: a client that reads slowly does not keep it at work
            return
        await self._send(ready)
        if remedies and self._stopped and self._running:
            await self._remedy()  # others still speak; else upstream is left first

    def _cut(self, guard: AnswerGuard) -> list[Held]:
        """What may leave of the choices that were stopped just now."""
        leaving: list[Held] = []
        for choice in guard.stops.keys() - self._stopped.keys():
            self._stopped[choice] = False
            self._running.discard(choice)
            leaving.extend(self._outbox.cut(choice))
        for held in leaving:
            if held.frame.ends:
                self._dialect.unfinish(held.frame)
        return leaving

    async def _send(self, leaving: list[Held]) -> None:
        data = b"".join([self._leave(held) for held in leaving]) if leaving else b""
        if self._alive:
            data = data or (KEEP_ALIVE if self._reply.started else b"")
            self._alive = False
        if data:
            await self._reply.write(data)

    def _leave(self, held: Held) -> bytes:
        frame, choice = held.frame, held.choice
        if choice is None:
            self._recount(frame)
            return self._telling.tell(frame)
        self._tally.left(held, choice)
        if held.hollow and choice in self._opened:
            return b""
        self._opened.add(choice)
        if frame.sums_up:
            self._recount(frame)
        elif held.cut or self._tally.redacted(choice):
            self._dialect.forget_usage(frame)  # it would count what did not leave
        if frame.pieces:
            self._time(held)
        return self._telling.tell(frame)

    def _recount(self, frame: Frame) -> None:
        if frame.usage is not None and self._tally.suppressed:
            self._dialect.recount(frame, self._tally.total(self._exchange.asked, frame.usage))

    def _time(self, held: Held) -> None:
        times, now = self._exchange.times, self._exchange.now()
        if times.first_sent is None:
            times.first_sent = now
        else:
            times.delays += now - held.arrived
            times.delayed += 1

    async def _remedy(self) -> None:
        """Send the rest of every choice that was stopped."""
        assert self._guard is not None or not self._stopped
        for choice, told in self._stopped.items():
            if told or self._guard is None:
                continue
            stop = self._guard.guarded(choice).stop
            assert stop is not None
            shown = self._tally.shown(choice)
            spoken = self._tally.shown(choice, self._dialect.speech)
            remedy = await self._remedies.remedy(choice, stop.verdict, shown, spoken)
            ending = Ending(choice, remedy.text, remedy.finish_reason, choice not in self._opened, remedy.own)
            self._stopped[choice] = True
            self._opened.add(choice)
            self._tally.add(choice, remedy.text, remedy.tokens)
            await self._reply.write(self._telling.end(ending))
