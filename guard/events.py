"""What the stream machine asks of its driver, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass

from guard.detector import Window
from guard.verdict import Verdict


@dataclass(frozen=True, slots=True)
class NeedText:
    """Nothing can be done before more text comes."""


@dataclass(frozen=True, slots=True)
class Check:
    """These windows must be judged, in this order: one verdict each to `resolve`."""

    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """`text` may leave. It stands for original[start:end], and equals it unless `redacted`."""

    text: str
    start: int
    end: int
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing more leaves. `leaked` counts the released characters inside the spans that are condemned now."""

    verdict: Verdict
    leaked: int


@dataclass(frozen=True, slots=True)
class Done:
    """The text is complete and all of it was released or redacted."""


Event = NeedText | Check | Release | Stop | Done
