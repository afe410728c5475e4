"""What was measured side by side, as figures: medians over the runs, with the least and the greatest."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

WHOLE, FEW, MANY = "whole x16", "stream 10 ms x16", "stream 10 ms x64"
"""The scenarios, by their names."""

Sides = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the least and the greatest value of the runs."""

    median: float
    least: float
    greatest: float

    def shown(self, digits: int = 1) -> str:
        """Median [least..greatest]."""
        one, two, three = (f"{v:,.{0 if abs(v) >= 1000 else digits}f}" for v in self.all)
        return one if two == three else f"{one} [{two}..{three}]"

    @property
    def all(self) -> tuple[float, float, float]:
        """The three values."""
        return self.median, self.least, self.greatest


def added(name: str) -> Callable[[Sides], float | None]:
    """How much longer than direct in the same run."""

    def difference(sides: Sides) -> float | None:
        one, direct = sides["peer"].get(name), sides["direct"].get(name)
        return None if one is None or direct is None else one - direct

    return difference


def own(name: str, side: str = "peer") -> Callable[[Sides], float | None]:
    """A figure as it is."""
    return lambda sides: sides[side].get(name)


def ratio(name: str) -> Callable[[Sides], float | None]:
    """A figure as a share of direct's in the same run."""

    def share(sides: Sides) -> float | None:
        one, direct = sides["peer"].get(name), sides["direct"].get(name)
        return one / direct if one is not None and direct else None

    return share


def per(name: str, times: float) -> Callable[[Sides], float | None]:
    """The proxy's processor seconds for so many answers or tokens."""

    def cost(sides: Sides) -> float | None:
        one = sides["peer"]
        return times * float(one["cpu_s"]) / one[name] if one[name] else None

    return cost


class Figures:
    """The results of a run of the benchmark, as it keeps them."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.peers: Mapping[str, Any] = found["peers"]
        self.texts, self.secs = int(found["texts"]), float(found["secs"])
        self.runs = max((len(one["runs"]) for one in self.peers.values()), default=0)

    def title(self, peer: str) -> str:
        """What the proxy is called."""
        return str(self.peers[peer]["title"])

    def fault(self, peer: str) -> str:
        """Why the proxy was not measured, or not to the end."""
        return " ".join(str(self.peers[peer].get("fault", "")).split())

    def of(self, peer: str, scenario: str, figure: Callable[[Sides], float | None]) -> Spread | None:
        """A figure over the runs; None when nothing was measured."""
        runs = self.peers.get(peer, {}).get("runs", [])
        values = [v for run in runs if scenario in run and (v := figure(run[scenario])) is not None]
        return Spread(statistics.median(values), min(values), max(values)) if values else None

    def direct(self, scenario: str, name: str) -> Spread | None:
        """A figure of all direct runs together."""
        runs = [run for one in self.peers.values() for run in one["runs"] if scenario in run]
        values = [v for run in runs if (v := run[scenario]["direct"].get(name)) is not None]
        return Spread(statistics.median(values), min(values), max(values)) if values else None

    def texts_of(self, peer: str) -> tuple[int, int, int, int]:
        """Answers in all, and of them: suppressed (ended as filtered), changed otherwise; and requests that failed."""
        sides = [sides["peer"] for run in self.peers[peer]["runs"] for sides in run.values()]
        answers, suppressed, changed = (sum(s[k] for s in sides) for k in ("answers", "suppressed", "changed"))
        return answers, suppressed, changed, sum(sum(s["faults"].values()) for s in sides)

    def foreign(self) -> float:
        """Cores that other processes used, in the median of all measurements."""
        runs = [run for one in self.peers.values() for run in one["runs"]]
        values = [side["foreign"] for run in runs for sides in run.values() for side in sides.values()]
        return statistics.median(values) if values else 0.0
