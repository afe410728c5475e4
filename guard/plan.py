"""How one channel is judged."""

from __future__ import annotations

from dataclasses import dataclass

from guard.policy import DEFAULT_ADAPTIVE, Adaptive, Streaming
from guard.segments import DEFAULT_RULE, WindowRule


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """How one channel is judged.

    `context` is the turn that the text answers. `hold_whole` releases nothing before `end()`. `adaptive` counts in that
    mode only.
    """

    streaming: Streaming = Streaming.ADAPTIVE
    rule: WindowRule = DEFAULT_RULE
    redaction: str = "[redacted]"
    context: str = ""
    hold_whole: bool = False
    adaptive: Adaptive = DEFAULT_ADAPTIVE
