"""The index at 10,000, 100,000 and 1,000,000 vectors: recall and time of a search by type of base, the time a start
takes, how soon a change is served, and what searches take meanwhile."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from bench.dataset import add_data_option
from bench.report import table, write_section
from bench.scale_index import Figures, measured
from bench.scale_vectors import HOW, mixtures, sentence_vectors
from guard.verdict import Kind
from index import inverted
from index.embedder import Vectors, load_embedder
from index.nearest import AGAIN, PROBED, FlatRows, InvertedRows, NearestRows
from index.vectors import Row, VectorTable

SIZES: Final = (10_000, 100_000, 1_000_000)
FOUND: Final = 10
QUERIES: Final = 500
ROWS_PER_ENTRY: Final = 3
_TIMED: Final = 1000
_TIMED_SLOW: Final = 50  # exact searches of very many rows


@dataclass(frozen=True, slots=True)
class Searched:
    """One type of base at one size: recalls are those of real sentences and of mixtures, times in milliseconds."""

    size: int
    kind: str
    recalls: tuple[float, float]
    p50: float
    p99: float
    build_s: float
    bytes_per_row: float
    off: float

    def line(self) -> list[str]:
        """A row of the section's table."""
        real, mixed = self.recalls
        return [
            f"{self.size:,}",
            self.kind,
            f"{real:.3f}",
            f"{mixed:.3f}",
            f"{self.p50:.2f}",
            f"{self.p99:.2f}",
            f"{self.build_s:.1f}",
            f"{self.bytes_per_row:,.0f}",
            f"{self.off:.4f}",
        ]


@dataclass(frozen=True, slots=True)
class Truth:
    """Queries, the first half real sentences, and what exact search finds for them."""

    queries: Vectors
    positions: np.ndarray
    cosines: Vectors


def truth_of(rows: FlatRows, queries: Vectors) -> Truth:
    """The nearest rows by comparing all of them."""
    cosines, positions = rows.search(queries, FOUND, None)
    return Truth(queries, positions, cosines)


def searched(name: str, rows: NearestRows, order: np.ndarray, truth: Truth, build_s: float) -> Searched:
    """Search once per query, one at a time. `order` says which row of the truth each row of the base is."""
    shares: list[float] = []
    times: list[float] = []
    off = 0.0
    for i in range(_TIMED if len(rows) <= SIZES[1] or not rows.exact else _TIMED_SLOW):
        at = i % len(truth.queries)
        begun = time.perf_counter()
        cosines, positions = rows.search(truth.queries[at : at + 1], FOUND, None)
        times.append(time.perf_counter() - begun)
        if i < len(truth.queries) and not rows.exact:
            expected = dict(zip(truth.positions[at].tolist(), truth.cosines[at].tolist(), strict=True))
            found = dict(zip(order[positions[0]].tolist(), cosines[0].tolist(), strict=True))
            shares.append(len(expected.keys() & found.keys()) / FOUND)
            off = max(off, *(abs(found[n] - expected[n]) for n in expected.keys() & found.keys()), 0.0)
    half = len(truth.queries) // 2
    recalls = (1.0, 1.0) if rows.exact else (float(np.mean(shares[:half])), float(np.mean(shares[half:])))
    p50, p99 = (float(p) * 1e3 for p in np.percentile(times, [50, 99]))
    return Searched(len(rows), name, recalls, p50, p99, build_s, _bytes(rows) / len(rows), off)


def _bytes(rows: NearestRows) -> int:
    if isinstance(rows, InvertedRows):
        index = rows.index
        codes: int = len(rows) * (index.code_size + 8) + index.nlist * index.d * 4
        return int(rows.halves.nbytes + rows.starts.nbytes + codes)
    return int(4 * len(rows) * rows.rows(np.zeros(1, dtype=np.int64)).shape[1])


def timed_build(build: Callable[[], tuple[NearestRows, np.ndarray]]) -> tuple[NearestRows, np.ndarray, float]:
    """What was built, and the seconds that took."""
    begun = time.perf_counter()
    rows, order = build()
    return rows, order, time.perf_counter() - begun


