"""Spans of text that belong together."""

from __future__ import annotations

from collections.abc import Sequence
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


def shown(text: str, start: int, end: int, spans: Sequence[Span], placeholder: str) -> list[tuple[str, int, int, bool]]:
    """text[start:end] in pieces (what is shown, from, to, redacted), with `placeholder` for each of the sorted disjoint
    `spans` that begins in it."""
    pieces: list[tuple[str, int, int, bool]] = []
    at = start
    for span in spans:
        if span.end <= at or span.start >= end:
            continue
        if span.start > at:
            pieces.append((text[at : span.start], at, span.start, False))
        stop = min(span.end, end)
        pieces.append((placeholder if span.start >= start else "", max(at, span.start), stop, True))
        at = stop
    if at < end:
        pieces.append((text[at:end], at, end, False))
    return pieces
