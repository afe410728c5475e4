"""`/v1/responses`."""

from __future__ import annotations

from typing import Any, Final

from server.dialects.again import asked_again
from server.dialects.dialect import (
    Asked,
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
from server.dialects.fields import is_name
from server.dialects.option_table import USUAL, Surface
from server.dialects.options import end_user_of, flag, name, read_object
from server.dialects.responses_envelope import (
    blank_response,
    finish,
    finish_reason_of,
    keep_response,
    message,
    message_id,
    part,
    status_of,
    told_usage,
    usage_of_response,
)
from server.dialects.responses_frames import read_json
from server.dialects.responses_ids import BoundIds
from server.dialects.responses_items import SPEECH, texts_of_response
from server.dialects.responses_request import apply_surface, conversation_of, read_input, shape_of
from server.dialects.responses_telling import ResponseTelling
from server.dialects.shaped import shape
from server.dialects.spelling import hides
from server.faults import NoSuchRoute, RequestRefused, Told

PATH: Final = "/v1/responses"
UNKNOWN: Final = "this response does not exist"
_NOT_AGAIN: Final = frozenset(
    {"stream", "stream_options", "background", "include", "max_tool_calls"}
    | {"tools", "tool_choice", "parallel_tool_calls"}
)
_GRAMMARS: Final = frozenset({"text", "structured_outputs"})
_STATE: Final = ("background", "previous_response_id", "store")


class ResponsesDialect:
    """Items with several channels: what is said, thought, refused, and asked of tools.

    `ids` are those of the principal whose responses the model server keeps; None where it must keep none.
    """

    name = "responses"
    speech = SPEECH

    def __init__(self, surface: Surface = USUAL, ids: BoundIds | None = None, path: str = PATH) -> None:
        self._surface, self._ids = surface, ids
        self.path = path

    # -- requests --

    def read(self, body: bytes) -> Asked:
        """What is asked for. Raises `RequestRefused`, and `NoSuchRoute` for another's response."""
        asked = read_object(body)
        items = read_input(asked)
        stripped = apply_surface(asked, items, self._surface)
        if isinstance(asked.get("input"), list):
            asked["input"] = items
        self._read_state(asked)
        follows = bool(name(asked, "previous_response_id"))
        said = conversation_of(asked, items, self._surface, follows)
        stream = flag(asked, "stream")
        return Asked(
            body=asked,
            forward=encode(asked),
            model=name(asked, "model"),
            texts=said.texts,
            questions=said.questions,
            supplied=said.supplied,
            stream=stream,
            include_usage=stream,
            stripped=stripped,
            structured=shape_of(asked),
            end_user=end_user_of(asked),
        )

    def _read_state(self, asked: Json) -> None:
        """What asks the model server to keep something, or for what it keeps."""
        if self._ids is None:
            for field in _STATE:
                if asked.get(field):
                    problem = f"'{field}' is not allowed through this server: it keeps no responses"
                    raise RequestRefused(problem, field, "option_not_allowed")
            asked["store"] = False  # it would be kept otherwise
            return
        told = name(asked, "previous_response_id")
        if told:
            own = self._ids.unbind(told)
            if own is None:
                raise NoSuchRoute(UNKNOWN)
            asked["previous_response_id"] = own

    def with_usage(self, asked: Asked) -> bytes:
        """The request as it is: no event of this API has a running count."""
        return asked.forward

    def rewrite(self, asked: Asked, rewrite: Rewrite) -> bytes:
        """One whole answer, without tools, that is not kept. A text that was begun is continued without the grammar
        that it was begun under, which would start again."""
        left_out = _NOT_AGAIN | _GRAMMARS if rewrite.begun else _NOT_AGAIN
        body = asked_again(asked, rewrite, left_out)
        instructions = name(body, "instructions")
        body["instructions"] = f"{instructions}\n\n{rewrite.instruction}" if instructions else rewrite.instruction
        body["store"] = False
        if rewrite.begun:
            given = body.get("input")
            items = list(given) if isinstance(given, list) else [{"role": "user", "content": given}]
            said: Json = {"type": SPEECH, "text": rewrite.begun, "annotations": []}
            items.append({"type": "message", "role": "assistant", "content": [said], "status": "in_progress"})
            body["input"] = items
        return encode(body)

    # -- answers --

    def telling(self, asked: Asked) -> Telling:
        """A stream that answers this."""
        return ResponseTelling(asked, self._ids)

    def body(self, raw: bytes, asked: Asked | None = None) -> Frame:
        """Upstream's whole answer; what it repeats of the request is kept where the request is told.

        Raises `Unreadable`.
        """
        body = read_json(raw)
        hidden = hides(raw, body)
        if not isinstance(body.get("output"), list):
            raise Unreadable("an answer without output")
        frame = Frame(raw, body, FrameKind.TEXT)
        given = asked.body if asked is not None else None
        frame.changed = keep_response(body, given, self._ids, frame.dropped) or hidden
        frame.choices = frame.ends = (0,)
        frame.usage = usage_of_response(body)
        frame.sums_up = True
        for text in texts_of_response(body):
            if text.text:
                frame.pieces.append(Piece(text.channel, text.text, text.holder, text.key))
        shape(frame, asked, SPEECH, whole=True)
        return frame

    def forget_usage(self, frame: Frame) -> None:
        """Nothing: no event of this API has a running count."""

    def unfinish(self, frame: Frame) -> None:
        """Nothing: no event of this API finishes the only answer before the last."""

    def recount(self, frame: Frame, usage: Json) -> None:
        """Another usage; without the times, which count tokens too."""
        response: Json = frame.body.get("response", frame.body)
        response["usage"] = told_usage(usage)
        response.pop("metrics", None)
        frame.changed = True

    def said(self, frame: Frame) -> tuple[str, str]:
        """What the messages say, and why the answer ended."""
        parts = [p for item in frame.body["output"] if item["type"] == "message" for p in item.get("content") or ()]
        text = "".join(p.get("text") or "" for p in parts if p["type"] == SPEECH)
        return text, finish_reason_of(frame.body)

    # -- answers of our own --

    def replace(self, frame: Frame, ending: Ending) -> None:
        """The answer is one message that says only this."""
        body = frame.body
        first: Json = next((item for item in body["output"] if item["type"] == "message"), {})
        owner = first.get("id") or message_id(body.get("id"), 0)
        body["output"] = [message(owner, [part(ending.text)], status_of(ending.finish_reason))]
        finish(body, ending.finish_reason)
        frame.changed = True

    def blank(self, asked: Asked, request_id: str, created: int) -> Json:
        """A whole answer that upstream was not asked for."""
        return blank_response(asked, request_id, created)

    def upstream_error(self, body: Json) -> UpstreamError:
        """The error object, an error event, or a failed response. Raises `Unreadable`."""
        error: Any = body.get("error")
        if isinstance(body.get("response"), dict):
            error = body["response"].get("error")
        error = {"message": error} if isinstance(error, str) else error
        error = body if error is None else error
        if not isinstance(error, dict) or not isinstance(error.get("message"), str):
            raise Unreadable("an error without a message")
        kind, param, code = error.get("type"), error.get("param"), error.get("code")
        return UpstreamError(
            error["message"],
            kind if isinstance(kind, str) and is_name(kind) and kind != "error" else "upstream_error",
            param if isinstance(param, str) and is_name(param) else None,
            code if isinstance(code, int) or is_name(code) else None,
        )

    def error(self, told: Told) -> Json:
        """The error object of this API."""
        return {"error": {"message": told.message, "type": told.type, "param": told.param, "code": told.code}}
