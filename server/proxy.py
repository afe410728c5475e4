"""The story of a request: read it, judge the conversation, ask upstream, guard the answer, tell what happened."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from guard.scan import combine
from guard.verdict import Side, Verdict
from server.batching import JudgeFault
from server.dialects.dialect import Asked, Dialect, Ending, Unreadable, encode
from server.exchange import Caller, Clockwork, Exchange
from server.faults import (
    ApplicationFault,
    GuardUnavailable,
    RequestLate,
    Told,
    UpstreamFault,
    UpstreamRefused,
    UpstreamSpoke,
    told_of,
)
from server.guarding import AnswerGuard
from server.in_context import InContextRule
from server.judging import Batches, Judge, View
from server.ledger import Ledger
from server.models import Models
from server.observation import (
    Degraded,
    DegradedReason,
    Observer,
    RequestOutcome,
    StreamsChanged,
    UpstreamFailed,
)
from server.prompt_cache import PromptCache
from server.remedies import Remedies
from server.reply import Reply
from server.retelling import retell, retell_error
from server.streaming import AnswerStream
from server.upstream import Ask, Upstream
from server.usage import estimate_tokens, usage_of
from server.whole import guard_whole

LOGGER = logging.getLogger("lethe.proxy")
_INDEX = "index"


class Views(Protocol):
    """An immutable snapshot of the index."""

    def view(self, namespace: str) -> View: ...


class Index(Protocol):
    """What must be forgotten, now."""

    @property
    def ready(self) -> bool: ...
    @property
    def snapshot(self) -> Views: ...


@dataclass(frozen=True, slots=True)
class Proxy:
    """Answers the requests of applications. `clock` gives seconds; `ending_grid_s` is `Exchange.grid_s`.

    A whole answer, from the question to its end, may take `timeout_s`. `models` are those that clients may use; without
    it, any. `ledger` counts what leaves to whom; without it nothing is counted.
    """

    index: Index
    upstream: Upstream
    batches: Batches
    observer: Observer
    clock: Callable[[], float] = time.perf_counter
    seen: PromptCache = field(default_factory=PromptCache)
    ending_grid_s: float = 0.0
    timeout_s: float = 600.0
    models: Models | None = None
    ledger: Ledger | None = None

    async def serve(self, dialect: Dialect, caller: Caller, body: bytes, reply: Reply) -> None:
        """Answer one request. Raises `ApplicationFault` only while nothing is known about it yet."""
        began = self.clock()
        asked = dialect.read(body)
        if not self.index.ready:
            self.observer.observe(Degraded(_INDEX, DegradedReason.NOT_READY))
            raise GuardUnavailable(DegradedReason.NOT_READY)
        view = self.index.snapshot.view(caller.namespace)
        judge = Judge(view, self.batches, self.observer, InContextRule(asked.supplied), self.seen)
        times, grid_s = Clockwork(began), self.ending_grid_s
        exchange = Exchange(caller, dialect, asked, view, judge, self.observer, times, grid_s=grid_s)
        try:
            await self._in_time(exchange, reply)
        except asyncio.CancelledError:
            exchange.outcome = RequestOutcome.CANCELLED
            raise
        except Exception as fault:  # noqa: BLE001  # the border: every fault becomes an answer
            await self._fail(exchange, reply, fault)
        finally:
            if self.ledger is not None and judge.ledger is not None:
                self.ledger.over(judge.ledger)
            exchange.over()

    async def _in_time(self, exchange: Exchange, reply: Reply) -> None:
        deadline = asyncio.timeout(self.timeout_s)
        try:
            async with deadline:
                await self._answer(exchange, reply)
        except TimeoutError as cause:
            if deadline.expired():
                raise RequestLate from cause
            raise

    async def _answer(self, exchange: Exchange, reply: Reply) -> None:
        view, asked = exchange.view, exchange.asked
        if self.models is not None:
            with exchange.waiting():
                await self.models.admit(asked.model, exchange.caller.request_id)
        guard: AnswerGuard | None = None
        if not view.empty:
            exchange.judge.admit()
            if self.ledger is not None:
                caller, judge = exchange.caller, exchange.judge
                judge.ledger = await self.ledger.session(view, caller.principal, asked.end_user, asked.texts)
            judgement = await exchange.judge.prompt(asked.texts, asked.together)
            verdict = combine(judgement.verdicts, view.revision)
            exchange.decided(Side.PROMPT, verdict)
            if verdict.action.stops:
                exchange.judge.refuse(verdict, Side.PROMPT)
                await self._refuse(exchange, verdict, reply)
                return
            strict = judgement.near or not asked.stream
            guard = AnswerGuard(exchange.judge, asked.question, strict, asked.structured)
        remedies = Remedies(exchange, self.upstream)
        if asked.stream:
            await self._stream(exchange, guard, AnswerStream(exchange, guard, remedies, reply))
        else:
            await self._whole(exchange, guard, remedies, reply)

    async def _whole(self, exchange: Exchange, guard: AnswerGuard | None, remedies: Remedies, reply: Reply) -> None:
        exchange.times.asked = exchange.now()
        with exchange.waiting():
            async with self.upstream.ask(self._ask(exchange, exchange.asked.forward)) as answer:
                exchange.times.first_byte = exchange.now()
                raw = await answer.whole()
        exchange.times.last_byte = exchange.now()
        await reply.whole(200, await guard_whole(exchange, guard, remedies, raw))

    async def _stream(self, exchange: Exchange, guard: AnswerGuard | None, stream: AnswerStream) -> None:
        asked = exchange.asked
        counted = guard is not None and asked.include_usage and not asked.continuous_usage
        body = exchange.dialect.with_usage(asked) if counted else asked.forward
        self.observer.observe(StreamsChanged(1))
        try:
            await self._relay(exchange, stream, self._ask(exchange, body))
            await stream.close()
        except UpstreamFault:
            await stream.abandon()
            raise
        finally:
            stream.conclude()
            self.observer.observe(StreamsChanged(-1))

    async def _relay(self, exchange: Exchange, stream: AnswerStream, ask: Ask) -> None:
        times = exchange.times
        times.asked = asked_at = exchange.now()
        try:
            async with self.upstream.ask(ask) as answer:
                times.first_byte = exchange.now()
                times.waited += times.first_byte - asked_at
                await stream.relay(answer)
        finally:
            times.last_byte = exchange.now()

    @staticmethod
    def _ask(exchange: Exchange, body: bytes) -> Ask:
        asked = exchange.asked
        return Ask(asked.method, exchange.dialect.path, exchange.caller.request_id, body or None, asked.stream)

    async def _refuse(self, exchange: Exchange, verdict: Verdict, reply: Reply) -> None:
        """The conversation itself may not be answered: upstream is not asked."""
        asked, dialect = exchange.asked, exchange.dialect
        exchange.rose_to(RequestOutcome.BLOCKED)
        refusal = exchange.view.rules.policy_of(verdict, Side.PROMPT).refusal
        endings = [Ending(choice, refusal, "content_filter", True) for choice in range(asked.choices)]
        usage, request_id, created = _usage_of_refusal(asked, refusal), exchange.caller.request_id, int(time.time())
        await exchange.on_grid()
        if asked.stream:
            telling = exchange.telling
            told = telling.open(request_id, created) + b"".join(telling.end(ending) for ending in endings)
            await reply.write(told + telling.close(usage if asked.include_usage else None))
            await reply.finish()
            return
        frame = dialect.body(encode(dialect.blank(asked, request_id, created)), asked)
        for ending in endings:
            dialect.replace(frame, ending)
        dialect.recount(frame, usage)
        await reply.whole(200, encode(frame.body))

    async def _fail(self, exchange: Exchange, reply: Reply, fault: Exception) -> None:
        """Tell the client what went wrong, as an answer or, where one has begun, as its last event."""
        if not isinstance(fault, (ApplicationFault, JudgeFault)):
            LOGGER.error("a request failed", exc_info=fault)
        told = await self._told(exchange, fault)
        exchange.outcome = told.outcome
        if isinstance(fault, UpstreamFault) and told.outcome is not RequestOutcome.CLIENT_ERROR:
            self.observer.observe(UpstreamFailed(fault.reason))
        if reply.started:
            await reply.write(exchange.telling.fail(told))
            await reply.finish()
            return
        exchange.status = told.status
        headers = {"retry-after": told.retry_after} if told.retry_after else None
        await reply.whole(told.status, encode(exchange.dialect.error(told)), headers)

    async def _told(self, exchange: Exchange, fault: Exception) -> Told:
        if isinstance(fault, UpstreamRefused):
            return await retell(fault, exchange.dialect, exchange.judge)
        if isinstance(fault, UpstreamSpoke):
            try:
                error = exchange.dialect.upstream_error(dict(fault.body))
            except Unreadable:
                return told_of(fault)
            return await retell_error(error, 502, exchange.judge)
        return told_of(fault)


def _usage_of_refusal(asked: Asked, refusal: str) -> dict[str, object]:
    prompt = estimate_tokens("\n".join(asked.texts))
    return usage_of(prompt, estimate_tokens(refusal) * asked.choices)
