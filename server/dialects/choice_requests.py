"""Reads the requests of the dialects with `choices`: the closed list of fields, the options, what was said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from server.dialects.conversation import Conversation
from server.dialects.dialect import Asked, Json, encode
from server.dialects.option_table import Surface
from server.dialects.options import (
    apply_options,
    count,
    drop_unknown,
    end_user_of,
    flag,
    name,
    option_texts,
    read_object,
    section,
)
from server.dialects.request_fields import RequestFields
from server.structured import structured_of

MOST_CHOICES: Final = 128


class Conversing(Protocol):
    """What these dialects say differently."""

    def strip(self, body: Json) -> Sequence[str]:
        """Take out what else is stripped, in place, and name it. Raises `RequestRefused`."""

    def conversation(self, body: Json, brought: tuple[str, ...]) -> Conversation:
        """What was said so far; `brought` by options. Raises `RequestRefused`."""


class ChoiceRequests:
    """The requests of one dialect, treated as the operator wants."""

    def __init__(self, dialect: Conversing, fields: RequestFields, surface: Surface) -> None:
        self._dialect, self._surface = dialect, surface
        self._known, self._options = fields.names, surface.options(fields.options)

    def read(self, body: bytes) -> Asked:
        """What is asked for. Raises `RequestRefused`."""
        asked = read_object(body)
        stripped = drop_unknown(asked, self._known, self._surface)
        stripped += apply_options(asked, self._options)
        stripped += tuple(self._dialect.strip(asked))
        said = self._dialect.conversation(asked, option_texts(asked, self._options))
        stream = flag(asked, "stream")
        options = section(asked, "stream_options")
        include_usage = flag(options, "include_usage", "stream_options.")
        return Asked(
            body=asked,
            forward=encode(asked),  # what was read: of a key that stands twice, another server may read the first
            model=name(asked, "model"),
            texts=said.texts,
            questions=said.questions,
            supplied=said.supplied,
            choices=count(asked, "n", MOST_CHOICES) * max(1, len(said.questions)),
            stream=stream,
            include_usage=stream and include_usage,
            continuous_usage=stream and include_usage and flag(options, "continuous_usage_stats", "stream_options."),
            stripped=stripped,
            structured=structured_of(asked),
            end_user=end_user_of(asked),
        )
