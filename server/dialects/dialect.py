"""What a dialect is: one API's way to carry text. Everything else of the proxy sees only these types.

```
    request bytes --read--> Asked     upstream bytes --Telling.read / Dialect.body--> Frame --> Piece, Piece, …
                                                                                        |  guarded, texts put back
                                      client bytes   <----Telling.tell / encode---------+
```
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol

import orjson

from server.dialects.sse import SseEvent, encode_event
from server.faults import Told
from server.structured import Structured

Json = dict[str, Any]
"""Other people's JSON object: touched in `server/dialects/` only."""

ReadBody = Callable[[bytes], tuple[Json, Sequence[Json]]]
"""The body in the bytes of an event, and what holds each of its pieces."""


class Channel(NamedTuple):
    """One stream of text inside an answer.

    `hold_whole`: a part of it is of no use, so it leaves whole. `json`: it is JSON, judged as what it says once read.
    `group`: the events of all channels of one group, which follow each other, leave together: those of a tool call.
    `part`: which text of that name it is, where there are several: no word begins in one and ends in the next.
    """

    choice: int
    name: str
    hold_whole: bool = False
    json: bool = False
    group: str = ""
    part: str = ""


@dataclass(slots=True)
class Piece:
    """A text of a channel and where in its frame it stands: `holder[key]`."""

    channel: Channel
    text: str
    holder: Json
    key: str


class FrameKind(Enum):
    """What a frame is for."""

    TEXT = "text"  # carries choices
    CLOSING = "closing"  # about the whole answer: usage
    ERROR = "error"
    DONE = "done"  # nothing comes after it


class Frame:
    """One event of a stream, or one whole body, with only the fields that are known.

    `raw` leaves as it is unless `changed`; `uncounted` is the same without the count of tokens, where that is known.
    `ends` are the choices that finish here. `usage` has the names of the dialects with choices (`prompt_tokens`,
    `completion_tokens`, `total_tokens`) in every API; `sums_up`: it is the count of the whole answer. Of an event that
    was read by what it has in common with others (`server.dialects.shape`), the body is read when it is first asked
    for, by `read`.
    """

    __slots__ = (
        *("_body", "_read", "changed", "choices", "dropped", "ends", "kind", "pieces", "raw"),
        *("sums_up", "uncounted", "usage"),
    )

    def __init__(
        self, raw: bytes, body: Json | None = None, kind: FrameKind = FrameKind.TEXT, read: ReadBody | None = None
    ) -> None:
        self.raw, self.kind = raw, kind
        self._body: Json = {} if body is None else body
        self._read = read
        self.uncounted: bytes | None = None
        self.changed = self.sums_up = False
        self.pieces: list[Piece] = []
        self.choices: tuple[int, ...] = ()
        self.ends: tuple[int, ...] = ()
        self.usage: Json | None = None
        self.dropped: list[str] = []

    @property
    def body(self) -> Json:
        """The JSON object, to be changed in place."""
        self._open()
        return self._body

    def _open(self) -> None:
        if self._read is not None:
            read, self._read = self._read, None
            self._body, holders = read(self.raw)
            for piece, holder in zip(self.pieces, holders, strict=True):
                piece.holder = holder
                holder[piece.key] = piece.text

    def leave_uncounted(self) -> bool:
        """Let the event leave without its count of tokens; False when that must be taken out of the body."""
        if self._read is None or self.uncounted is None:
            return False
        self.raw = self.uncounted
        return True

    def say(self, piece: Piece, text: str) -> None:
        """Let one of the pieces be this text."""
        self._open()
        piece.holder[piece.key] = piece.text = text
        self.changed = True


