"""Weighing: from the cosines of one window to one score per entry, by the rule of the entry's kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from guard.detector import Window
from guard.fingerprint import Shingler
from guard.names import Mentions, mentions
from guard.policy import Rule
from index.embedder import Vectors
from index.forms import Form
from index.matching import Scale
from index.mentioned import hashed
from index.vectors import Hit


@dataclass(slots=True, eq=False)
class Asked:
    """One window with the vectors that ask for it, and what they came near.

    `vectors` holds per form one row per piece of the text, `cosines` per form the best cosine to each entry that was
    looked at. A *brief* window has too few words to say anything without the turn that it answers.
    """

    window: Window
    words: int
    shingler: Shingler
    vectors: dict[Form, Vectors] = field(default_factory=dict)
    hits: dict[Form, list[Hit]] = field(default_factory=dict)
    cosines: dict[Form, dict[str, float]] = field(default_factory=dict)
    _mentions: Mentions[int] | None = None

    @property
    def brief(self) -> bool:
        """True when only the exchange was asked for."""
        return Form.STATEMENT not in self.vectors

    @property
    def mentions(self) -> Mentions[int]:
        """What the exchange mentions, read when it first matters. A brief answer gets no help from its question."""
        if self._mentions is None:
            texts = (self.window.text,) if self.brief else (self.window.context, self.window.text)
            self._mentions = hashed(mentions(*texts), self.shingler)
        return self._mentions

    def of(self, entry_id: str) -> Mapping[Form, float]:
        """The cosines of one entry, by form."""
        return {form: found[entry_id] for form, found in self.cosines.items() if entry_id in found}


class ByRows:
    """What most rules have in common: rows alone say which entries are near."""

    needs_exchanges = False

    def candidates(self, asked: Asked) -> Sequence[str]:
        """None."""
        return ()

    def decides(self, entry_id: str) -> bool:
        """Never."""
        return False


class Weigher(Protocol):
    """The rule of one kind. Thread-safe."""

    @property
    def needs_exchanges(self) -> bool:
        """True when windows must be asked together with their turn, whatever the tables hold."""

    def candidates(self, asked: Asked) -> Sequence[str]:
        """Entries to weigh though none of their rows may be near."""

    def decides(self, entry_id: str) -> bool:
        """True when `score` has weighed the counterexamples already."""

    def score(self, asked: Asked, rule: Rule, scale: Scale) -> float | None:
        """How near the window comes to the entry of `rule`, on the scale of its kind's threshold; None: not at all."""
