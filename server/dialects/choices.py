"""What the two dialects with `choices` share: envelope, usage, errors, endings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from server.dialects.again import asked_again
from server.dialects.choice_events import LAST, ChoicesTelling
from server.dialects.choice_requests import ChoiceRequests
from server.dialects.conversation import Conversation
from server.dialects.dialect import (
    Asked,
    Channel,
    Ending,
    Frame,
    FrameKind,
    Json,
    Piece,
    Rewrite,
    Telling,
    Unreadable,
    UpstreamError,
    encode,
)
from server.dialects.fields import Fields, is_name, keep_known
from server.dialects.logprobs import spelled, take_logprobs
from server.dialects.option_table import GUARD, USUAL, Surface
from server.dialects.options import section
from server.dialects.request_fields import RequestFields
from server.dialects.shaped import shape
from server.dialects.spelling import hides
from server.dialects.sse import DONE, SseEvent
from server.faults import Told

_NOT_AGAIN: Final = frozenset(
    {"stream", "stream_options", "n", "best_of", "functions", "function_call"}
    | {"tools", "tool_choice", "parallel_tool_calls", "logprobs", "top_logprobs", "echo"}
)
_GRAMMARS: Final = frozenset(
    {"response_format", "structured_outputs"}
    | {f"guided_{kind}" for kind in ("json", "regex", "choice", "grammar", "json_object")}
)
_TOLD: Final = ("stop_reason", "logprobs")
_FEW_WORDS: Final = re.compile(r"\s*(?:\S+\s*){1,3}|\s+")


class ChoicesDialect:
    """The common half. A dialect of this family names its fields and says where text stands in a choice."""

    name: str
    path: str
    speech: str
    request_fields: RequestFields
    _event_fields: Fields
    _body_fields: Fields
    _objects: tuple[str, str]  # of an event, of a whole answer
    _id_prefix: str

    def __init__(self, surface: Surface = USUAL) -> None:
        self._surface = surface
        self._requests = ChoiceRequests(self, self.request_fields, surface)
        self._likelihoods = surface.treatment("logprobs") is GUARD

    # -- what the two say differently --

    def strip(self, body: Json) -> Sequence[str]:
        """Take out what else is stripped, in place, and name it. Raises `RequestRefused`."""
        raise NotImplementedError

    def conversation(self, body: Json, brought: tuple[str, ...]) -> Conversation:
        """What was said so far; `brought` by options. Raises `RequestRefused`."""
        raise NotImplementedError

    def _pieces(self, choice: Json, index: int, whole: bool) -> Iterator[Piece]:
        raise NotImplementedError

    def _delta(self, text: str, opens: bool) -> Json:
        """What a choice of an event holds beside the common fields."""
        raise NotImplementedError

    def _message(self, choice: Json, text: str) -> Json:
        """What a choice of a whole answer holds beside the common fields."""
        raise NotImplementedError

    def _instruct(self, body: Json, prompt: int, rewrite: Rewrite) -> None:
        """Put one more instruction before the question of this prompt, and what was begun behind it."""
        raise NotImplementedError

    def _text(self, choice: Json) -> str:
        raise NotImplementedError

    def _said(self, choice: Json) -> tuple[str, ...]:
        """What a choice says, in each way in which its tokens may spell it."""
        raise NotImplementedError

    # -- requests --

    def read(self, body: bytes) -> Asked:
        """What is asked for. Raises `RequestRefused`."""
        return self._requests.read(body)

    def with_usage(self, asked: Asked) -> bytes:
        """The request with a running count of tokens in every event."""
        options = {**section(asked.body, "stream_options"), "continuous_usage_stats": True}
        return encode({**asked.body, "stream_options": options})

    def rewrite(self, asked: Asked, rewrite: Rewrite) -> bytes:
        """One whole answer, without tools. A text that was begun is continued without the grammar that it was begun
        under, which would start again."""
        left_out = _NOT_AGAIN | _GRAMMARS if rewrite.begun else _NOT_AGAIN
        body = asked_again(asked, rewrite, left_out)
        self._instruct(body, rewrite.choice // (asked.choices // max(1, len(asked.questions))), rewrite)
        return encode(body)

    # -- answers --

    def event(self, event: SseEvent) -> Sequence[Frame]:
        """One event of upstream's stream, in one frame per choice. Raises `Unreadable`."""
        if event.data == DONE:
            return (Frame(event.raw if event.plain else LAST, kind=FrameKind.DONE),)
        frame = self._frame(event.raw, event.data, self._event_fields, whole=False)
        frame.changed |= not event.plain
        return (frame,) if len(frame.choices) < 2 else _split(frame)

    def body(self, raw: bytes, asked: Asked | None = None) -> Frame:
        """Upstream's whole answer. Raises `Unreadable`."""
        frame = self._frame(raw, raw, self._body_fields, whole=True)
        if frame.kind is not FrameKind.TEXT:
            raise Unreadable("an answer without choices")
        shape(frame, asked, self.speech, whole=True)
        return frame

    def _frame(self, raw: bytes, data: bytes, fields: Fields, whole: bool) -> Frame:
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise Unreadable("not JSON") from None
        if not isinstance(body, dict):
            raise Unreadable("not an object")
        if "error" in body and "choices" not in body:
            return Frame(raw, body, FrameKind.ERROR)
        frame = Frame(raw, body)
        hidden = hides(data, body)
        likely = take_logprobs(body) if self._likelihoods else []
        frame.changed = keep_known(body, fields, frame.dropped) or hidden
        choices = body.get("choices")
        if choices is None:
            raise Unreadable("no choices")
        usage = body.get("usage")
        frame.usage = usage if isinstance(usage, dict) else None
        if not choices:
            frame.kind = FrameKind.CLOSING
        for choice in choices:
            self._add_choice(frame, choice, whole)
        for choice, told in likely:
            choice["logprobs"] = told
        self.fit(frame)
        return frame

    def fit(self, frame: Frame) -> None:
        """Let what is told about tokens be about the text as it is now."""
        if not self._likelihoods:
            return
        for choice in frame.body.get("choices") or ():
            told = choice.get("logprobs")
            kept = None if told is None else spelled(told, self._said(choice))
            if kept != told:
                choice["logprobs"] = kept
                frame.changed = True

    def _add_choice(self, frame: Frame, choice: Json, whole: bool) -> None:
        index = choice.get("index")
        if not isinstance(index, int) or index < 0:
            raise Unreadable("a choice without an index")
        frame.choices += (index,)
        frame.pieces.extend(self._pieces(choice, index, whole))
        if isinstance(choice.get("stop_reason"), str) and choice["stop_reason"]:
            # a stop string completes what was said before it, without being said
            frame.pieces.append(
                Piece(Channel(index, "stop_reason", True), choice["stop_reason"], choice, "stop_reason")
            )
        if choice.get("finish_reason") is not None:
            frame.ends += (index,)

    def unfinish(self, frame: Frame) -> None:
        """The choice in this event does not end with it after all."""
        for choice in frame.body["choices"]:
            choice["finish_reason"] = None
            choice.pop("stop_reason", None)
        frame.changed, frame.ends = True, ()

    def recount(self, frame: Frame, usage: Json) -> None:
        """Another usage; without the times, which count tokens too."""
        frame.body["usage"] = usage
        frame.body.pop("metrics", None)
        frame.changed = True
        self.fit(frame)

    def forget_usage(self, frame: Frame) -> None:
        """Leave the event as it is without the running count."""
        if not frame.leave_uncounted() and frame.body.pop("usage", None) is not None:
            frame.changed = True

    def said(self, frame: Frame) -> tuple[str, str]:
        """Text and finish reason of the first choice."""
        choice = frame.body["choices"][0]
        return self._text(choice), choice.get("finish_reason") or "stop"

    # -- answers of our own --

    def telling(self, asked: Asked) -> Telling:
        """A stream that answers this."""
        return ChoicesTelling(self, asked)

    def ending(self, head: Mapping[str, Any], ending: Ending) -> list[Json]:
        """Events with the text, and one that finishes the choice; `head` is any earlier event of the stream."""
        texts = _FEW_WORDS.findall(ending.text) if ending.paced else [ending.text] if ending.text else []
        texts = texts or ([""] if ending.opens else [])
        events = [
            self._event(head, ending.choice, self._delta(text, ending.opens and not n), None)
            for n, text in enumerate(texts)
        ]
        events.append(self._event(head, ending.choice, self._delta("", False), ending.finish_reason))
        return events

    def _event(self, head: Mapping[str, Any], index: int, delta: Json, finish_reason: str | None) -> Json:
        choice: Json = {"index": index, **delta, "logprobs": None, "finish_reason": finish_reason}
        if finish_reason is not None:
            choice["stop_reason"] = None
        return {**head, "choices": [choice]}

    def replace(self, frame: Frame, ending: Ending) -> None:
        """The choice says only this from now on."""
        frame.changed = True
        frame.body["choices"] = [
            self._replaced(choice, ending) if choice["index"] == ending.choice else choice
            for choice in frame.body["choices"]
        ]

    def _replaced(self, choice: Json, ending: Ending) -> Json:
        said = self._message(choice, ending.text)
        kept = {key: None if key in _TOLD else value for key, value in choice.items() if key not in said}
        return {"index": ending.choice, **said, **kept, "finish_reason": ending.finish_reason}

    def head(self, asked: Asked, request_id: str, created: int, whole: bool) -> Json:
        """What every event of an answer repeats, or a whole answer begins with."""
        told = {"id": f"{self._id_prefix}{request_id}", "object": self._objects[whole]}
        return {**told, "created": created, "model": asked.model}

    def blank(self, asked: Asked, request_id: str, created: int) -> Json:
        """An answer that nobody gave yet."""
        choices = [
            {"index": i, **self._message({}, ""), "logprobs": None, "finish_reason": None, "stop_reason": None}
            for i in range(asked.choices)
        ]
        return {**self.head(asked, request_id, created, True), "choices": choices, "usage": None}

    def upstream_error(self, body: Json) -> UpstreamError:
        """The error object, or the older form without an envelope. Raises `Unreadable`."""
        error = body.get("error", body)
        error = {"message": error} if isinstance(error, str) else error
        if not isinstance(error, dict) or not isinstance(error.get("message"), str):
            raise Unreadable("an error without a message")
        kind, param, code = error.get("type"), error.get("param"), error.get("code")
        return UpstreamError(
            error["message"],
            kind if isinstance(kind, str) and is_name(kind) else "upstream_error",
            param if isinstance(param, str) and is_name(param) else None,
            code if isinstance(code, int) or is_name(code) else None,
        )

    def error(self, told: Told) -> Json:
        """The error object of this API."""
        return {"error": {"message": told.message, "type": told.type, "param": told.param, "code": told.code}}


def _split(frame: Frame) -> list[Frame]:
    """An event with several choices as one event each: choices do not wait for each other."""
    frames = []
    for index, choice in zip(frame.choices, frame.body["choices"], strict=True):
        body = {**frame.body, "choices": [choice]}
        pieces = [piece for piece in frame.pieces if piece.channel.choice == index]
        ends = tuple(i for i in frame.ends if i == index)
        part = Frame(b"", body, frame.kind)
        part.changed, part.pieces, part.choices, part.ends, part.usage = True, pieces, (index,), ends, frame.usage
        frames.append(part)
    frames[0].dropped = frame.dropped
    return frames
