"""The channel of an answer that must have a shape: no part of it is replaced by what does not fit."""

from __future__ import annotations

from server.dialects.dialect import Asked, Frame


def shape(frame: Frame, asked: Asked | None, speech: str, whole: bool) -> None:
    """Mark what is said in `speech` as JSON where the client asked for a shape.

    In a whole answer it leaves whole, so that it can be redacted; in a stream its beginning may have left, so that what
    would be redacted is refused.
    """
    if asked is None or asked.structured is None:
        return
    for piece in frame.pieces:
        if piece.channel.name == speech:
            piece.channel = piece.channel._replace(json=True, hold_whole=whole)