@dataclass(frozen=True, slots=True)
class Asked:
    """What the client asked for, and what is asked upstream for it.

    `forward` says what the client said unless something had to change. `texts` is the conversation, `supplied` the part
    of it that the user brought: messages of the user and of tools, documents; `question` the last turn of the user;
    `choices` how many answers will come. `structured` is the shape that an answer must have, None for free text;
    `end_user` whom the client says that it asks for: never to be logged. `method` is how upstream is asked.
    """

    body: Json
    forward: bytes
    model: str
    texts: tuple[str, ...]
    questions: tuple[str, ...]
    supplied: tuple[str, ...] = ()
    choices: int = 1
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    stripped: tuple[str, ...] = ()
    structured: Structured | None = None
    end_user: str = ""
    method: str = "POST"

    @property
    def together(self) -> tuple[tuple[str, ...], ...]:
        """Turns that say something together: those of one conversation, not the prompts of several."""
        return (self.texts, self.supplied) if len(self.questions) == 1 else ()

    def question(self, choice: int) -> str:
        """What this choice answers."""
        return self.questions[choice * len(self.questions) // self.choices] if choice < self.choices else ""


@dataclass(frozen=True, slots=True)
class UpstreamError:
    """An error as upstream tells it. `message` is unguarded; the others are short names."""

    message: str
    type: str
    param: str | None = None
    code: str | int | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a choice ends that was taken from upstream: this text, and why it is over. `opens`: nothing of the choice
    has left yet. `paced`: in a stream, the text is told in events of a few words, as a model would."""

    choice: int
    text: str
    finish_reason: str
    opens: bool = False
    paced: bool = False


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Another answer to the same question that is asked for, for one choice and under one more instruction.

    `warmer` is added to the temperature. Where `begun` is not empty, upstream is asked to go on from it as from the
    beginning of its own answer. `spent` tokens of what the client allows were told already.
    """

    choice: int
    instruction: str
    warmer: float = 0.0
    begun: str = ""
    spent: int = 0


SUPPRESSED = "content_filter"
"""The finish reason of a suppressed answer."""


class Telling(Protocol):
    """One stream: upstream's events as they are read, and the client's, which leave in the order in which `tell`,
    `end` and `close` are called. What an API says more than once in a stream, and what it numbers, is its business."""

    def read(self, event: SseEvent) -> Sequence[Frame]:
        """One event of upstream's, in one frame per choice. Raises `Unreadable`."""

    def tell(self, frame: Frame) -> bytes:
        """An event leaves, with the texts that its pieces have now; empty when there is nothing to be told."""

    def open(self, request_id: str, created: int) -> bytes:
        """The beginning of an answer that upstream was not asked for; nothing was read or told before."""

    def end(self, ending: Ending) -> bytes:
        """The rest of a choice that was taken from upstream."""

    def close(self, usage: Json | None) -> bytes:
        """What ends a stream that upstream does not end; with the count of the whole answer if the client wants it."""

    def fail(self, told: Told) -> bytes:
        """A fault as the last that is told."""


class Dialect(Protocol):
    """One API. Stateless: a stream's state is in its `Telling`."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def speech(self) -> str:
        """The name of the channel that a refusal is told in."""

    def read(self, body: bytes) -> Asked:
        """What is asked for. Raises `RequestRefused`."""

    def with_usage(self, asked: Asked) -> bytes:
        """The request to send when a count of tokens must be known at every moment of the stream."""

    def telling(self, asked: Asked) -> Telling:
        """A stream that answers this."""

    def body(self, raw: bytes, asked: Asked | None = None) -> Frame:
        """Upstream's whole answer. What it repeats of the request is kept where the request, `asked`, is told.

        Raises `Unreadable`.
        """

    def forget_usage(self, frame: Frame) -> None:
        """Take the running count of tokens out of an event that the client did not want it in."""

    def unfinish(self, frame: Frame) -> None:
        """The choice in this event does not end with it after all."""

    def replace(self, frame: Frame, ending: Ending) -> None:
        """Let a choice of a whole answer say only this."""

    def recount(self, frame: Frame, usage: Json) -> None:
        """Let an event or a whole answer tell this usage, and nothing else that would tell more."""

    def blank(self, asked: Asked, request_id: str, created: int) -> Json:
        """A whole answer that upstream was not asked for, with every choice empty."""

    def rewrite(self, asked: Asked, rewrite: Rewrite) -> bytes:
        """The request for another answer: whole, of one choice, without tools."""

    def said(self, frame: Frame) -> tuple[str, str]:
        """Text and finish reason of the only choice of a whole answer."""

    def upstream_error(self, body: Json) -> UpstreamError:
        """What upstream says about a fault. Raises `Unreadable`."""

    def error(self, told: Told) -> Json:
        """A fault in the words of this API."""


class Unreadable(Exception):
    """Upstream's bytes are not what this API sends."""


def encode(body: Mapping[str, Any]) -> bytes:
    """JSON as the common servers write it: compact, UTF-8."""
    return orjson.dumps(body)


def encode_frame(frame: Frame) -> bytes:
    """The bytes of an event without a name for the client."""
    return encode_event(orjson.dumps(frame.body)) if frame.changed else frame.raw


def encode_events(bodies: Sequence[Mapping[str, Any]]) -> bytes:
    """Events of our own."""
    return b"".join(encode_event(orjson.dumps(body)) for body in bodies)


def encode_named(body: Mapping[str, Any]) -> bytes:
    """An event of an API whose events are named after the type of what they carry."""
    return b"event: " + str(body["type"]).encode() + b"\n" + encode_event(orjson.dumps(body))
