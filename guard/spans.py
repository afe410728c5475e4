"""Spans of text that belong together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Span:
    """text[start:end]"""

    start: int
    end: int


def merge(spans: list[Span], start: int, end: int) -> None:
    """Add start..end to sorted disjoint spans, joining those that it touches."""
    kept = []
    for span in spans:
        if span.end < start or span.start > end:
            kept.append(span)
        else:
            start, end = min(start, span.start), max(end, span.end)
    kept.append(Span(start, end))
    spans[:] = sorted(kept, key=lambda s: s.start)
