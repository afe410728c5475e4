"""Server-sent events: bytes in any pieces -> events, with the bytes that each one came in.

```
    bytes:   data: {..}\\n\\n : keep-alive\\n\\n data: [DO   NE]\\n\\n      an event ends at an empty line;
    events:  ^ SseEvent      ^ SseComment      ^ held until its end     a line ends with \\n, \\r\\n or \\r
```
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_LINE: Final = re.compile(rb"\r\n|\n|\r")
_LONGEST_END: Final = 4

LONGEST_EVENT: Final = 8 * 1024 * 1024


class SseBroken(Exception):
    """The other side does not speak server-sent events."""


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One event. `raw` are its own bytes with the empty line; `plain` says that they hold its data and nothing else,
    `name` that they hold its data and this name and nothing else."""

    raw: bytes
    data: bytes
    plain: bool = True
    name: bytes = b""


@dataclass(frozen=True, slots=True)
class SseComment:
    """Only comments: the other side shows that it is alive."""


def encode_event(data: bytes) -> bytes:
    """An event that carries one line of data."""
    return b"data: " + data + b"\n\n"


END: Final = b"\n\n"
"""How nearly all events end."""

KEEP_ALIVE: Final = b": keep-alive\n\n"
DONE: Final = b"[DONE]"


class SseReader:
    """Cuts a stream of bytes into events: `feed` answers those that are complete."""

    def __init__(self, longest: int = LONGEST_EVENT) -> None:
        self._longest = longest
        self._buffer = b""
        self._scanned = 0

    @property
    def pending(self) -> bool:
        """True when an unfinished event is held."""
        return bool(self._buffer.strip())

    @property
    def idle(self) -> bool:
        """True when nothing at all is held: the next byte begins an event."""
        return not self._buffer

    def feed(self, data: bytes) -> list[SseEvent | SseComment]:
        """Take more bytes. Raises `SseBroken` when one event is longer than allowed."""
        buffer = self._buffer + data if self._buffer else data
        events: list[SseEvent | SseComment] = []
        begin = 0
        scan = max(0, self._scanned - _LONGEST_END)
        while found := _END.search(buffer, scan):
            end = found.end()
            if end == len(buffer) and buffer.endswith(b"\r"):
                break  # the next byte may belong to this line's end
            event = _read(buffer[begin:end])
            if event is not None:
                events.append(event)
            begin = scan = end
        self._buffer = buffer[begin:]
        self._scanned = len(self._buffer)
        if self._scanned > self._longest:
            raise SseBroken(f"an event is longer than {self._longest} bytes")
        return events

    def end(self) -> list[SseEvent | SseComment]:
        """No more bytes come. An event without its empty line is discarded, as the standard says."""
        if not _END.search(self._buffer):
            return []
        raw, self._buffer = self._buffer, b""
        event = _read(raw)
        return [] if event is None else [event]


def _read(raw: bytes) -> SseEvent | SseComment | None:
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
        return SseEvent(raw, raw[6:-2])
    data: list[bytes] = []
    names: list[bytes] = []
    lines = [line for line in _LINE.split(raw) if line]
    for line in lines:
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            names.append(value.removeprefix(b" "))
    if data:
        name = names[0] if len(names) == 1 and len(lines) == len(data) + 1 else b""
        return SseEvent(raw.lstrip(b"\r\n"), b"\n".join(data), len(data) == len(lines), name)
    return SseComment() if lines else None
