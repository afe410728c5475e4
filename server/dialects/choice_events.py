"""A stream of the dialects with `choices`: every event stands for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from server.dialects.dialect import Asked, Ending, Frame, FrameKind, Json, encode_events, encode_frame
from server.dialects.envelope import HEAD
from server.dialects.shaped import shape
from server.dialects.sse import DONE, SseEvent, encode_event
from server.faults import Told

LAST: Final = encode_event(DONE)
"""What ends a stream."""


class ChoiceEvents(Protocol):
    """What these dialects say differently."""

    @property
    def speech(self) -> str: ...
    def event(self, event: SseEvent) -> Sequence[Frame]: ...
    def ending(self, head: Mapping[str, Any], ending: Ending) -> list[Json]: ...
    def head(self, asked: Asked, request_id: str, created: int, whole: bool) -> Json: ...
    def error(self, told: Told) -> Json: ...
    def fit(self, frame: Frame) -> None: ...


class ChoicesTelling:
    """See `server.dialects.dialect.Telling`. Remembers what the events of one answer repeat."""

    __slots__ = ("_asked", "_dialect", "_head")

    def __init__(self, dialect: ChoiceEvents, asked: Asked) -> None:
        self._dialect, self._asked = dialect, asked
        self._head: Json = {}

    def read(self, event: SseEvent) -> Sequence[Frame]:
        """One event of upstream's, in one frame per choice. Raises `Unreadable`."""
        frames = self._dialect.event(event)
        for frame in frames:
            shape(frame, self._asked, self._dialect.speech, whole=False)
        if not self._head and frames and frames[0].kind is FrameKind.TEXT:
            body = frames[0].body
            self._head = {key: body[key] for key in HEAD if key in body}
        return frames

    def tell(self, frame: Frame) -> bytes:
        """The bytes of an event."""
        if frame.changed:
            self._dialect.fit(frame)
        return encode_frame(frame)

    def open(self, request_id: str, created: int) -> bytes:
        """Nothing: the first event of a choice begins it."""
        self._head = self._dialect.head(self._asked, request_id, created, False)
        return b""

    def end(self, ending: Ending) -> bytes:
        """Events with the text, and one that finishes the choice."""
        return encode_events(self._dialect.ending(self._head, ending))

    def close(self, usage: Json | None) -> bytes:
        """The usage in an event without choices, and the last word."""
        told = [{**self._head, "choices": [], "usage": usage}] if usage is not None else []
        return encode_events(told) + LAST

    def fail(self, told: Told) -> bytes:
        """The error object, and the last word."""
        return encode_events([self._dialect.error(told)]) + LAST
