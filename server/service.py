"""The service: everything that answers requests, composed once at start and closed once at the end."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from index.base import Bases
from index.calibration import calibration_for
from index.embedder import Embedder, load_embedder
from index.entry import Content
from index.forget_index import ForgetIndex
from index.instruments import Instruments, prepared
from index.keys import KeyRing
from index.recorder import content_of
from index.score_histogram import score_basis
from index.sealing import Sealer, key_from_file, parse_key
from index.sqlite import MEMORY, SQLiteStore
from index.store import Store
from server.access import Access, refuse_open_host
from server.batching import Batcher, BatchLimits
from server.decision_journal import DecisionJournal
from server.exposure import Examination, ExposureWatch
from server.judges.choice import open_judge
from server.judges.judge import JudgeOutcome, ModelJudge
from server.ledger import Ledger
from server.limits import Gate
from server.logs import RequestLog, record
from server.loop_lag import watch_lag
from server.metering import Meter
from server.metrics import Metrics
from server.observation import Observer, Observers
from server.preparing import preparing
from server.score_journal import ScoreJournal
from server.settings import Settings
from server.upstream import Timeouts, Upstream

P = ParamSpec("P")
T = TypeVar("T")

OPERATOR_CALLS: Final = 64
"""Operator calls at work at once: few, so that they cannot crowd out applications, and apart from those."""

_INDEX_THREADS: Final = 4
_SWITCH_S: Final = 0.0005  # how long a judging thread may keep the interpreter while the event loop wants it
_WAIT_SLICE_S: Final = 1.0  # so that a server that ends is not held up by a thread that waits


@dataclass(frozen=True, slots=True)
class Service:
    """What a request may use. `observers` are told what happens; the gates count requests at work on either side."""

    settings: Settings
    index: ForgetIndex
    keys: KeyRing
    access: Access
    upstream: Upstream
    exposure: ExposureWatch
    ledger: Ledger
    batcher: Batcher
    observers: Observer
    metrics: Metrics
    application_gate: Gate
    operator_gate: Gate
    threads: ThreadPoolExecutor
    waiters: ThreadPoolExecutor
    running: set[asyncio.Task[None]] = field(default_factory=set)  # imports whose request is over

    @property
    def store(self) -> Store:
        """The record under the index."""
        return self.index.store

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work on the index or the store off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(work, *args, **kwargs))

    async def applied(self, revision: int, timeout_s: float) -> tuple[str, ...]:
        """Wait until every live replica serves `revision`; answers the names of those that do not."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            left = max(0.0, min(_WAIT_SLICE_S, deadline - loop.time()))
            late = await loop.run_in_executor(self.waiters, self.index.wait_applied, revision, left)
            if not late or loop.time() >= deadline:
                return late

    def keep(self, task: asyncio.Task[None]) -> None:
        """Keep a background task until it is done."""
        self.running.add(task)
        task.add_done_callback(self.running.discard)


def open_store(url: str) -> SQLiteStore:
    """The store of that URL. Raises `StoreUnavailable`."""
    return SQLiteStore(url.removeprefix("sqlite:///"))


def key_path(settings: Settings) -> Path:
    """Where the key-encryption key is kept: beside the database unless told otherwise."""
    if settings.key_file is not None:
        return settings.key_file
    database = settings.store.removeprefix("sqlite:///")
    return Path("lethe.key") if database == MEMORY else Path(database).with_suffix(".key")


def open_sealer(settings: Settings) -> Sealer:
    """The sealer with the key of the settings, or of the key file, which is made when missing. Raises `WrongKey`."""
    if settings.key_encryption_key is not None:
        return Sealer(parse_key(settings.key_encryption_key.get_secret_value()))
    return Sealer(key_from_file(key_path(settings)).key)


def cache_folder(settings: Settings) -> Path:
    """Where what is derived from an embedder is kept."""
    return settings.cache or Path.home() / ".cache" / "lethe"


def open_instruments(settings: Settings, store: Store, embedder: Embedder | None = None) -> Instruments:
    """What the index measures with. The first time an embedder is used, this takes a minute. Raises `StartRefused`."""
    embedder = embedder or load_embedder(settings.embedder, settings.torch_threads, backend=settings.embedder_backend)
    with preparing() as progress:
        return prepared(embedder, calibration_for(embedder, store), cache_folder(settings), progress)


def open_index(settings: Settings, store: Store, replica_name: str) -> ForgetIndex:
    """The index on that store, not started, without a judge: for commands. Raises `StartRefused`."""
    return ForgetIndex(store, open_instruments(settings, store), open_sealer(settings), replica_name)


