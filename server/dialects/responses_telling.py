"""A stream of `/v1/responses`: numbers the events that leave, and lets what repeats a text say what was told of it.

```
    created  in_progress  item.added  part.added  delta …  | taken from upstream
                                                           +-> delta (the rest)  text.done  part.done  item.done
             in the part that is open, or in a message         response.completed | response.incomplete
```
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Sequence
from typing import Final

from server.dialects.dialect import SUPPRESSED, Asked, Ending, Frame, FrameKind, Json, encode_named
from server.dialects.responses_envelope import (
    bind_ids,
    blank_response,
    finish,
    message,
    message_id,
    part,
    status_of,
    told_usage,
)
from server.dialects.responses_fields import ADDED, ITEM_DONE, PART_ADDED, PART_DONE
from server.dialects.responses_frames import FrameReader, ResponseFrame, Way
from server.dialects.responses_ids import BoundIds
from server.dialects.responses_items import SPEECH, Slot, number_of, owner_of, type_of
from server.dialects.sse import SseEvent
from server.faults import Told

_FEW_WORDS: Final = re.compile(r"\s*(?:\S+\s*){1,3}|\s+")
_CREATED: Final = ("response.created", "response.in_progress")


class _Item:
    """An item that was begun and is not complete. `part` is the one that is open, `parts` how many there were."""

    __slots__ = ("body", "number", "part", "parts")

    def __init__(self, body: Json, number: int) -> None:
        self.body, self.number = body, number
        self.part: Json | None = None
        self.parts = 0

    @property
    def owner(self) -> str:
        return owner_of(self.body, self.number)


class ResponseTelling:
    """See `server.dialects.dialect.Telling`. Events up to number `after` are judged, and not told."""

    __slots__ = (
        "_after",
        "_asked",
        "_ended",
        "_ids",
        "_item",
        "_items",
        "_number",
        "_reader",
        "_response",
        "_sequence",
        "_told",
    )

    def __init__(self, asked: Asked, ids: BoundIds | None, after: int | None = None) -> None:
        self._asked, self._ids, self._after = asked, ids, after
        self._reader = FrameReader(asked, ids)
        self._response: Json | None = None  # as it was last told
        self._sequence: int | None = None  # of the next event; unknown before the first
        self._told: dict[Slot, list[str]] = {}
        self._items: dict[str, Json] = {}  # as they were last told, in their order
        self._item: _Item | None = None
        self._number = 0  # of the next item
        self._ended: Ending | None = None

    def read(self, event: SseEvent) -> Sequence[Frame]:
        """One event of upstream's. Raises `Unreadable`."""
        return self._reader.read(event)

    def tell(self, frame: Frame) -> bytes:
        """The bytes of an event; where it repeats a text, as far as that was told."""
        assert isinstance(frame, ResponseFrame)
        if frame.kind is FrameKind.DONE and self._ended is not None:
            return self._close(frame.body.get("response"))
        self._settle(frame)
        if not frame.type or frame.unsaid:
            return frame.raw if frame.kind is FrameKind.DONE else b""
        self._remember(frame.type, frame.body)
        number = frame.body.get("sequence_number")
        if self._sequence is None:
            self._sequence = number if isinstance(number, int) else 0
        if number != self._sequence:
            frame.body["sequence_number"], frame.changed = self._sequence, True
        self._sequence += 1
        if self._is_known(self._sequence - 1):
            return b""
        return encode_named(frame.body) if frame.changed else frame.raw

    def open(self, request_id: str, created: int) -> bytes:
        """The two events that begin an answer."""
        response = blank_response(self._asked, request_id, created)
        bind_ids(response, self._ids)
        return b"".join(self._say(type_, response=response) for type_ in _CREATED)

    def end(self, ending: Ending) -> bytes:
        """The text, in the message that is open or in one of its own, and what completes the message."""
        begun = self._response is not None or self._sequence is not None
        out = [] if begun else [self.open(uuid.uuid4().hex, int(time.time()))]
        item, text = self._item, ending.text
        if item is None or item.part is None or item.part.get("type") != SPEECH:
            out += self._leave_item()
            item, text = self._begin_message(out), text.lstrip()
        texts = _FEW_WORDS.findall(text) if ending.paced else [text] if text else []
        slot = (item.owner, f"content[{item.parts}]")
        place = {"item_id": item.owner, "output_index": item.number, "content_index": item.parts}
        for words in texts:
            self._told.setdefault(slot, []).append(words)
            out.append(self._say("response.output_text.delta", **place, delta=words, logprobs=[]))
        said = self._said(slot)
        out.append(self._say("response.output_text.done", **place, text=said, logprobs=[]))
        out.append(self._say(PART_DONE, **place, part=part(said)))
        done = {**item.body, "status": status_of(ending.finish_reason)}
        out.append(self._say(ITEM_DONE, output_index=item.number, item=done))
        self._ended = ending
        return b"".join(out)

    def close(self, usage: Json | None) -> bytes:
        """The whole response as the client has seen it."""
        response = {**(self._response or {}), "usage": told_usage(usage) if usage is not None else None}
        return self._close(response)

    def fail(self, told: Told) -> bytes:
        """An error event. The official clients raise what stands in `error`."""
        error = {"type": told.type, "code": told.code, "message": told.message, "param": told.param}
        code = None if told.code is None else str(told.code)
        return self._say("error", code=code, message=told.message, param=told.param, error=error)

    # -- what was told --

    def _settle(self, frame: ResponseFrame) -> None:
        for text, way in frame.texts:
            if way is Way.MORE:
                self._told.setdefault(text.slot, []).append(text.text)
            elif way is Way.WHOLE:
                self._told[text.slot] = [text.text]
            elif text.text != self._said(text.slot):
                text.holder[text.key], frame.changed = self._said(text.slot), True

    def _said(self, slot: Slot) -> str:
        return "".join(self._told.get(slot, ()))

    def _remember(self, type_: str, body: Json) -> None:
        """What the client has seen of the response and of the item that is open."""
        item = self._item
        if "response" in body:
            self._response = body["response"]
        elif type_ == ADDED:
            self._item = _Item(body["item"], number_of(body))
            self._items[self._item.owner] = body["item"]
            self._number = max(self._number, self._item.number + 1)
        elif type_ == ITEM_DONE:
            self._items[owner_of(body["item"], number_of(body))] = body["item"]
            self._number = max(self._number, number_of(body) + 1)
            self._item = None
        elif item is not None and type_ == PART_ADDED:
            item.part, item.parts = body["part"], number_of(body, "content_index")
        elif item is not None and type_ == PART_DONE:
            content = item.body.get("content")
            item.body["content"] = [*(content if isinstance(content, list) else ()), body["part"]]
            item.part, item.parts = None, item.parts + 1

    # -- what we tell --

    def _say(self, type_: str, **fields: object) -> bytes:
        """An event of our own."""
        self._sequence = self._sequence or 0
        body = dict(sorted({**fields, "sequence_number": self._sequence, "type": type_}.items()))  # as vLLM orders them
        self._sequence += 1
        self._remember(type_, body)
        return b"" if self._is_known(self._sequence - 1) else encode_named(body)

    def _is_known(self, number: int) -> bool:
        """True for an event that the client has seen already, in an earlier stream."""
        return self._after is not None and number <= self._after

    def _leave_item(self) -> list[bytes]:
        """The item that is open does not go on. A call that is not complete says nothing that could be carried out."""
        item, out = self._item, []
        if item is None:
            return []
        if item.part is not None:
            type_ = type_of(item.part)
            key = "refusal" if type_ == "refusal" else "text"
            told = {key: self._said((item.owner, f"content[{item.parts}]"))}
            place = {"item_id": item.owner, "output_index": item.number, "content_index": item.parts}
            body = {**item.part, **told}
            out = [self._say(f"response.{type_}.done", **place, **told), self._say(PART_DONE, **place, part=body)]
        left: Json = {**item.body, "status": "incomplete"}
        left.update({key: "" for key in ("arguments", "input") if key in left})
        return [*out, self._say(ITEM_DONE, output_index=item.number, item=left)]

    def _begin_message(self, out: list[bytes]) -> _Item:
        identity = (self._response or {}).get("id")
        number = self._number
        begun = message(message_id(identity, number), [], "in_progress")
        out.append(self._say(ADDED, output_index=number, item=begun))
        place = {"item_id": begun["id"], "output_index": number, "content_index": 0}
        out.append(self._say(PART_ADDED, **place, part=part("")))
        assert self._item is not None
        return self._item

    def _close(self, response: Json | None) -> bytes:
        ended = self._ended
        told = {**(self._response or {}), **(response or {}), "output": list(self._items.values())}
        told.pop("metrics", None)  # it counts tokens too
        finish(told, ended.finish_reason if ended is not None else SUPPRESSED)
        self._after = None  # whatever the client knows of it, this ends what it follows
        return self._say(f"response.{told['status']}", response=told)
