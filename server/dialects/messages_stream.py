"""A stream of `/v1/messages`: events in blocks, each begun and ended once, and one ending of the whole.

```
    message_start  [content_block_start  content_block_delta …  content_block_stop] …  message_delta  message_stop
                      held back while it is a tool's, until some of its input, or its end, has left
```
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from typing import Final

import orjson

from server.dialects.dialect import Asked, Ending, Frame, FrameKind, Json, Unreadable, encode_named
from server.dialects.fields import keep_known
from server.dialects.messages_errors import error_body
from server.dialects.messages_fields import (
    BEGUN_FIELDS,
    EVENT_FIELDS,
    KNOWN_BLOCKS,
    KNOWN_DELTAS,
    TEXT_BLOCK,
    THINKING_BLOCK,
    TOOL_BLOCK,
    counted,
    keep_message,
    pieces_of,
    stop_sequence_of,
    stopped,
    told_usage,
)
from server.dialects.shaped import shape
from server.dialects.spelling import hides
from server.dialects.sse import DONE, SseEvent, encode_event
from server.faults import Told

_FEW_WORDS: Final = re.compile(r"\s*(?:\S+\s*){1,3}|\s+")
_EVENT_NAME: Final = re.compile(r"[a-z_]{1,40}")
_DELTA_OF: Final = {TEXT_BLOCK: "text_delta", THINKING_BLOCK: "thinking_delta"}


class MessagesTelling:
    """See `server.dialects.dialect.Telling`. Blocks are numbered without gaps, whatever upstream calls them."""

    __slots__ = (
        *("_asked", "_ends", "_kinds", "_message", "_numbers", "_prompt"),  # read
        *("_begun", "_ending", "_finished", "_next", "_open", "_over", "_unasked", "_waiting"),  # told
    )

    def __init__(self, asked: Asked, message: Callable[[str], Json]) -> None:
        """`message` makes the beginning of an answer of our own, given its id."""
        self._message: Json | Callable[[str], Json] = message
        self._asked = asked
        self._kinds: list[str] = []  # of blocks, by our numbers
        self._numbers: dict[object, int] = {}  # upstream's number of a block that is open: ours
        self._prompt: Json | None = None  # the count that the answer began with
        self._ends: Frame | None = None
        self._begun = self._finished = self._over = self._unasked = False
        self._open: str | None = None  # the kind of the block that was begun last, and not ended
        self._next = 0  # the number of the next block
        self._waiting = b""  # the beginning of a tool call of which no input has left
        self._ending: Ending | None = None

    # -- upstream's events --

    def read(self, event: SseEvent) -> Sequence[Frame]:
        """One event of upstream's. Raises `Unreadable`."""
        if event.data == DONE:  # older servers end like the dialects with choices
            return (Frame(event.raw if event.plain else encode_event(DONE), kind=FrameKind.DONE),)
        try:
            body = orjson.loads(event.data)
        except orjson.JSONDecodeError:
            raise Unreadable("not JSON") from None
        if not isinstance(body, dict):
            raise Unreadable("not an object")
        kind = body.get("type")
        if not isinstance(kind, str) or kind not in EVENT_FIELDS:
            told = kind == "error" or "error" in body
            return (Frame(event.raw, body, FrameKind.ERROR) if told else _nothing(kind),)
        frame = Frame(event.raw, body)
        frame.choices = (0,)
        hidden = hides(event.data, body)
        frame.changed = keep_known(body, EVENT_FIELDS[kind], frame.dropped) or hidden or event.name != kind.encode()
        if kind == "message_start":
            if not callable(self._message):
                return (_nothing(kind, frame),)  # it began already
            self._read_start(frame)
        elif kind == "message_delta":
            return self._read_end(frame)
        elif kind == "message_stop":
            frame.kind, frame.choices = FrameKind.CLOSING, ()
        elif kind != "ping":
            return (self._read_block(frame, kind),)
        return (frame,)

    def _read_start(self, frame: Frame) -> None:
        message = frame.body.get("message")
        if not isinstance(message, dict):
            raise Unreadable("a beginning without a message")
        frame.changed |= keep_message(message, BEGUN_FIELDS, self._asked.model, frame.dropped)
        self._message = message
        self._prompt = frame.usage = counted(message.get("usage"))

    def _read_end(self, frame: Frame) -> Sequence[Frame]:
        """What ends the text, and what tells it: the count is that of the whole answer, so it leaves last."""
        last = Frame(frame.raw, frame.body, FrameKind.CLOSING)
        last.changed, frame.changed = frame.changed, False
        last.usage = counted(frame.body.get("usage"), self._prompt)
        frame.ends = (0,)
        frame.pieces.extend(stop_sequence_of(frame.body.get("delta") or {}))
        self._ends = frame
        return (frame, last)

    def _read_block(self, frame: Frame, kind: str) -> Frame:
        if callable(self._message):
            raise Unreadable("a block before the beginning")
        body, number = frame.body, frame.body.get("index")
        if kind == "content_block_start":
            block = body.get("content_block") or {}
            if not isinstance(number, int) or block.get("type") not in KNOWN_BLOCKS:
                self._numbers.pop(number, None)
                return _nothing("content_block", frame)
            self._numbers[number] = len(self._kinds)
            self._kinds.append(block["type"])
        holder = body.get("content_block" if kind == "content_block_start" else "delta") or {}
        ours = self._numbers.get(number)
        if ours is None or (kind == "content_block_delta" and holder.get("type") not in KNOWN_DELTAS):
            return _nothing("delta", frame)
        if ours != number:
            body["index"], frame.changed = ours, True
        if kind == "content_block_stop":
            del self._numbers[number]
        frame.pieces.extend(pieces_of(holder, ours))
        shape(frame, self._asked, TEXT_BLOCK, whole=False)
        return frame

    # -- the client's events --

    def tell(self, frame: Frame) -> bytes:
        """The bytes of an event."""
        if frame.kind is FrameKind.DONE:
            return (self._close(None) if self._ending is not None else b"") + frame.raw
        body = frame.body
        if not body:
            return frame.raw
        kind, told = body["type"], encode_named(body) if frame.changed else frame.raw
        if kind.startswith("content_block"):
            return self._tell_block(kind, body, told)
        if kind == "message_delta":
            return b"" if frame.ends or self._finished else self._tell_end(frame)
        if kind == "message_stop":
            if self._ending is not None and not self._finished:
                return b""  # what ends the answer has to be told before it
            self._over = True
        self._begun |= kind == "message_start"
        return told

    def _tell_block(self, kind: str, body: Json, told: bytes) -> bytes:
        number = body["index"]
        if kind == "content_block_start":
            before, self._waiting = self._waiting, b""
            before += self._stop()  # where upstream forgot to
            self._open, self._next = self._kinds[number], number + 1
            if self._open != TOOL_BLOCK:
                return before + told
            self._waiting = told
            return before
        if number >= self._next:  # its beginning held nothing but what was redacted
            told = self._start(self._kinds[number]) + told
        if self._waiting and kind == "content_block_delta" and not body["delta"].get("partial_json"):
            self._waiting += told
            return b""
        told, self._waiting = self._waiting + told, b""
        if kind == "content_block_stop":
            self._open = None
        return told

    def _tell_end(self, frame: Frame) -> bytes:
        if self._ending is not None:
            return self._finish(frame.body.get("usage")) if frame.usage is not None else b""
        self._finished = True
        changed = frame.changed or (self._ends is not None and self._ends.changed)
        before, self._waiting = self._waiting, b""
        return before + self._stop() + (encode_named(frame.body) if changed else frame.raw)

    # -- events of our own --

    def open(self, request_id: str, created: int) -> bytes:
        """Nothing yet: the beginning tells the count of the question, which is known when the answer is closed."""
        self._unasked = True
        if callable(self._message):
            self._message = self._message(request_id)
        return b""

    def end(self, ending: Ending) -> bytes:
        """The text, in the block of text that is open or in one of its own. A tool call that was not told to its end
        is none: what waited of it never leaves."""
        self._ending = ending
        return b"" if self._unasked else self._say(ending)

    def _say(self, ending: Ending) -> bytes:
        out = b"" if self._begun else self._begin()
        if self._waiting:
            self._waiting, self._open = b"", None
            self._next -= 1
        if self._open != TEXT_BLOCK:
            out += self._stop() + self._start(TEXT_BLOCK)
        texts = _FEW_WORDS.findall(ending.text) if ending.paced else [ending.text] if ending.text else []
        return out + b"".join(self._delta({"type": "text_delta", "text": text}) for text in texts)

    def close(self, usage: Json | None) -> bytes:
        """Why the answer is over, its count, and the last word; what of that was told already is not told again."""
        return self._close(usage)

    def fail(self, told: Told) -> bytes:
        """The error object."""
        return encode_named(error_body(told))

    def _close(self, usage: Json | None) -> bytes:
        if self._over:
            return b""
        out, count = b"", told_usage(usage or {})
        if self._prompt is not None:  # the question is counted once
            count = {**told_usage(self._prompt), "output_tokens": count["output_tokens"]}
        if self._unasked and self._ending is not None and isinstance(self._message, dict):
            self._message["usage"] = {**count, "output_tokens": 0}
            out = self._say(self._ending)
        if not self._finished:
            out += self._finish(count)
        self._over = True
        return out + encode_named({"type": "message_stop"})

    def _finish(self, usage: object) -> bytes:
        self._finished = True
        reason = self._ending.finish_reason if self._ending is not None else "stop"
        return self._stop() + encode_named({"type": "message_delta", "delta": stopped(reason), "usage": usage})

    def _begin(self) -> bytes:
        self._begun = True
        message = self._message(uuid.uuid4().hex) if callable(self._message) else self._message
        return encode_named({"type": "message_start", "message": message})

    def _start(self, kind: str) -> bytes:
        self._open, self._next = kind, self._next + 1
        block = {"type": kind, kind: ""}
        return encode_named({"type": "content_block_start", "index": self._next - 1, "content_block": block})

    def _delta(self, delta: Json) -> bytes:
        return encode_named({"type": "content_block_delta", "index": self._next - 1, "delta": delta})

    def _stop(self) -> bytes:
        """The end of the block that is open; one of thoughts is signed as any other."""
        if self._open is None:
            return b""
        signed = {"type": "signature_delta", "signature": uuid.uuid4().hex}
        out = self._delta(signed) if self._open == THINKING_BLOCK else b""
        self._open = None
        return out + encode_named({"type": "content_block_stop", "index": self._next - 1})


def _nothing(name: object, frame: Frame | None = None) -> Frame:
    """An event of which nothing leaves."""
    nothing = Frame(b"", {})
    nothing.choices = (0,)
    shown = name if isinstance(name, str) and _EVENT_NAME.fullmatch(name) else "event"
    nothing.dropped = [*(frame.dropped if frame is not None else ()), shown]
    return nothing
