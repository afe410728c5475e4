"""Responses that the model server keeps: fetched, followed and cancelled, and guarded like any answer."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from server.dialects.dialect import Asked, Rewrite, Telling, Unreadable
from server.dialects.option_table import Surface
from server.dialects.responses import PATH, ResponsesDialect
from server.dialects.responses_ids import BoundIds
from server.dialects.responses_telling import ResponseTelling


@dataclass(frozen=True, slots=True)
class KeptCall:
    """What is asked of a kept response. `response_id` is the model server's own; of a stream, the events up to number
    `after` are known."""

    response_id: str
    cancel: bool = False
    stream: bool = False
    after: int | None = None

    @property
    def path(self) -> str:
        """What the model server is asked. A stream is judged from its beginning, whatever the client knows of it."""
        path = f"{PATH}/{quote(self.response_id, safe='')}"
        return f"{path}/cancel" if self.cancel else f"{path}?stream=true" if self.stream else path


class KeptResponse(ResponsesDialect):
    """One of them. Its question is not known here, so it is judged without, and never asked for again."""

    def __init__(self, surface: Surface, ids: BoundIds, call: KeptCall) -> None:
        super().__init__(surface, ids, call.path)
        self._call = call

    def read(self, body: bytes) -> Asked:  # the body of such a call says nothing
        """What is asked for."""
        call = self._call
        return Asked(
            body={},
            forward=b"",
            model="",
            texts=(),
            questions=("",),
            stream=call.stream,
            include_usage=call.stream,
            method="POST" if call.cancel else "GET",
        )

    def telling(self, asked: Asked) -> Telling:
        """The stream from the event on that the client does not know."""
        return ResponseTelling(asked, self._ids, self._call.after)

    def rewrite(self, asked: Asked, rewrite: Rewrite) -> bytes:
        """Raises `Unreadable`: nobody knows what was asked."""
        raise Unreadable("a kept answer has no question")
