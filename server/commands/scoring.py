"""What answers are scored against: the entries of a store, or those of a file in memory."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from guard.segments import DEFAULT_RULE
from guard.verdict import Kind, Side
from index.calibration import Calibration, calibration_for, rule_id
from index.embedder import Embedder, load_embedder
from index.errors import CalibrationMissing, IndexFault
from index.forget_index import ForgetIndex
from index.instruments import prepared
from index.records import EntryFilter
from index.score_histogram import ScoreFilter, ScoreSample, score_basis
from index.sealing import KEY_BYTES, Sealer
from index.snapshot import View
from index.sqlite import MEMORY, SQLiteStore
from index.store import Store
from index.threshold import Threshold
from server.commands.console import CommandFailed
from server.commands.samples import read_drafts
from server.preparing import preparing
from server.service import cache_folder, open_sealer, open_store
from server.settings import Settings

_STARTING_POINT = 0.5  # low: a threshold can rise from here as far as it must
_NEVER = -2.0  # lower than any score: a static stage without authority is there to be calibrated, and clears nothing


@dataclass(frozen=True, slots=True)
class Scoring:
    """The view that answers are judged by, the thresholds it has now, and the store to write new ones to."""

    view: View
    calibration: Calibration
    store: Store


@contextmanager
def scored_view(settings: Settings, namespace: str, entries: Path | None) -> Iterator[Scoring]:
    """The view of the store's entries, or of those in the file `entries`, whose policies do not matter."""
    with ExitStack() as stack:
        store = open_store(settings.store)
        stack.callback(store.close)
        if entries is None and not store.entries(EntryFilter(namespace, limit=1)).entries:
            raise CommandFailed("there is no entry to score the answers against: add some, or give --entries")
        embedder = load_embedder(settings.embedder, settings.torch_threads, backend=settings.embedder_backend)
        calibration = _calibration(embedder, store)
        used = replace(calibration, clear_below=dict.fromkeys(Kind, _NEVER) | dict(calibration.clear_below))
        with preparing() as progress:
            instruments = prepared(embedder, used, cache_folder(settings), progress)
        if entries is None:
            index = ForgetIndex(store, instruments, open_sealer(settings), "calibrate")
        else:
            memory = SQLiteStore(MEMORY)
            stack.callback(memory.close)
            index = ForgetIndex(memory, instruments, Sealer(secrets.token_bytes(KEY_BYTES)), "calibrate")
            _add(index, namespace, entries)
        index.start()
        stack.callback(index.close)
        yield Scoring(index.snapshot.view(namespace), calibration, store)


def recent_scores(scoring: Scoring, namespace: str, side: Side, since: float) -> ScoreSample:
    """What traffic of that namespace scored since that time (epoch seconds), with the embedder of `scoring`."""
    current = scoring.calibration
    basis = score_basis(current.embedder_hash, current.backend, current.rule)
    return scoring.store.score_sample(ScoreFilter(basis, namespace, side, since))


def _add(index: ForgetIndex, namespace: str, entries: Path) -> None:
    try:
        # How broad an entry is can be told by thresholds only, and those are what is looked for.
        index.add(namespace, [replace(draft, force=True) for draft in read_drafts(entries)])
    except IndexFault as fault:
        raise CommandFailed(f"{entries}: {fault}") from None


def _calibration(embedder: Embedder, store: Store) -> Calibration:
    """The thresholds known for this embedder, or any: the calibration is what shall be found."""
    try:
        return calibration_for(embedder, store)
    except CalibrationMissing:
        start = {kind: Threshold(_STARTING_POINT) for kind in Kind}
        return Calibration(embedder.hash, rule_id(DEFAULT_RULE), start, "none yet", embedder.name, embedder.backend)
