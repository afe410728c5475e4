"""What prompts were found to hold: a conversation grows, and only its new windows are judged.

Keys are hashes under a random key of this process, values are findings: entry ids, spans and scores, no text.
"""

from __future__ import annotations

import secrets
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from guard.cascade import Cascade, Finding
from guard.detector import Detector, Window

MOST_WINDOWS: Final = 50_000
"""Windows that are remembered, over all namespaces; the one that was not asked for longest is forgotten first."""

Identity = tuple["weakref.ref[Detector]", ...]


@dataclass(slots=True)
class PromptCache:
    """Findings per window and cascade, for one event loop. It keeps no cascade alive.

    A write that changes a namespace gives it new detectors, and with them all its windows are new. What could not be
    decided is not remembered: the next request asks again.
    """

    most: int = MOST_WINDOWS
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _known: OrderedDict[bytes, tuple[Identity, Finding]] = field(default_factory=OrderedDict, repr=False)

    def __len__(self) -> int:
        return len(self._known)

    def known(self, cascade: Cascade, windows: Sequence[Window]) -> list[Finding | None]:
        """What was found in each of these windows before, None where that is not known."""
        identity = _identity(cascade)
        return [self._find(self._place(identity, window), identity) for window in windows]

    def keep(self, cascade: Cascade, windows: Sequence[Window], findings: Sequence[Finding]) -> None:
        """Remember what was found."""
        identity = _identity(cascade)
        for window, finding in zip(windows, findings, strict=True):
            if not finding.failed and not finding.suspects:
                self._known[self._place(identity, window)] = identity, finding
        while len(self._known) > self.most or self._oldest_is_dead():
            self._known.popitem(last=False)

    def _find(self, place: bytes, identity: Identity) -> Finding | None:
        found = self._known.get(place)
        if found is None or found[0] != identity:
            return None
        self._known.move_to_end(place)
        return found[1]

    def _oldest_is_dead(self) -> bool:
        """True when nobody can ask for the oldest finding any more: its snapshot is gone."""
        oldest = next(iter(self._known.values()), None)
        return oldest is not None and any(ref() is None for ref in oldest[0])

    def _place(self, identity: Identity, window: Window) -> bytes:
        told = blake2b(key=self._key, digest_size=16)
        about = (*(str(id(ref())) for ref in identity), str(window.start), str(window.end), window.view, window.context)
        for part in (*about, window.text):
            data = part.encode("utf-8", "surrogatepass")
            told.update(len(data).to_bytes(8, "big"))
            told.update(data)
        return told.digest()


def _identity(cascade: Cascade) -> Identity:
    """What tells two cascades apart without keeping either: a view has detectors of its own."""
    return tuple(weakref.ref(stage.detector) for stage in cascade.stages)
