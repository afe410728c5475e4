"""A whole index of very many entries: started from its stored snapshot, changed and searched at the same time."""

from __future__ import annotations

import gc
import multiprocessing
import random
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from guard.claims import Claims
from guard.names import Mentions
from guard.verdict import Kind
from index.base import Base, opened, pack
from index.base_file import BaseFile
from index.calibration import calibration_for
from index.embedder import Embedder, Vectors
from index.entry import Draft
from index.forget_index import ForgetIndex
from index.forms import Form
from index.holding import Holding, empty_holding
from index.instruments import Instruments
from index.sealing import Sealer
from index.sqlite import SQLiteStore
from index.vectors import VectorTable

NAMESPACE: Final = "scale"
FLOOR: Final = 0.65
"""About a calibrated threshold less the margin from which the embedding detector looks closely."""

CHANGES: Final = 60
PER_SECOND: Final = 10
_SEARCHES: Final = 1000
_KEY: Final = bytes(range(32))

_ROW: Final = """
    INSERT INTO entries (id, namespace, kind, label, policy, retention, reference, created_at, expires_at, windows,
        basis, revision, content, vectors, fingerprints, wrapped_key)
    VALUES (?, ?, 'fact', '', 'default', 'encrypted', '', 0, NULL, 3, ?, 1, x'00', x'00', x'00', x'00')
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Pairs are the median and the 99th percentile."""

    floor: float
    write_s: float
    file_mb: float
    start_s: float
    added_s: tuple[float, float]
    removed_s: tuple[float, float]
    search_ms: tuple[float, float]
    search_updating_ms: tuple[float, float]
    fold_s: float
    search_folding_ms: tuple[float, float]
    served_folding_s: tuple[float, float]
    own_mb: float
    shared_mb: float


def measured(table: VectorTable, entries: Sequence[str], queries: Vectors, embedder: Embedder) -> Figures:
    """All figures of an index whose statements are `table`."""
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteStore(Path(folder) / "lethe.db")
        calibration = calibration_for(embedder, store)
        sealer = Sealer(_KEY)

        def index() -> ForgetIndex:
            return ForgetIndex(store, Instruments(embedder, calibration), sealer, "bench")

        fresh = index()
        holding = _holding(fresh, table, entries)
        _fill(Path(folder) / "lethe.db", entries, fresh._recorder.basis)
        base = pack(1, {NAMESPACE: holding.folded()})
        del holding, table
        begun = time.perf_counter()
        if not _file(fresh).write(base):
            raise SystemExit("the snapshot could not be stored")
        write_s, file_mb = time.perf_counter() - begun, base.size / 2**20
        own_mb, shared_mb = _another_process(base, queries)
        base.close()
        served = index()
        begun = time.perf_counter()
        served.start()
        start_s = time.perf_counter() - begun
        if len(served.snapshot.view(NAMESPACE).rules.by_entry) != len(entries):
            raise SystemExit("the index did not start from its stored snapshot")
        running = _running(served, queries)
        served.close()
        store.close()
        return replace(running, write_s=write_s, file_mb=file_mb, start_s=start_s, own_mb=own_mb, shared_mb=shared_mb)


def stored(index: ForgetIndex, path: Path, table: VectorTable, entries: Sequence[str]) -> int:
    """Fill the store in the file `path`, on which `index` was made, and keep a snapshot of it; answers its bytes."""
    holding = _holding(index, table, entries)
    _fill(path, entries, index._recorder.basis)
    base = pack(1, {NAMESPACE: holding.folded()})
    try:
        if not _file(index).write(base):
            raise SystemExit("the snapshot could not be stored")
        return base.size
    finally:
        base.close()


def _file(index: ForgetIndex) -> BaseFile:
    return index._follower._folding._file


def _holding(index: ForgetIndex, table: VectorTable, entries: Sequence[str]) -> Holding:
    """Facts that mention and claim as much as those of TOFU do, of which many are the same."""
    rng = random.Random(0)

    def some(n: int) -> frozenset[int]:
        return frozenset(rng.getrandbits(64) for _ in range(n))

    mentions = [Mentions(some(5), some(24)) for _ in range(1000)]
    claims = [Claims(some(8), some(3), some(1), some(1), some(9), some(15)) for _ in range(1000)]
    empty = empty_holding(index.snapshot.tools)
    return replace(
        empty,
        tables={**empty.tables, Form.STATEMENT: table},
        by_entry=empty.by_entry.changed((), dict.fromkeys(entries, (Kind.FACT, "default", "")), {}),
        mentions=empty.mentions.changed((), {e: mentions[i % 1000] for i, e in enumerate(entries)}),
        claims=empty.claims.changed((), {e: claims[i % 1000] for i, e in enumerate(entries)}),
    )


