"""Calibrations: the thresholds that belong to one embedder, one backend and one window rule, and what they rest on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any, Final, Protocol

from guard.segments import DEFAULT_RULE, WindowRule
from guard.verdict import Kind, Side
from index.embedder import FLOAT32, Embedder
from index.errors import CalibrationMissing
from index.threshold import Method, Prediction, Threshold, calibrate, clopper_pearson

__all__ = ["Calibration", "Threshold", "calibrate", "calibration_for", "check_fits", "clopper_pearson", "shipped"]

REFERENCE: Final = FLOAT32
"""The backend of thresholds that name none, and the one that others are compared with."""

AGREEMENT: Final = 0.995
"""Thresholds also serve a backend whose vectors have at least this cosine to those that they were computed with."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds per kind and side, on the scale of `index.matching`.

    `thresholds` are those of answers; a kind that `prompt_thresholds` does not name is judged alike in prompts. Below
    `clear_below` the static stage may clear a window of that kind; it has no authority over a kind that is not named.
    `source` says where the thresholds come from in a few words, `card` more exactly: what was scored, against what.
    `backends` holds the lowest cosine between vectors of other backends and of this one, as measured.
    """

    embedder_hash: str
    rule: str
    thresholds: Mapping[Kind, Threshold]
    source: str
    embedder: str = ""
    backend: str = REFERENCE
    prompt_thresholds: Mapping[Kind, Threshold] = field(default_factory=dict)
    clear_below: Mapping[Kind, float] = field(default_factory=dict)
    backends: Mapping[str, float] = field(default_factory=dict)
    card: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [kind for kind in Kind if kind not in self.thresholds]
        if missing:
            raise ValueError("a calibration needs a threshold for " + ", ".join(missing))
        object.__setattr__(self, "prompt_thresholds", {**self.thresholds, **self.prompt_thresholds})

    @property
    def values(self) -> dict[Kind, float]:
        """The thresholds of answers."""
        return self.values_of(Side.ANSWER)

    @property
    def prompt_values(self) -> dict[Kind, float]:
        """The thresholds of prompts."""
        return self.values_of(Side.PROMPT)

    def side(self, side: Side) -> Mapping[Kind, Threshold]:
        """The thresholds of one side."""
        return self.thresholds if side is Side.ANSWER else self.prompt_thresholds

    def values_of(self, side: Side) -> dict[Kind, float]:
        """The scores from which on texts of one side convict."""
        return {kind: threshold.value for kind, threshold in self.side(side).items()}

    def with_side(self, side: Side, found: Mapping[Kind, Threshold]) -> Calibration:
        """The same with these thresholds on one side; the other side keeps its own."""
        if side is Side.ANSWER:
            return replace(self, thresholds={**self.thresholds, **found})
        return replace(self, prompt_thresholds={**self.prompt_thresholds, **found})

    def serves(self, backend: str) -> bool:
        """True for the own backend, and for others whose vectors were measured to agree with its."""
        return backend == self.backend or self.backends.get(backend, 0.0) >= AGREEMENT

    def on(self, backend: str) -> Calibration | None:
        """The same for a backend that it serves; None for another."""
        if backend == self.backend:
            return self
        if not self.serves(backend):
            return None
        return replace(self, backend=backend, backends={self.backend: self.backends[backend]})

    def to_json(self) -> str:
        """The form in which it is stored and shipped."""
        body = {
            "embedder": self.embedder,
            "embedder_hash": self.embedder_hash,
            "backend": self.backend,
            "rule": self.rule,
            "source": self.source,
            "card": dict(self.card),
            "backends": dict(self.backends),
            "thresholds": _table(self.thresholds),
            "prompt_thresholds": _table(self.prompt_thresholds),
            "clear_below": {kind.value: score for kind, score in self.clear_below.items()},
        }
        return json.dumps(body, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """The reverse; what older versions wrote is understood. Raises `ValueError` when the text is no calibration."""
        try:
            body = json.loads(text)
            return cls(
                embedder_hash=body["embedder_hash"],
                rule=body["rule"],
                thresholds=_thresholds(body["thresholds"]),
                source=body["source"],
                embedder=body.get("embedder", ""),
                backend=body.get("backend", REFERENCE),
                prompt_thresholds=_thresholds(body.get("prompt_thresholds", {})),
                clear_below={Kind(kind): float(score) for kind, score in body.get("clear_below", {}).items()},
                backends={str(name): float(cosine) for name, cosine in body.get("backends", {}).items()},
                card={str(name): str(words) for name, words in body.get("card", {}).items()},
            )
        except (KeyError, TypeError, AttributeError) as cause:
            raise ValueError(f"this is no calibration: {cause!r}") from cause


def _table(thresholds: Mapping[Kind, Threshold]) -> dict[str, dict[str, object]]:
    return {kind.value: threshold_json(t) for kind, t in thresholds.items()}


def threshold_json(t: Threshold) -> dict[str, object]:
    """A threshold as a JSON object; one that was set by hand is its value alone."""
    if t.method is Method.HAND and not t.n:
        return {"threshold": t.value}
    row: dict[str, object] = {"threshold": t.value, "fpr": t.fpr, "n": t.n, "low": t.low, "high": t.high}
    row |= {"method": t.method.value, "target": t.target, "expected": t.expected, "confidence": t.confidence}
    row |= {"shown": t.shown, "held": t.held}
    if t.following is not None:
        row["next"] = {"n": t.following.n, "low": t.following.low, "high": t.following.high}
    return row


def _thresholds(table: Mapping[str, Any]) -> dict[Kind, Threshold]:
    return {Kind(kind): _threshold(row) for kind, row in table.items()}


def _threshold(row: Mapping[str, Any]) -> Threshold:
    following = row.get("next")
    return Threshold(
        value=float(row["threshold"]),
        fpr=float(row.get("fpr", 0.0)),
        n=int(row.get("n", 0)),
        low=float(row.get("low", 0.0)),
        high=float(row.get("high", 1.0)),
        method=Method(row.get("method", Method.HAND)),
        target=float(row.get("target", 0.0)),
        expected=float(row.get("expected", 0.0)),
        confidence=float(row.get("confidence", 0.0)),
        shown=bool(row.get("shown", False)),
        held=bool(row.get("held", False)),
        following=Prediction(int(following["n"]), int(following["low"]), int(following["high"])) if following else None,
    )


class CalibrationStore(Protocol):
    """Where an operator's own calibrations are kept."""

    def calibration(self, embedder_hash: str, backend: str, rule: str) -> str | None: ...

    def calibrations(self) -> Sequence[str]: ...


