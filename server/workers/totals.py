"""The metrics of a server with several workers: one page for all, without counting twice or going back.

```
    live workers    what each told last, replaced when it tells again
    ended workers   counters and histograms of all of them, added up: a counter never falls
    the page        counters and histograms: both, added; gauges: live workers, each by its own rule
```
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from server.metrics import DECLARATIONS, Across, Declaration, Sample

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]

_MERGED: Final[Mapping[Across, Callable[[float, float], float]]] = {
    Across.SUM: operator.add,
    Across.LEAST: min,
    Across.MOST: max,
}
_ENDS: Final = ("_bucket", "_count", "_sum")


_BY_NAME: Final[Mapping[str, Declaration]] = {declared.name: declared for declared in DECLARATIONS}


def _declared(sample: str) -> Declaration:
    names = (sample, *(sample.removesuffix(end) for end in _ENDS))
    return next(_BY_NAME[name] for name in names if name in _BY_NAME)


class Totals(Collector):
    """Adds up what workers tell. Used in one thread."""

    def __init__(self) -> None:
        self._live: dict[int, Series] = {}
        self._ended: Series = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def told(self, worker: int, samples: Iterable[Sample]) -> None:
        """All that a live worker has counted since its start."""
        self._live[worker] = {(sample.name, sample.labels): sample.value for sample in samples}

    def ended(self, worker: int) -> None:
        """This worker is gone; what it counted stays."""
        for key, value in self._live.pop(worker, {}).items():
            if _declared(key[0]).type != "gauge":
                self._ended[key] = self._ended.get(key, 0.0) + value

    def value(self, name: str, **labels: str) -> float:
        """One series of the page; 0 when nobody told it."""
        return self._merged().get((name, tuple(labels.items())), 0.0)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """See `Collector.collect`."""
        metrics = {d.name: Metric(d.name.removesuffix("_total"), d.help, d.type) for d in DECLARATIONS}
        for (name, labels), value in self._merged().items():
            metrics[_declared(name).name].add_sample(name, dict(labels), value)
        yield from metrics.values()

    def _merged(self) -> Series:
        merged = dict(self._ended)
        for series in self._live.values():
            for key, value in series.items():
                rule = _MERGED[_declared(key[0]).across]
                merged[key] = rule(merged[key], value) if key in merged else value
        return merged
