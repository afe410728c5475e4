"""The APIs whose answers are guarded. A new dialect is one new file and one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from server.dialects.chat import ChatDialect
from server.dialects.completions import CompletionsDialect
from server.dialects.dialect import Dialect
from server.dialects.messages import MessagesDialect
from server.dialects.option_table import USUAL, Surface
from server.dialects.responses import ResponsesDialect

KINDS: Final[tuple[Callable[[Surface], Dialect], ...]] = (
    ChatDialect,
    CompletionsDialect,
    MessagesDialect,
    ResponsesDialect,
)


def dialects_of(surface: Surface) -> tuple[Dialect, ...]:
    """Every dialect, with requests treated as the operator wants."""
    return tuple(kind(surface) for kind in KINDS)


DIALECTS: Final[tuple[Dialect, ...]] = dialects_of(USUAL)
"""Every dialect, with every request option treated by its default."""
