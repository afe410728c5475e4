"""What can go wrong inside the guard, and whose fault it is."""

from __future__ import annotations


class GuardError(Exception):
    """Root of everything that `guard` raises on purpose."""


class MachineMisused(GuardError):
    """The caller broke the order of calls of a stream machine: a defect of the driver, never of the client."""


class DetectorUnavailable(GuardError):
    """A detector cannot tell (model not loaded, search failed). Callers follow the policy's failure rule."""

    def __init__(self, detector: str, reason: str) -> None:
        super().__init__(f"detector {detector} cannot tell: {reason}")
        self.detector = detector
        self.reason = reason
