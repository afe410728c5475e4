"""The bodies of calibrations."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from index.threshold import LOWEST_FPR
from server.schemas.base import ForgetText, KindName, Schema
from server.score_curves import Curves

SideName = Literal["answer", "prompt"]


class Sample(Schema):
    """A text to calibrate on; an answer with the question that it answered."""

    text: ForgetText
    prompt: Annotated[str, StringConstraints(max_length=100_000)] = ""


Samples = list[ForgetText | Sample]


class CalibrationIn(Schema):
    """What to calibrate on, and for which rate. The best score of a text counts, so the rate is per text.

    `samples` are benign texts, or "recent": the scores of traffic that passed within the last `days`. `positives` are
    leaks: they change no threshold of the embedding, and show what the thresholds catch. With `confidence` the rate is
    a bound that holds with it, else the expected rate. `next` is how many texts to come the prediction is made for.
    """

    fpr: Annotated[float, Field(ge=LOWEST_FPR, lt=1)] = 0.01
    side: SideName = "answer"
    samples: Literal["recent"] | Annotated[Samples, Field(min_length=20, max_length=10_000)]
    positives: Annotated[Samples, Field(max_length=10_000, default_factory=list)]
    days: Annotated[float, Field(gt=0, le=30)] = 7.0
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None
    next: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    dry_run: bool = False

    @model_validator(mode="after")
    def _days_are_of_traffic(self) -> Self:
        if self.samples != "recent" and "days" in self.model_fields_set:
            raise ValueError('days belong to "recent" samples')
        return self


class PredictionOut(Schema):
    """At 95 %, between `low` and `high` of the next `n` benign texts reach the threshold."""

    n: int
    low: int
    high: int


class ThresholdOut(Schema):
    """`fpr` is the measured share of `n` benign texts that reach it; `low..high` its 95 % interval.

    `method` is `hand`, `expected` (split conformal) or `bound` (tolerance limit), for a rate of `target`. `expected` is
    the mean of what the true rate may be, `confidence` the probability that it is at most the target. `shown` is
    false when n texts cannot show such a rate; `held` when one run could not lower the threshold as far as it should.
    """

    threshold: float
    fpr: float
    n: int
    low: float
    high: float
    method: Literal["hand", "expected", "bound"]
    target: float
    expected: float
    confidence: float
    shown: bool
    held: bool
    next: PredictionOut | None


class CalibrationOut(Schema):
    """Thresholds by kind, of answers and of prompts. `serving` tells whether they are in use now.

    They belong to one embedder, backend and window rule. `clear_below` is where the static stage may clear, `card` says
    what the thresholds rest on.
    """

    embedder: str
    embedder_hash: str
    backend: str
    rule: str
    source: str
    serving: bool
    thresholds: dict[KindName, ThresholdOut]
    prompt_thresholds: dict[KindName, ThresholdOut]
    clear_below: dict[KindName, float]
    card: dict[str, str]


class CalibratedOut(CalibrationOut):
    """New thresholds of one `side`, with what must be known about them.

    `reached` is the share of the benign texts that reach any new threshold, `caught` that of the positives (None
    without any). `curves` hold what a plot shows, by kind.
    """

    side: SideName
    reached: float | None
    caught: float | None
    notes: list[str]
    curves: dict[KindName, Curves]


class CalibrationsOut(Schema):
    """The calibration in use, then those that are stored: newest first."""

    calibrations: list[CalibrationOut]
