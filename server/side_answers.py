"""Serves the side calls: the request's known fields go up, the answer's known fields come back.

```
    request --> known fields --> judged where guarded --> upstream --> known fields, numbers, judged texts --> client
```
"""

from __future__ import annotations

import asyncio
import math
import struct
from binascii import Error, a2b_base64
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import orjson

from guard.verdict import Side, Verdict
from server.dialects.conversation import strings_in
from server.dialects.dialect import Json
from server.dialects.fields import Each, Fields, Leaf, keep_known
from server.dialects.grammars import forced_text
from server.dialects.media import take_media
from server.dialects.option_table import PASS, Surface
from server.dialects.options import drop_unknown, name, not_allowed, read_object
from server.exchange import Caller
from server.faults import ContentRefused, GuardUnavailable, RequestLate, UpstreamFault
from server.gateway_check import GatewayCheck
from server.judging import Judge
from server.observation import Degraded, DegradedReason, FieldsDropped, RequestOutcome, UpstreamReason
from server.proxy import Proxy
from server.reply import Reply
from server.side_calls import SideCall, SideTreatment
from server.upstream import Ask

_INDEX: Final = "index"
_LEFT: Final = 499
_LARGEST: Final = 1e6
_MOST_NAMES: Final = 8
_PARTS: Final = "chat"
_UNREAD: Final = "the model server's answer cannot be read"
_INPUTS: Final = (
    *("input", "messages", "documents", "query", "queries", "items", "data_1", "data_2", "text_1", "text_2"),
)
_GRAMMARS: Final = frozenset({"tools", "tool_choice", "output_config"})


class SideRequest(NamedTuple):
    """A call that is on, and the path that it was asked by."""

    call: SideCall
    treatment: SideTreatment
    path: str


class SideAnswers:
    """Answers side calls with what the proxy answers guarded ones with."""

    def __init__(self, proxy: Proxy, surface: Surface) -> None:
        self._proxy, self._surface = proxy, surface

    async def serve(self, side: SideRequest, caller: Caller, body: bytes, reply: Reply) -> None:
        """Answer one call. Raises `ApplicationFault`; nothing was sent then."""
        proxy, began = self._proxy, caller.clock()
        asked = read_object(body)
        drop_unknown(asked, side.call.plain | side.call.texts, self._surface)
        if not proxy.index.ready:
            proxy.observer.observe(Degraded(_INDEX, DegradedReason.NOT_READY))
            raise GuardUnavailable(DegradedReason.NOT_READY)
        judge = Judge(proxy.index.snapshot.view(caller.namespace), proxy.batches, proxy.observer, seen=proxy.seen)
        check = GatewayCheck(caller, side.call.name, judge, proxy.observer, began)
        try:
            async with asyncio.timeout(proxy.timeout_s):
                told = await self._ask(side, check, asked)
        except TimeoutError as cause:
            raise RequestLate from cause
        except asyncio.CancelledError:
            check.over(RequestOutcome.CANCELLED, _LEFT)
            raise
        await reply.whole(200, told)
        check.over()

    async def _ask(self, side: SideRequest, check: GatewayCheck, asked: Json) -> bytes:
        proxy, view, request_id = self._proxy, check.judge.view, check.caller.request_id
        if side.treatment is SideTreatment.GUARD:
            texts = self._texts(side.call, asked)
            if not view.empty:
                check.judge.admit()
            await self._refuse(check, await check.prompt(texts), Side.PROMPT)
        if proxy.models is not None:
            await proxy.models.admit(name(asked, "model"), request_id)
        async with proxy.upstream.ask(Ask("POST", side.path, request_id, orjson.dumps(asked))) as answer:
            raw = await answer.whole()
        return await self._answer(side.call, check, raw)

    def _texts(self, call: SideCall, asked: Json) -> tuple[str, ...]:
        """What a request says. Raises `RequestRefused` for what nobody can read."""
        for field in _INPUTS:
            value = asked.get(field)
            items = value if isinstance(value, list) else [value]
            if any(type(item) is int or isinstance(item, list) for item in items) and not self._reads("token_prompts"):
                raise not_allowed("token_prompts", field)
            holders = [item for item in items if isinstance(item, dict)]
            if call.dialect == _PARTS:  # blocks of another API are only counted
                take_media([{"content": holders}], self._surface)  # a part, or
                take_media(holders, self._surface)  # what has parts
        told = [
            forced_text(asked[field]) if field in _GRAMMARS else "\n".join(strings_in(asked[field]))
            for field in sorted(call.texts & asked.keys())
        ]
        return tuple(text for text in told if text)

    def _reads(self, option: str) -> bool:
        return self._surface.treatment(option) is PASS

    async def _refuse(self, check: GatewayCheck, verdict: Verdict, side: Side) -> None:
        if verdict.action.stops:
            grid_s = self._proxy.ending_grid_s
            if grid_s > 0.0:  # its delay must not tell what found the match
                await asyncio.sleep(grid_s - (check.caller.clock() - check.began) % grid_s)
            raise ContentRefused(check.refusal(verdict, side))

    async def _answer(self, call: SideCall, check: GatewayCheck, raw: bytes) -> bytes:
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise UpstreamFault(UpstreamReason.PROTOCOL, _UNREAD) from None
        if not isinstance(body, dict):
            raise UpstreamFault(UpstreamReason.PROTOCOL, _UNREAD)
        dropped: list[str] = []
        numbers = list(_take_numbers(body, call.numeric))
        changed = keep_known(body, call.answer, dropped)
        for holder, field, value in numbers:
            if field in holder:
                holder[field] = value
        if dropped:
            told = tuple(each[:40] for each in dropped[:_MOST_NAMES])
            self._proxy.observer.observe(FieldsDropped(call.name, len(dropped), told))
        for holder, field in list(_texts_in(body, call.answer)):
            seen = await check.answer(holder[field], "")
            await self._refuse(check, seen.verdict, Side.ANSWER)
            changed |= seen.text != holder[field]
            holder[field] = seen.text
        return orjson.dumps(body) if changed else raw


def _take_numbers(body: Json, fields: frozenset[str]) -> Iterator[tuple[Json, str, object]]:
    """Take the arrays of numbers out, to be put back where the list of known fields has a place for them."""
    for holder in _objects(body):
        for field in fields & holder.keys():
            if _is_numbers(holder[field]) or _is_packed(holder[field]):
                value, holder[field] = holder[field], []
                yield holder, field, value


def _objects(value: object) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
        for item in list(value.values()):
            yield from _objects(item)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            yield from _objects(item)


def _is_numbers(value: object) -> bool:
    if not isinstance(value, list):
        return False
    return all(type(item) in (int, float) or item is None or _is_numbers(item) for item in value)


def _is_packed(value: object) -> bool:
    """True for the base64 of 32-bit floats of a common size: letters read as floats are far larger."""
    if not isinstance(value, str):
        return False
    try:
        raw = a2b_base64(value.encode("ascii"), strict_mode=True)
    except (Error, UnicodeEncodeError):
        return False
    if not raw or len(raw) % 4:
        return False
    return all(math.isfinite(number) and abs(number) < _LARGEST for (number,) in struct.iter_unpack("<f", raw))


def _texts_in(body: Json, fields: Fields) -> Iterator[tuple[Json, str]]:
    for field, known in fields.items():
        value = body.get(field)
        if known is Leaf.TEXT and isinstance(value, str) and value:
            yield body, field
        elif isinstance(known, Each) and isinstance(value, list):
            for item in value:
                yield from _texts_in(item, known.fields)
        elif isinstance(known, Mapping) and isinstance(value, dict):
            yield from _texts_in(value, known)
