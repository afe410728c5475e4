"""The static glance: after every word, how near an unfinished sentence comes to how entries begin.

```
    words:    Basil | Orsk | was | born        sum of word vectors, one more at each word
    nearest:  0.41    0.72   0.78  0.83        openings of entries that it names, or of any
```

Where the sentence says a name of an entry, that entry's openings count from `hold_above`; those of any entry only from
well above that, the more so the more entries there are. Nothing is searched as long as what was added since the last
search cannot have brought the sentence near enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from guard.fingerprint import Shingler
from guard.names import plain
from guard.words import Word
from index.embedder import Vectors
from index.openings import Opened, OpeningTable, vectors_of
from index.static import StaticModel

LEAST_WORDS: Final = 3
"""Words from which a sentence that names no entry may be near one."""

LEAST_MASS: Final = 4.0
"""The length of a sum of word vectors from which it counts in full: common words alone say nothing."""

BOTH_NAMED: Final = 0.2
"""Added to the cosine of an entry of which the sentence says two names or more."""

STAYS: Final = 0.05
"""What is near stays near until it is this far below."""

_CACHED: Final = 16_384
_TINY: Final = 1e-9


class WordVectors:
    """The vector of each word of a model, and its hash. Thread-safe: at worst a word is computed twice."""

    def __init__(self, model: StaticModel, shingler: Shingler, cached: int = _CACHED) -> None:
        self._model, self._shingler, self._cached = model, shingler, cached
        self.dimensions = model.dimensions
        self._known: dict[str, tuple[Vectors, int]] = {}

    def of(self, norm: str) -> tuple[Vectors, int]:
        """The summed vectors of the word's tokens [dimensions], and the hash that a name has."""
        known = self._known
        found = known.get(norm)
        if found is None:
            found = self._model.word(norm), self._shingler.digest((plain(norm),))
            if len(known) >= self._cached:
                self._known = known = {}
            known[norm] = found
        return found


@lru_cache(maxsize=4)
def word_vectors(model: StaticModel, shingler: Shingler) -> WordVectors:
    """The same object for the same model and key."""
    return WordVectors(model, shingler)


def apart(entries: int) -> float:
    """How far above `hold_above` a sentence must come to an entry that it does not name. The best of many chance
    scores grows with the logarithm of their number; chosen so that about one benign word in fifty is near."""
    return min(0.35, max(0.05, 0.14 * math.log10(max(1, entries)) - 0.264))


class StaticGlance:
    """Glances at one channel; see `guard.glance.Glance`. For one thread at a time."""

    def __init__(self, words: WordVectors, table: OpeningTable, hold_above: float) -> None:
        self._words, self._table = words, table
        self._named_from, self._any_from = hold_above, hold_above + apart(len(table))
        self._sum: Vectors = np.zeros(words.dimensions, dtype=np.float32)
        self.cut()

    def cut(self) -> None:
        """See `Glance.cut`."""
        self._sum.fill(0.0)
        self._count = 0
        self._near = False
        self._told: set[int] = set()
        self._names: dict[str, int] = {}
        self._about: dict[str, Opened] = {}
        self._matrix: Vectors | None = None
        self._bonus: Vectors = np.zeros(0, dtype=np.float32)
        self._asked: Vectors | None = None
        self._best = -1.0

    def push(self, words: Sequence[Word]) -> bool:
        """See `Glance.push`."""
        for word in words:
            self._push(word.norm)
        return self._near

    def _push(self, norm: str) -> None:
        vector, name = self._words.of(norm)
        total = self._sum
        total += vector
        self._count += 1
        if name not in self._told:
            self._told.add(name)
            self._mention(name)
        length = math.sqrt(float(total.dot(total)))
        mass = min(1.0, length / LEAST_MASS)
        if mass < self._named_from - STAYS:
            self._near = False
            return
        slack = STAYS if self._near else 0.0
        self._near = self._is_named(length, (self._named_from - slack) / mass) or (
            self._count >= LEAST_WORDS and self._is_near_any(length, (self._any_from - slack) / mass)
        )

    def _mention(self, name: int) -> None:
        """Note the entries that have this name."""
        for entry in self._table.named(name):
            self._names[entry.entry_id] = self._names.get(entry.entry_id, 0) + 1
            self._about[entry.entry_id] = entry
            self._matrix = None

    def _joined(self) -> tuple[Vectors, Vectors]:
        """The openings of the entries that were named, and what is added to their cosines."""
        if self._matrix is None:
            about = self._about.values()
            self._matrix = vectors_of(np.concatenate([entry.codes for entry in about]))
            more = [BOTH_NAMED if self._names[entry.entry_id] > 1 else 0.0 for entry in about]
            self._bonus = np.repeat(np.array(more, dtype=np.float32), [len(entry.codes) for entry in about])
        return self._matrix, self._bonus

    def _is_named(self, length: float, least: float) -> bool:
        if not self._about:
            return False
        matrix, bonus = self._joined()
        scores = matrix.dot(self._sum)
        scores /= max(length, _TINY)
        scores += bonus
        return float(scores.max()) >= least

    def _is_near_any(self, length: float, least: float) -> bool:
        if least > 1.0:
            return False
        query: Vectors = self._sum / np.float32(max(length, _TINY))
        if self._asked is not None:
            # Of two angles at a common side, no third is smaller than their difference.
            turned = min(1.0, float(self._asked.dot(query)))
            best = self._best
            if best < turned:
                most = best * turned + math.sqrt(max(0.0, 1 - best * best)) * math.sqrt(max(0.0, 1 - turned * turned))
                if most < least:
                    return False
        self._asked, self._best = query, self._table.best(query)
        return self._best >= least
