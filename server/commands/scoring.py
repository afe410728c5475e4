"""What answers are scored against: the entries of a store, or those of a file in memory."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from guard.segments import DEFAULT_RULE
from guard.verdict import Kind
from index.calibration import Calibration, Threshold, calibration_for, rule_id
from index.embedder import Embedder, load_embedder
from index.errors import CalibrationMissing, IndexFault
from index.forget_index import ForgetIndex
from index.records import EntryFilter
from index.sealing import KEY_BYTES, Sealer
from index.snapshot import View
from index.sqlite import MEMORY, SQLiteStore
from index.store import Store
from server.commands.console import CommandFailed
from server.commands.samples import read_drafts
from server.service import open_sealer, open_store
from server.settings import Settings

_STARTING_POINT = 0.5  # low: a threshold can rise from here as far as it must


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
        embedder = load_embedder(settings.embedder, settings.torch_threads)
        calibration = _calibration(embedder, store)
        if entries is None:
            index = ForgetIndex(store, embedder, open_sealer(settings), calibration, "calibrate")
        else:
            memory = SQLiteStore(MEMORY)
            stack.callback(memory.close)
            index = ForgetIndex(memory, embedder, Sealer(secrets.token_bytes(KEY_BYTES)), calibration, "calibrate")
            _add(index, namespace, entries)
        index.start()
        stack.callback(index.close)
        yield Scoring(index.snapshot.view(namespace), calibration, store)


def _add(index: ForgetIndex, namespace: str, entries: Path) -> None:
    try:
        index.add(namespace, read_drafts(entries))
    except IndexFault as fault:
        raise CommandFailed(f"{entries}: {fault}") from None


def _calibration(embedder: Embedder, store: Store) -> Calibration:
    """The thresholds known for this embedder, or any: the calibration is what shall be found."""
    try:
        return calibration_for(embedder, store)
    except CalibrationMissing:
        start = {kind: Threshold(_STARTING_POINT) for kind in Kind}
        return Calibration(embedder.hash, rule_id(DEFAULT_RULE), start, "none yet", embedder.name)
