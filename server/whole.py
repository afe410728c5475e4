"""A guarded answer that comes whole: judged as one, then sent as it is or with what was suppressed replaced."""

from __future__ import annotations

from server.dialects.dialect import Ending, Frame, Unreadable, encode
from server.exchange import Exchange
from server.faults import UpstreamFault
from server.guarding import AnswerGuard
from server.lanes import Held
from server.observation import UpstreamReason
from server.remedies import Remedies
from server.usage import suppressed_usage


async def guard_whole(exchange: Exchange, guard: AnswerGuard | None, remedies: Remedies, raw: bytes) -> bytes:
    """The body for the client. Raises `UpstreamFault` and `GuardUnavailable`."""
    frame = _read(exchange, raw)
    exchange.note(frame)
    if guard is None:
        return encode(frame.body) if frame.changed else raw
    held = Held(frame, exchange.now())
    guard.take(held)
    guard.finish_all()
    await guard.settle()
    stopped = guard.stops.keys()
    said = dict.fromkeys(frame.choices, "")
    for piece in frame.pieces:
        if piece.channel.choice not in stopped:
            said[piece.channel.choice] += piece.text + "\n"
    try:
        for choice in sorted(stopped):
            stop = guard.guarded(choice).stop
            assert stop is not None
            remedy = await remedies.remedy(choice, stop.verdict, "", "")
            exchange.dialect.replace(frame, Ending(choice, remedy.text, remedy.finish_reason))
            said[choice] = remedy.text
    finally:
        for choice in frame.choices:
            exchange.concluded(guard.guarded(choice))
        exchange.leaked = None  # nothing had left
    if stopped or held.altered:
        delivered = "\n".join(said.values())
        exchange.dialect.recount(frame, suppressed_usage(frame.usage, exchange.asked, delivered))
    return encode(frame.body) if frame.changed else raw


def _read(exchange: Exchange, raw: bytes) -> Frame:
    try:
        frame = exchange.dialect.body(raw, exchange.asked)
    except Unreadable:
        raise UpstreamFault(UpstreamReason.PROTOCOL, "the model server's answer cannot be read") from None
    if any(not 0 <= choice < exchange.asked.choices for choice in frame.choices):
        raise UpstreamFault(UpstreamReason.PROTOCOL, "the model server sent a choice that nobody asked for")
    return frame
