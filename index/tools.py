"""What every view is built with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from guard.cascade import Review
from guard.detector import Evidence
from guard.fingerprint import Shingler
from guard.policy import Rules
from guard.segments import DEFAULT_RULE, WindowRule
from index.calibration import Calibration
from index.embedder import Embedder
from index.static import StaticModel


class Judges(Protocol):
    """A judge model that can review any namespace."""

    def review(self, namespace: str, rules: Rules, wanted: Callable[[Evidence], bool]) -> Review: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What every view is built with. Without `static` no window is cleared cheaply; without `judge` none is asked."""

    embedder: Embedder
    shingler: Shingler
    calibration: Calibration
    rule: WindowRule = DEFAULT_RULE
    static: StaticModel | None = None
    judge: Judges | None = None