def _fill(path: Path, entries: Sequence[str], basis: str) -> None:
    """Rows of the store without anything in them, of revision 1."""
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE clock SET revision = 1")
        connection.executemany(_ROW, ((e, NAMESPACE, basis) for e in entries))
    connection.close()


def _another_process(base: Base, queries: Vectors) -> tuple[float, float]:
    """Megabytes that a process gains for itself and shared when it opens the base and searches it."""
    here = opened(base)[NAMESPACE]  # what only one process has mapped would count as its own
    _search(here, queries)
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()
    child = context.Process(target=_open_and_search, args=(base, queries, told))
    child.start()
    own, shared = told.get()
    child.join()
    return own, shared


def _open_and_search(base: Base, queries: Vectors, told: multiprocessing.SimpleQueue[tuple[float, float]]) -> None:
    gc.disable()  # it would touch, and so copy, what the parent holds
    process = psutil.Process()
    before = process.memory_full_info()
    held = opened(base)[NAMESPACE]
    _search(held, queries)
    after = process.memory_full_info()
    told.put(((after.uss - before.uss) / 2**20, (after.rss - after.uss - before.rss + before.uss) / 2**20))


def _search(held: Holding, queries: Vectors) -> None:
    for i in range(200):
        held.tables[Form.STATEMENT].search(queries[i : i + 1], FLOOR)


class _Searching:
    """Searches in a thread of its own until told to stop, or a number of times."""

    def __init__(self, index: ForgetIndex, queries: Vectors) -> None:
        self._index, self._queries = index, queries
        self.times: list[float] = []

    def once(self) -> None:
        table = self._index._follower.state.holdings[NAMESPACE].tables[Form.STATEMENT]
        at = len(self.times) % len(self._queries)
        begun = time.perf_counter()
        table.search(self._queries[at : at + 1], FLOOR)
        self.times.append((time.perf_counter() - begun) * 1e3)

    def during(self, work: Callable[[], None]) -> tuple[float, float]:
        """The times of searches while `work` is done."""
        self.times = []
        done = threading.Event()

        def run() -> None:
            while not done.is_set():
                self.once()
                time.sleep(0.002)  # a stream asks now and then

        thread = threading.Thread(target=run)
        thread.start()
        work()
        done.set()
        thread.join()
        return _two(self.times)


def _running(index: ForgetIndex, queries: Vectors) -> Figures:
    served: list[float] = []
    index.applied(lambda snapshot, seconds: served.append(seconds))
    searching = _Searching(index, queries)
    for _ in range(_SEARCHES):
        searching.once()
    alone = _two(searching.times)
    ids: list[str] = []
    updating = searching.during(lambda: ids.extend(_add(index, CHANGES)))
    added, served[:] = _two(served), []
    removing = searching.during(lambda: _remove(index, ids))
    removed, served[:] = _two(served), []
    seconds: list[float] = []

    def fold() -> None:
        folding = threading.Thread(target=_timed, args=(index._follower._folding._run, index, seconds))
        folding.start()
        while folding.is_alive():
            _remove(index, _add(index, 5))
        folding.join()

    folding = searching.during(fold)
    both = updating[0], max(updating[1], removing[1])
    return Figures(FLOOR, 0, 0, 0, added, removed, alone, both, seconds[0], folding, _two(served), 0, 0)


def _timed(fold: Callable[..., None], index: ForgetIndex, seconds: list[float]) -> None:
    begun = time.perf_counter()
    fold(index._follower.state)
    seconds.append(time.perf_counter() - begun)


def _add(index: ForgetIndex, count: int) -> list[str]:
    ids: list[str] = []
    for i in range(count):
        fact = Draft(Kind.FACT, f"The lighthouse of Brest was lit {i + 3} times by Anna Kowalski in 19{i % 90 + 10}.")
        ids += index.add(NAMESPACE, [fact]).ids
        time.sleep(1 / PER_SECOND)
    return ids


def _remove(index: ForgetIndex, ids: Sequence[str]) -> None:
    for entry_id in ids:
        index.remove(NAMESPACE, entry_id)
        time.sleep(1 / PER_SECOND)


def _two(times: Sequence[float]) -> tuple[float, float]:
    median, high = np.percentile(times, [50, 99])
    return float(median), float(high)
