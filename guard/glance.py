"""A glance: what a sentence that is not finished yet seems to become, asked after every word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from guard.words import Word


class Glance(Protocol):
    """Looks at the unfinished segment of one channel. It may let its text go or ask for a closer look; it never
    convicts, and what it lets go is judged by every stage again when the segment is complete.
    """

    def push(self, words: Sequence[Word]) -> bool:
        """Take the next words of the segment, in their order; True when what it says so far comes near something."""

    def cut(self) -> None:
        """The segment ended: the next word begins another."""
