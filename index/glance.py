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
from typing import Final, NamedTuple

import numpy as np

from guard.fingerprint import Shingler
from guard.names import plain
from guard.words import Word
from index.embedder import Vectors
from index.openings import OpeningTable, vectors_of
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
_CLOSE: Final = 0.999  # leaves room for the rounding of what is compared
_OWN: Final = 2  # rows before those of openings


class Spoken(NamedTuple):
    """A word: the summed vectors of its tokens [dimensions], the length of that, and the hash that a name has."""

    vector: Vectors
    length: float
    name: int


class WordVectors:
    """What each word of a model adds to a text. Thread-safe: at worst a word is computed twice."""

    def __init__(self, model: StaticModel, shingler: Shingler, cached: int = _CACHED) -> None:
        self._model, self._shingler, self._cached = model, shingler, cached
        self.dimensions = model.dimensions
        self._known: dict[str, Spoken] = {}

    def of(self, norm: str) -> Spoken:
        """What this word adds."""
        known = self._known
        found = known.get(norm)
        if found is None:
            vector = self._model.word(norm)
            found = Spoken(vector, math.sqrt(float(vector.dot(vector))), self._shingler.digest((plain(norm),)))
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
    """Glances at one channel; see `guard.glance.Glance`. For one thread at a time.

    Most words change nothing: after a sentence was compared, it takes words of a certain length together to turn it so
    far that it can be near. Until then they are only kept (`_pending`).
    """

    def __init__(self, words: WordVectors, table: OpeningTable, hold_above: float) -> None:
        self._words, self._table = words, table
        self._named_from, self._any_from = hold_above, hold_above + apart(len(table))
        self.cut()

    def cut(self) -> None:
        """See `Glance.cut`."""
        # What one product compares the sum with: itself, what was searched last, and the openings that it names.
        self._rows: Vectors = np.zeros((_OWN, self._words.dimensions), dtype=np.float32)
        self._sum: Vectors = self._rows[0]
        self._pending: list[Vectors] = []
        self._moved = 0.0  # the lengths of what is pending, added up
        self._length = 0.0  # of the sum when it was compared
        self._spare = -1.0  # how much nearer the sentence, compared last, could come without being near
        self._count = 0
        self._near = False
        self._told: set[int] = set()
        self._names: dict[str, int] = {}  # of entries that are named: by how many names
        self._sizes: list[int] = []  # of the same: how many openings they have
        self._bonus: Vectors | None = None
        self._best: float | None = None  # the best cosine of what was searched last

    def push(self, words: Sequence[Word]) -> bool:
        """See `Glance.push`."""
        for word in words:
            self._push(word.norm)
        return self._near

    def _push(self, norm: str) -> None:
        vector, size, name = self._words.of(norm)
        self._pending.append(vector)
        self._moved += size
        self._count += 1
        if name not in self._told:
            self._told.add(name)
            self._mention(name)
        if not self._near and (
            self._moved < self._spare * self._length  # an angle's sine is at most what was added over what was there
            or self._length + self._moved < LEAST_MASS * (self._named_from - STAYS) * _CLOSE
        ):
            return
        self._compare()

    def _compare(self) -> None:
        """Find out whether the sentence is near."""
        for vector in self._pending:
            self._sum += vector
        self._pending.clear()
        self._moved, self._spare = 0.0, -1.0
        products = self._rows.dot(self._sum)
        length = self._length = math.sqrt(max(float(products[0]), 0.0))
        mass = min(1.0, length / LEAST_MASS)
        if mass < self._named_from - STAYS:
            self._near = False
            return
        slack = STAYS if self._near else 0.0
        named = self._named(products, length)
        self._near = named >= (self._named_from - slack) / mass
        if not self._near and self._count >= LEAST_WORDS:
            self._near = self._is_near_any(products, (self._any_from - slack) / mass, named)

    def _mention(self, name: int) -> None:
        """Note the entries that have this name."""
        found = self._table.named(name)
        if not found:
            return
        new = [entry for entry in found if entry.entry_id not in self._names]
        if new:
            self._rows = np.concatenate([self._rows, vectors_of(np.concatenate([entry.codes for entry in new]))])
            self._sum = self._rows[0]
            self._sizes += [len(entry.codes) for entry in new]
        for entry in found:
            self._names[entry.entry_id] = self._names.get(entry.entry_id, 0) + 1
        more = [BOTH_NAMED if count > 1 else 0.0 for count in self._names.values()]
        self._bonus = np.repeat(np.array(more, dtype=np.float32), self._sizes) if any(more) else None
        self._spare = -1.0

    def _named(self, products: Vectors, length: float) -> float:
        """The best score of the openings of entries that are named; 0 when there are none."""
        if not self._sizes:
            return 0.0
        scores = products[_OWN:]
        if self._bonus is None:
            return float(scores.max()) / max(length, _TINY)
        return float((scores / np.float32(max(length, _TINY)) + self._bonus).max())

    def _is_near_any(self, products: Vectors, least: float, named: float) -> bool:
        """True when any opening is near; else notes how much is lacking, for that or for the `named` ones."""
        if least > 1.0:
            return False
        length = max(self._length, _TINY)
        if self._best is not None:
            # Of two angles at a common side, no third is smaller than their difference.
            turned, best = min(1.0, float(products[1]) / length), self._best
            if best < turned:
                most = best * turned + math.sqrt(max(0.0, 1 - best * best)) * math.sqrt(max(0.0, 1 - turned * turned))
                if most < least:
                    self._spare = self._lacking(named, most)
                    return False
        query: Vectors = self._sum / np.float32(length)
        self._rows[1] = query
        self._best = self._table.best(query)
        self._spare = self._lacking(named, self._best)
        return self._best >= least

    def _lacking(self, named: float, best: float) -> float:
        """The least that one of these scores, of the openings that are named and of any, must grow by."""
        least_named = 0.0 if self._bonus is None else BOTH_NAMED  # from a right angle on, a cosine grows by the sine
        return _CLOSE * min(self._named_from - max(named, least_named), self._any_from - max(best, 0.0))
