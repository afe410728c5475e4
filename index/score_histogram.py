"""Score histograms: how high the texts of passing traffic scored, in bins, and nothing else about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from guard.verdict import Kind, Side

BINS: Final = 200
WIDTH: Final = 1 / BINS
HOUR_S: Final = 3_600
_SLACK: Final = 1e-9


def bin_of(score: float) -> int:
    """The bin of a score, 0 to `BINS` - 1; what lies outside of 0 to 1 goes to the ends."""
    return min(BINS - 1, max(0, int(score * BINS + _SLACK)))


def hour_of(at: float) -> int:
    """The hour of a time in epoch seconds."""
    return int(at // HOUR_S)


def score_basis(embedder_hash: str, backend: str, rule: str) -> str:
    """What scores were made with: only those with the same basis can be counted together."""
    return f"{embedder_hash}:{backend}:{rule}"


@dataclass(frozen=True, slots=True)
class ScoreCount:
    """`texts` texts of one hour whose highest score fell into this bin."""

    basis: str
    namespace: str
    kind: Kind
    side: Side
    hour: int
    bin: int
    texts: int


@dataclass(frozen=True, slots=True)
class ScoreFilter:
    """Which scores: of one basis, namespace and side, since a time in epoch seconds (the whole hour that it is in)."""

    basis: str
    namespace: str
    side: Side = Side.ANSWER
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many texts scored how high, [BINS]."""

    counts: tuple[int, ...] = (0,) * BINS

    def __post_init__(self) -> None:
        if len(self.counts) != BINS or min(self.counts) < 0:
            raise ValueError(f"a histogram has {BINS} counts of at least 0")

    @classmethod
    def of(cls, scores: Iterable[float]) -> Histogram:
        """The histogram of these scores."""
        counts = [0] * BINS
        for score in scores:
            counts[bin_of(score)] += 1
        return cls(tuple(counts))

    @property
    def n(self) -> int:
        """How many texts were counted."""
        return sum(self.counts)

    @property
    def scores(self) -> tuple[float, ...]:
        """The score that stands for each bin: just below its upper end, since a tie counts against a threshold."""
        return tuple((b + 1) * WIDTH - _SLACK for b in range(BINS))

    def moved(self, added: Iterable[float], taken: Iterable[float]) -> Histogram:
        """With these scores counted, and those not counted any more."""
        counts = list(self.counts)
        for score in added:
            counts[bin_of(score)] += 1
        for score in taken:
            counts[bin_of(score)] = max(0, counts[bin_of(score)] - 1)
        return Histogram(tuple(counts))

    def share_from(self, score: float) -> float:
        """The share of texts that may reach this score: whole bins count. 0.0 of an empty histogram."""
        return sum(self.counts[bin_of(score) :]) / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True)
class ScoreSample:
    """What passing traffic scored, by kind.

    Passing traffic is taken for benign. Suppressed texts that an operator labelled `false_positive` are in it
    (`added`), texts that passed and were labelled `hit` are not (`taken`), and `suppressed` texts without such a label
    are not: where many benign texts are suppressed and nobody labels them, the true rate is higher.
    """

    histograms: Mapping[Kind, Histogram] = field(default_factory=dict)
    added: int = 0
    taken: int = 0
    suppressed: int = 0
