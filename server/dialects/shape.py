"""What the events of one stream have in common: nearly all of them differ only in one text.

```
    data: {"id":"c-1",…,"choices":[{"index":0,"delta":{"content":"  The tre  "},"logprobs":null,…}]}
    |------------------------- prefix -----------------------------|  text  |------ suffix ---------|
```

An event that was read in full and may leave as it is gives a shape. The next one that begins and ends with the same
bytes, and has one JSON string and nothing else between them, says the same but for that string: up to there a reader of
JSON has seen the same, so it stands inside the same string, and behind it it sees the same again. It need not be read
in full. Anything else is. Where events also carry a running count of tokens as their last field, the suffix ends before
it, and the count must be one JSON object of the same names and of whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import orjson

from server.dialects.dialect import Channel, Frame, FrameKind, Json, Piece, Unreadable
from server.dialects.sse import SseEvent

_MOST_SHAPES: Final = 8
_MOST_TRIALS: Final = 32
_PROBE: Final = "a text to try"
_HEAD: Final = b"data: "
_COUNT: Final = b',"usage":'
_END: Final = b"}\n\n"

ReadEvent = Callable[[SseEvent], Sequence[Frame]]


Found = tuple["Shape", str, int, Json | None]
"""The shape of an event, its text, where it ends, and its count of tokens."""


class Shape(NamedTuple):
    """`prefix` ends, and `suffix` begins, with the quotation mark of the text, which belongs to `channel`. `counted`:
    the names in the count behind the suffix, None when there is no count."""

    prefix: bytes
    suffix: bytes
    channel: Channel
    key: str
    counted: tuple[str, ...] | None = None


class Shapes:
    """The shapes of one stream. `read` reads an event in full."""

    __slots__ = ("_read", "_trials", "_used")

    def __init__(self, read: ReadEvent) -> None:
        self._read = read
        self._used: list[Shape] = []  # the one that fitted last is tried first
        self._trials = 0

    def find(self, data: bytes, at: int = 0) -> Found | None:
        """How the event that begins at data[at] is read; None when it must be read in full."""
        for number, shape in enumerate(self._used):
            if not data.startswith(shape.prefix, at):
                continue
            begin = at + len(shape.prefix) - 1
            mark = data.find(shape.suffix, begin + 1)
            if mark < 0:
                continue
            end, usage = mark + len(shape.suffix), None
            try:
                text = orjson.loads(data[begin : mark + 1])
                if shape.counted is not None:
                    close = data.find(_END, end)
                    count = data[end : max(end, close)]
                    usage, end = orjson.loads(count), close + len(_END)
                    if orjson.dumps(usage) != count:  # a name that stands twice
                        continue
            except orjson.JSONDecodeError:
                continue
            if not isinstance(text, str) or not text or (shape.counted and not _counts(usage, shape.counted)):
                continue
            if number:
                self._used.insert(0, self._used.pop(number))
            return shape, text, end, usage
        return None

    def frame(self, raw: bytes, shape: Shape, text: str, usage: Json | None) -> Frame:
        """The event of that shape with that text and that count."""
        frame = Frame(raw, read=self._body)
        channel = shape.channel
        frame.choices = (channel.choice,)
        frame.pieces.append(Piece(channel, text, {}, shape.key))
        if usage is not None:
            frame.usage, frame.uncounted = usage, raw[: raw.rfind(_COUNT)] + _END
        return frame

    def learn(self, event: SseEvent, frames: Sequence[Frame]) -> None:
        """Look for a shape in an event that was read in full."""
        if len(frames) != 1 or self._trials >= _MOST_TRIALS or not event.plain or event.raw[: len(_HEAD)] != _HEAD:
            return
        frame = frames[0]
        if not _is_common(frame) or event.raw.find(b"\n") != len(event.raw) - 2 or b"\r" in event.raw:
            return
        self._trials += 1
        piece = frame.pieces[0]
        literal = orjson.dumps(piece.text)
        if event.raw.count(literal) != 1:
            return
        prefix, _, suffix = event.raw.partition(literal)
        counted = None
        if frame.usage is not None:
            counted = tuple(frame.usage)
            suffix, count, rest = suffix.rpartition(_COUNT)
            if rest != orjson.dumps(frame.usage) + _END or not _counts(frame.usage, counted):
                return
            suffix += count
        shape = Shape(prefix + b'"', b'"' + suffix, piece.channel, piece.key, counted)
        if self._holds(shape, frame):
            self._used.insert(0, shape)
            del self._used[_MOST_SHAPES:]

    def _holds(self, shape: Shape, frame: Frame) -> bool:
        """True when another text and another count in these places are read as just that."""
        raw = shape.prefix[:-1] + orjson.dumps(_PROBE) + shape.suffix[1:]
        usage = None
        if shape.counted is not None:
            usage = {name: 7 + number for number, name in enumerate(shape.counted)}
            raw += orjson.dumps(usage) + _END
        try:
            tried = self._read(SseEvent(raw, raw[len(_HEAD) : -2]))
        except Unreadable:
            return False
        if len(tried) != 1 or not _is_common(tried[0]) or tried[0].usage != usage:
            return False
        (piece,) = tried[0].pieces
        if (piece.channel, piece.text, piece.key) != (shape.channel, _PROBE, shape.key):
            return False
        piece.holder[piece.key] = frame.pieces[0].text
        same = {**tried[0].body, "usage": frame.usage} if usage is not None else tried[0].body
        return tried[0].choices == frame.choices and same == frame.body

    def _body(self, raw: bytes) -> tuple[Json, Sequence[Json]]:
        (frame,) = self._read(SseEvent(raw, raw[len(_HEAD) : -2]))
        return frame.body, [piece.holder for piece in frame.pieces]


def _is_common(frame: Frame) -> bool:
    """True for an event that leaves as it is and holds one text, of one choice that goes on."""
    return (
        frame.kind is FrameKind.TEXT
        and not frame.changed
        and not frame.dropped
        and not frame.ends
        and len(frame.choices) == 1
        and len(frame.pieces) == 1
        and not frame.pieces[0].channel.hold_whole
    )


def _counts(usage: Any, names: tuple[str, ...]) -> bool:  # Any: other people's JSON
    """True for an object of whole numbers with just these names, in this order; what is not told is null."""
    if not isinstance(usage, dict) or tuple(usage) != names:
        return False
    return all(value is None or type(value) is int for value in usage.values())
