"""Reads the events of a stream: which of their texts are new, and which only repeat what was said.

```
    output_text.delta  "The tre"     more of a text        a piece
    output_text.done   "The treaty"  says what the deltas said: no piece; when it is told, it says what they told
    output_item.done   "The canal"   says something else:  a piece of its own, judged whole before any of it leaves
```
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

import orjson

from server.dialects.dialect import Asked, Channel, Frame, FrameKind, Json, Piece, Unreadable
from server.dialects.responses_envelope import keep_response, usage_of_response
from server.dialects.responses_fields import DELTAS, EVENT_FIELDS, FAULTS, LAST
from server.dialects.responses_ids import BoundIds
from server.dialects.responses_items import SPEECH, Slot, Text, keep_event, texts_of_event, texts_of_response, type_of
from server.dialects.spelling import hides
from server.dialects.sse import DONE, SseEvent, encode_event

_CONTRADICTED: Final = ".whole"
_SPOKEN: Final = frozenset({SPEECH, SPEECH + _CONTRADICTED})


class Way(Enum):
    """How an event tells a text."""

    MORE = auto()  # what follows what was told of it
    WHOLE = auto()  # all of it, and not what was told of it before
    AGAIN = auto()  # what was told of it


class ResponseFrame(Frame):
    """An event with its texts. `type` is empty where nothing of it is told."""

    __slots__ = ("texts", "type")

    def __init__(self, raw: bytes, body: Json, type_: str = "") -> None:
        super().__init__(raw, body)
        self.type = type_
        self.texts: list[tuple[Text, Way]] = []
        self.choices = (0,)

    @property
    def unsaid(self) -> bool:
        """True when all that it would have brought was taken out of it."""
        return self.changed and bool(self.pieces) and all(way is Way.MORE and not t.text for t, way in self.texts)


class FrameReader:
    """Reads the events of one stream. Remembers what was said."""

    __slots__ = ("_given", "_heard", "_ids", "_json", "_wholes")

    def __init__(self, asked: Asked, ids: BoundIds | None) -> None:
        self._given, self._ids = asked.body, ids
        # what must have a shape is judged as JSON: a redaction that does not fit would break it
        self._json = _SPOKEN if asked.structured is not None else frozenset()
        self._heard: dict[Slot, list[str]] = {}
        self._wholes = 0  # texts that came whole

    def read(self, event: SseEvent) -> Sequence[Frame]:
        """The frames of an event. Raises `Unreadable`."""
        if event.data == DONE:
            last = ResponseFrame(event.raw if event.plain else encode_event(DONE), {})
            last.kind, last.choices = FrameKind.DONE, ()
            return (last,)
        body = read_json(event.data)
        type_ = type_of(body)
        if type_ in FAULTS or (type_ not in EVENT_FIELDS and "error" in body):
            return (Frame(event.raw, body, FrameKind.ERROR),)
        frame = ResponseFrame(event.raw, body)
        hidden = hides(event.data, body)
        if type_ not in EVENT_FIELDS:
            frame.dropped.append(type_)
        elif keep_event(body, frame.dropped):
            frame.type = type_
            # an event is told by its own bytes only where they hold nothing else, and its name is its type
            frame.changed = hidden or event.name != type_.encode()
            return self._read(frame)
        return (frame,)

    def _read(self, frame: ResponseFrame) -> Sequence[Frame]:
        response = frame.body.get("response")
        if isinstance(response, dict):
            frame.changed |= keep_response(response, self._given, self._ids, frame.dropped)
        frame.changed |= bool(frame.dropped)
        if frame.type in LAST and isinstance(response, dict):
            return self._read_last(frame, response)
        for text in texts_of_event(frame.body):
            if frame.type in DELTAS:
                self._heard.setdefault(text.slot, []).append(text.text)
                self._add(frame, text, Way.MORE)
            else:
                self._compare(frame, text)
        return (frame,)

    def _read_last(self, last: ResponseFrame, response: Json) -> Sequence[Frame]:
        """What ends the stream; before it a frame that tells nothing, for what it says that nobody said before."""
        new = ResponseFrame(b"", {})
        for text in texts_of_response(response):
            if text.text != self._said(text.slot):
                self._compare(new, text._replace(holder={text.key: text.text}))
            last.texts.append((text, Way.AGAIN))
        last.kind, last.choices, last.usage = FrameKind.DONE, (), usage_of_response(response)
        return (new, last) if new.texts else (last,)

    def _said(self, slot: Slot) -> str:
        return "".join(self._heard.get(slot, ()))

    def _compare(self, frame: ResponseFrame, text: Text) -> None:
        said = self._said(text.slot)
        if text.text == said:
            frame.texts.append((text, Way.AGAIN))
            return
        self._heard[text.slot] = [text.text]
        channel = text.channel
        if not channel.hold_whole:
            # what nobody said before is speech; what contradicts it must not be taken for its continuation
            self._wholes += 1
            name = channel.name + _CONTRADICTED if said else channel.name
            channel = Channel(channel.choice, name, hold_whole=True, part=f"{channel.part}!{self._wholes}")
        elif said:
            self._wholes += 1
            channel = channel._replace(part=f"!{self._wholes}")
        self._add(frame, text._replace(channel=channel), Way.WHOLE)

    def _add(self, frame: ResponseFrame, text: Text, way: Way) -> None:
        frame.texts.append((text, way))
        if text.text:
            channel = text.channel._replace(json=True) if text.channel.name in self._json else text.channel
            frame.pieces.append(Piece(channel, text.text, text.holder, text.key))


def read_json(data: bytes) -> Json:
    """The JSON object in these bytes. Raises `Unreadable`."""
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Unreadable("not JSON") from None
    if not isinstance(body, dict):
        raise Unreadable("not an object")
    return body