def _open_served(
    settings: Settings, store: Store, metrics: Metrics, embedder: Embedder | None, bases: Bases | None
) -> tuple[ForgetIndex, ModelJudge | None]:
    """The index that is served, not started, and the judge that its reviews ask."""
    sealer = open_sealer(settings)

    def reveal(namespace: str, entry_id: str) -> Content:
        return content_of(store.entry(namespace, entry_id), sealer)

    def count(outcome: JudgeOutcome, questions: int) -> None:
        metrics.count("lethe_judge_calls_total", questions, outcome=outcome.value)

    judge = open_judge(settings, reveal, count)
    instruments = replace(open_instruments(settings, store, embedder), judge=judge)
    return ForgetIndex(store, instruments, sealer, settings.replica_name, bases=bases), judge


def _open_access(settings: Settings, keys: KeyRing, generated_key: str | None) -> Access:
    access = Access(keys, settings.admin_key.get_secret_value() if settings.admin_key else None, generated_key)
    for host in (settings.host, settings.metrics_host or settings.host):
        refuse_open_host(access, host)
    return access


@asynccontextmanager
async def open_service(
    settings: Settings,
    embedder: Embedder | None = None,
    generated_key: str | None = None,
    bases: Bases | None = None,
) -> AsyncIterator[Service]:
    """Compose the service; it is ready to serve when the block begins. Raises `StartRefused`, `StoreUnavailable`.

    `embedder` is one that is loaded already. `generated_key` and `bases` are what workers of one server share.
    """
    sys.setswitchinterval(_SWITCH_S)
    async with AsyncExitStack() as stack:
        store = open_store(settings.store)
        stack.callback(store.close)
        keys = KeyRing(store)
        access = _open_access(settings, keys, generated_key)
        metrics = Metrics()
        index, judge = await asyncio.to_thread(_open_served, settings, store, metrics, embedder, bases)
        if judge is not None:
            stack.callback(judge.close)
        if interrupted := store.interrupt_jobs(settings.replica_name):
            record("jobs_interrupted", fields={"count": interrupted})
        await asyncio.to_thread(index.start)
        stack.callback(index.close)
        threads, waiters = (
            stack.enter_context(ThreadPoolExecutor(count, name))
            for count, name in ((_INDEX_THREADS, "index"), (OPERATOR_CALLS, "wait"))
        )
        meter = Meter(metrics)
        journal = DecisionJournal(store, metrics, settings.decision_days)
        stack.push_async_callback(journal.close)
        used = index.calibration
        scores = ScoreJournal(store, score_basis(used.embedder_hash, used.backend, used.rule))
        stack.push_async_callback(scores.close)
        observers = Observers((meter, journal, scores, RequestLog()))
        meter.serving(index.snapshot)
        index.applied(meter.applied)
        batcher = Batcher(_batch_limits(settings), observers, time.perf_counter)
        stack.callback(batcher.close)
        upstream, exposure, ledger = parts = _upstream(settings), _exposure(settings), Ledger(store)
        for part in (upstream, exposure, ledger):
            stack.push_async_callback(part.close)
        gates = Gate(settings.max_concurrency), Gate(min(OPERATOR_CALLS, settings.max_concurrency))
        service = Service(settings, index, keys, access, *parts, batcher, observers, metrics, *gates, threads, waiters)
        stack.push_async_callback(_end_running, service)
        service.keep(asyncio.create_task(watch_lag(partial(metrics.observe, "lethe_event_loop_lag_seconds"))))
        service.keep(asyncio.create_task(exposure.run()))
        yield service


def _batch_limits(settings: Settings) -> BatchLimits:
    return BatchLimits(
        settings.judge_threads,
        settings.reviewer_threads,
        timeout_s=settings.judge_timeout_s,
        longest_wait_s=settings.judge_backlog_s,
    )


def _upstream(settings: Settings) -> Upstream:
    key = settings.upstream_api_key
    timeouts = Timeouts(
        connect=settings.upstream_connect_timeout_s,
        first_byte=settings.upstream_timeout_s,
        idle=settings.upstream_idle_timeout_s,
        total=settings.upstream_timeout_s,
    )
    return Upstream(settings.upstream, key.get_secret_value() if key else None, timeouts)


def _exposure(settings: Settings) -> ExposureWatch:
    key = settings.upstream_api_key
    examination = Examination(settings.upstream, key.get_secret_value() if key else None)
    return ExposureWatch(examination, settings.exposure_minutes * 60)


async def _end_running(service: Service) -> None:
    for task in list(service.running):
        task.cancel()
    await asyncio.gather(*service.running, return_exceptions=True)