def by_size(vectors: Vectors, queries: Vectors) -> tuple[list[Searched], NearestRows, np.ndarray]:
    """Both types at every size that there are vectors for; also the largest inverted file, and its order."""
    lines: list[Searched] = []
    for size in SIZES:
        if size > len(vectors):
            continue
        part = vectors[:size]
        begun = time.perf_counter()
        flat, order = FlatRows(part), np.arange(len(part))
        seconds = time.perf_counter() - begun
        truth = truth_of(flat, queries)
        lines.append(searched("exact", flat, order, truth, seconds))
        print(lines[-1], flush=True)
        nothing = np.zeros(0, dtype=np.int64)
        rows, order, seconds = timed_build(partial(inverted.inverted, FlatRows(part[:0]), nothing, part))
        lines.append(searched("inverted file", rows, order, truth, seconds))
        print(lines[-1], flush=True)
        largest = rows, order
    return lines, *largest


BODY = """Vectors: {how}. Queries: {queries} real sentences that are in no mixture, and {queries} mixtures of them.
Recall is that of the ten nearest against exact search; times are those of one query at a time on one core, in
milliseconds; *off* is the largest error of a cosine that was found.
An inverted file looks into {probed} cells, and compares the
{again} best by 8-bit codes again in half precision. Bases of fewer than {fewest:,} rows are exact, larger ones are
inverted files. The aims at 1,000,000: recall at least 0.98, p99 at most 2 ms.

{searches}

A whole index of {entries:,} facts with three vectors each, without a static model; its store holds rows without
vectors, which a start from the stored snapshot does not read. The file is read from the page cache. *Served* is from
the write to the snapshot that serves it, adding or removing ten times a second while another thread searches as the
embedding detector does (every row from {floor} on). Aims: start at most 5 s, a change served within 1 s.

{index}
"""


def index_rows(found: Figures) -> list[list[str]]:
    """What was measured on the whole index."""

    def two(times: tuple[float, float]) -> str:
        return f"{times[0]:.2f} / {times[1]:.2f}"

    return [
        ["writing the stored snapshot, s", f"{found.write_s:.1f}"],
        ["the stored snapshot, MB", f"{found.file_mb:,.0f}"],
        ["start from it, s", f"{found.start_s:.2f}"],
        ["an addition served, s, p50 / p99", two(found.added_s)],
        ["a removal served, s, p50 / p99", two(found.removed_s)],
        ["search alone, ms, p50 / p99", two(found.search_ms)],
        ["search while adding and removing, ms, p50 / p99", two(found.search_updating_ms)],
        ["folding all into a new base (one thread of low priority), s", f"{found.fold_s:.1f}"],
        ["search while folding, ms, p50 / p99", two(found.search_folding_ms)],
        ["a change served while folding, s, p50 / p99", two(found.served_folding_s)],
        ["memory that a further process has for itself, MB", f"{found.own_mb:,.0f}"],
        ["memory that it shares, MB", f"{found.shared_mb:,.0f}"],
    ]


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--vectors", type=int, default=SIZES[-1], help="the largest size (%(default)s)")
    given = parser.parse_args()
    embedder = load_embedder()
    real = sentence_vectors(given.data, embedder)
    mixed_from, left_out = real[: -2 * QUERIES], real[-2 * QUERIES :]
    queries = np.concatenate([left_out[:QUERIES], mixtures(left_out, QUERIES, seed=2)])
    vectors = mixtures(mixed_from, given.vectors, seed=1)
    lines, rows, order = by_size(vectors, queries)
    entries = [f"ent_{i // ROWS_PER_ENTRY:032x}" for i in range(len(vectors))]
    whole = VectorTable.over(rows, [Row(entries[i], Kind.FACT) for i in order.tolist()])
    del vectors, rows
    found = measured(whole, list(dict.fromkeys(entries)), queries, embedder)
    head = ["vectors", "base", "recall, real", "recall, mixed", "p50", "p99", "build, s", "bytes per vector", "off"]
    body = BODY.format(
        how=HOW.format(sentences=len(mixed_from), model=embedder.name),
        queries=QUERIES,
        probed=PROBED,
        again=FOUND + AGAIN,
        fewest=inverted.FEWEST,
        searches=table(head, [line.line() for line in lines]),
        entries=len(set(entries)),
        floor=found.floor,
        index=table(["", ""], index_rows(found)),
    )
    write_section("scale", "Scale of the index", "make bench-scale", body)
    print(body)


if __name__ == "__main__":
    main()