def rule_id(rule: WindowRule = DEFAULT_RULE) -> str:
    """Names a window rule: scores of windows that are cut in another way mean something else."""
    base = f"w{rule.min_words}-{rule.max_words}-{rule.overlap}-{rule.opening_words}-{rule.exchange_segments}"
    return f"{base}-{rule.stretch_words}-{rule.stretch_step}"


def shipped(embedder_hash: str, rule: WindowRule = DEFAULT_RULE, backend: str = REFERENCE) -> Calibration | None:
    """The calibration that ships for that embedder and rule, when it serves that backend."""
    file = resources.files("index") / "calibrations" / f"{embedder_hash[:12]}.json"
    if not file.is_file():
        return None
    calibration = Calibration.from_json(file.read_text("utf-8"))
    same = calibration.embedder_hash == embedder_hash and calibration.rule == rule_id(rule)
    return calibration.on(backend) if same else None


def calibration_for(embedder: Embedder, store: CalibrationStore, rule: WindowRule = DEFAULT_RULE) -> Calibration:
    """The store's calibration for exactly this embedder, backend and rule; else the store's newest that was measured to
    serve this backend too, so that a processor of another kind brings no other thresholds; else the shipped one.

    Raises `CalibrationMissing`: thresholds of another embedder, rule or unlike backend are not used.
    """
    stored = store.calibration(embedder.hash, embedder.backend, rule_id(rule))
    if stored is not None:
        return Calibration.from_json(stored)
    others = [Calibration.from_json(body) for body in store.calibrations()]
    for other in others:
        same = (other.embedder_hash, other.rule) == (embedder.hash, rule_id(rule))
        if same and (found := other.on(embedder.backend)):
            return found
    if found := shipped(embedder.hash, rule, embedder.backend):
        return found
    raise CalibrationMissing(_missing(embedder, rule, others))


def check_fits(calibration: Calibration, embedder: Embedder, rule: WindowRule = DEFAULT_RULE) -> None:
    """Refuse to compare one embedder's scores with another's thresholds."""
    same = (calibration.embedder_hash, calibration.rule) == (embedder.hash, rule_id(rule))
    if not same or not calibration.serves(embedder.backend):
        raise CalibrationMissing(
            f"the thresholds were computed for "
            f"{_key(calibration.embedder_hash, calibration.backend, calibration.rule)}, not for "
            f"{_key(embedder.hash, embedder.backend, rule_id(rule))}: {_ADVICE}"
        )


_ADVICE: Final = "run `lethe calibrate --benign FILE --fpr 0.01` with the server's --embedder and --store"


def _key(embedder_hash: str, backend: str, rule: str) -> str:
    return f"embedder {embedder_hash[:12]} on {backend} with windows {rule}"


def _missing(embedder: Embedder, rule: WindowRule, others: Sequence[Calibration]) -> str:
    wanted = f"{embedder.name}, " + _key(embedder.hash, embedder.backend, rule_id(rule))
    sentence = f"no thresholds are known for {wanted}"
    if others:
        held = "; ".join(_key(c.embedder_hash, c.backend, c.rule) for c in others[:3])
        sentence += f" (the store's belong to {held})"
    return f"{sentence}: {_ADVICE}, or use the bundled embedder"
