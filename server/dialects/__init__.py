"""The APIs whose answers are guarded. A new dialect is one new file and one line here."""

from __future__ import annotations

from typing import Final

from server.dialects.chat import ChatDialect
from server.dialects.completions import CompletionsDialect
from server.dialects.dialect import Dialect

DIALECTS: Final[tuple[Dialect, ...]] = (ChatDialect(), CompletionsDialect())
