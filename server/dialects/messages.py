"""`/v1/messages`."""

from __future__ import annotations

from typing import Any, Final

import orjson

from server.dialects.again import asked_again
from server.dialects.dialect import (
    Asked,
    Channel,
    Ending,
    Frame,
    Json,
    Piece,
    Rewrite,
    Telling,
    Unreadable,
    UpstreamError,
    encode,
)
from server.dialects.messages_errors import error_body, read_error
from server.dialects.messages_fields import (
    KNOWN_BLOCKS,
    MESSAGE_FIELDS,
    TEXT_BLOCK,
    TOOL_BLOCK,
    counted,
    finish_reason,
    keep_message,
    pieces_of,
    stop_sequence_of,
    stopped,
    told_usage,
)
from server.dialects.messages_request import messages_options, read_messages
from server.dialects.messages_stream import MessagesTelling
from server.dialects.option_table import USUAL, Surface
from server.dialects.shaped import shape
from server.dialects.spelling import hides
from server.faults import Told

_NOT_AGAIN: Final = frozenset({"stream", "tools", "tool_choice"})


class MessagesDialect:
    """One answer of blocks: text, thoughts, calls of tools. Counts go by this API's names and by those of the frame."""

    name = "messages"
    path = "/v1/messages"
    speech = TEXT_BLOCK

    def __init__(self, surface: Surface = USUAL) -> None:
        """`surface` is what the operator lets requests ask for."""
        self._surface, self._options = surface, messages_options(surface)

    # -- requests --

    def read(self, body: bytes) -> Asked:
        """What is asked for. Raises `RequestRefused`."""
        return read_messages(body, self._surface, self._options)

    def with_usage(self, asked: Asked) -> bytes:
        """The request as it is: this API counts in any case."""
        return asked.forward

    def rewrite(self, asked: Asked, rewrite: Rewrite) -> bytes:
        """One whole answer, without tools. What was begun stands as a last message of the assistant; it is continued
        without the schema that it was begun under, which would start again."""
        body = asked_again(asked, rewrite, _NOT_AGAIN)
        system = body.get("system")
        if isinstance(system, list):
            body["system"] = [*system, {"type": "text", "text": f"\n\n{rewrite.instruction}"}]
        else:
            body["system"] = f"{system}\n\n{rewrite.instruction}" if system else rewrite.instruction
        if rewrite.begun:
            body["messages"] = _begun(body["messages"], rewrite.begun)
            if isinstance(body.get("output_config"), dict):
                body["output_config"] = {k: v for k, v in body["output_config"].items() if k != "format"}
        return encode(body)

    # -- answers --

    def telling(self, asked: Asked) -> Telling:
        """A stream that answers this."""
        return MessagesTelling(asked, lambda request_id: self.blank(asked, request_id, 0))

    def body(self, raw: bytes, asked: Asked | None = None) -> Frame:
        """Upstream's whole answer. Raises `Unreadable`."""
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise Unreadable("not JSON") from None
        blocks = body.get("content") if isinstance(body, dict) else None
        if not isinstance(blocks, list) or "error" in body:
            raise Unreadable("an answer without content")
        frame = Frame(raw, body)
        hidden = hides(raw, body)
        frame.choices = frame.ends = (0,)
        inputs = [block.pop("input", None) if isinstance(block, dict) else None for block in blocks]
        kept = [(block, given) for block, given in zip(blocks, inputs, strict=True) if isinstance(block, dict)]
        model = asked.model if asked is not None else None
        frame.changed = keep_message(body, MESSAGE_FIELDS, model, frame.dropped) or hidden
        known = [(block, given) for block, given in kept if block.get("type") in KNOWN_BLOCKS]
        if len(known) < len(kept):
            frame.changed = True
            frame.dropped.append("content")
        for number, (block, given) in enumerate(known):
            frame.pieces.extend(pieces_of(block, number))
            frame.pieces.extend(_input(frame, block, given, number))
        body["content"] = [block for block, _ in known]
        frame.pieces.extend(stop_sequence_of(body))
        frame.usage = counted(body.get("usage"))
        shape(frame, asked, TEXT_BLOCK, whole=True)
        return frame

    def forget_usage(self, frame: Frame) -> None:
        """Nothing: the only count before the end is that of the question."""

    def unfinish(self, frame: Frame) -> None:
        """Nothing: why an answer is over leaves last, and tells how it was stopped."""

    def replace(self, frame: Frame, ending: Ending) -> None:
        """The answer says only this from now on."""
        frame.changed = True
        frame.body["content"] = [{"type": TEXT_BLOCK, "text": ending.text}]
        frame.body.update(stopped(ending.finish_reason))

    def recount(self, frame: Frame, usage: Json) -> None:
        """Another count, in the names that upstream used where it counted."""
        given, told = frame.body.get("usage"), told_usage(usage)
        frame.body["usage"] = {key: value for key, value in told.items() if key in given} if given else told
        frame.changed = True

    def said(self, frame: Frame) -> tuple[str, str]:
        """Text and finish reason, which has the name that the dialects with choices give it."""
        texts = [block.get("text") or "" for block in frame.body["content"] if block["type"] == TEXT_BLOCK]
        return "".join(texts), finish_reason(frame.body.get("stop_reason"))

    # -- answers of our own --

    def blank(self, asked: Asked, request_id: str, created: int) -> Json:
        """An answer that nobody gave yet, with an id like those of the model server."""
        return {
            "id": f"chatcmpl-{request_id}",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": asked.model,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }

    def upstream_error(self, body: Json) -> UpstreamError:
        """What upstream says about a fault. Raises `Unreadable`."""
        return read_error(body)

    def error(self, told: Told) -> Json:
        """The error object of this API."""
        return error_body(told)


def _begun(messages: list[Json], begun: str) -> list[Json]:
    """The messages with the beginning of the answer, behind the words that the client had it go on from."""
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant":
        return [*messages, {"role": "assistant", "content": begun}]
    said = last.get("content")
    joined = [*said, {"type": TEXT_BLOCK, "text": begun}] if isinstance(said, list) else f"{said or ''}{begun}"
    return [*messages[:-1], {**last, "content": joined}]


class _InputText(dict[str, Any]):
    """Stands between a tool's input, which is an object here, and the guard, to which it is JSON text."""

    def __init__(self, block: Json) -> None:
        super().__init__()
        self._block = block

    def __setitem__(self, key: str, text: Any) -> None:  # Any: what a dict of anything takes
        try:
            self._block["input"] = orjson.loads(text)
        except orjson.JSONDecodeError:
            self._block["input"] = {}


def _input(frame: Frame, block: Json, given: object, number: int) -> list[Piece]:
    """Put the input of a tool call back, and read it as text."""
    if block["type"] != TOOL_BLOCK or not isinstance(given, dict):
        if given is not None:
            frame.dropped.append("input")
            frame.changed = True
        return []
    block["input"] = given
    place = f"{TOOL_BLOCK}[{number}]"
    channel = Channel(0, f"{place}.input", hold_whole=True, json=True, group=place)
    return [Piece(channel, orjson.dumps(given).decode(), _InputText(block), "input")] if given else []
