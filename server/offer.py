"""What applications may call and ask for, as the operator wants it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from server.dialects import dialects_of
from server.dialects.dialect import Dialect
from server.dialects.option_table import USUAL, Surface, Treatment, parse_treatments
from server.responses_state import ResponsesState
from server.settings import Settings
from server.side_calls import Served, parse_side_calls


@dataclass(frozen=True, slots=True)
class Offer:
    """`surface` says what is done with the options of requests; `side_calls` are those that are on; `responses` says
    what is done with responses that the model server keeps."""

    surface: Surface = USUAL
    side_calls: Served = field(default_factory=lambda: parse_side_calls(""))
    responses: ResponsesState = field(default_factory=ResponsesState)

    def dialects(self) -> Mapping[str, Dialect]:
        """The guarded calls by path, the first of them the one that errors of other calls are told by."""
        return {dialect.path: dialect for dialect in dialects_of(self.surface)}


def offer_of(settings: Settings) -> Offer:
    """What these settings say."""
    changed, unknown = parse_treatments(settings.request_options), Treatment(settings.unknown_fields)
    return Offer(Surface(changed, unknown), parse_side_calls(settings.side_calls))


def adapters_of(settings: Settings) -> frozenset[str]:
    """The adapters that clients may ask for by name."""
    return frozenset(filter(None, (name.strip() for name in settings.adapters.split(","))))
