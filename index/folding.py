"""Folding: a large index is made into a base beside the follower, and the follower moves onto it.

```
    follower   state needs folding --> due()             newer() --> a state on the base, then what was written since
                                         |                  ^
    thread     (low priority)            fold, pack --> publish --> store the snapshot (not more often than `REST_S`)
```

Searches and writes go on meanwhile. Only the process that leads folds; the others move onto what it publishes.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Final

from index.advance import State
from index.base import POSSIBLE, Base, Bases, pack
from index.base_file import BaseFile
from index.errors import IndexFault

REST_S: Final = 60.0
"""Seconds between two stored snapshots, and between bases that are made only because content was destroyed."""

_NICENESS: Final = 10
_log = logging.getLogger(__name__)


class Folding:
    """One thread at a time. `file` is where the newest base is kept for the next start."""

    def __init__(self, bases: Bases, file: BaseFile) -> None:
        self._bases, self._file = bases, file
        self._thread: threading.Thread | None = None
        self._refused = -1
        self._stored_at = float("-inf")

    def begin(self) -> None:
        """Publish the stored snapshot, if this process leads and there is one."""
        if POSSIBLE and self._bases.leads and self._bases.newest() is None and (base := self._file.read()) is not None:
            self._stored_at = time.monotonic()
            self._bases.publish(base)

    def newer(self, state: State) -> Base | None:
        """A base that is newer than what this state lies on."""
        base = self._bases.newest()
        return base if base is not None and base.revision > max(state.base, self._refused) else None

    def refuse(self, base: Base) -> None:
        """Do not offer this base, or an older one, again."""
        self._refused = base.revision

    def due(self, state: State) -> None:
        """Start folding this state if that is worth it; at once or not at all."""
        if (
            not POSSIBLE
            or not self._bases.leads
            or not state.large
            or (self._thread is not None and self._thread.is_alive())
        ):
            return
        rested = time.monotonic() - self._stored_at >= REST_S
        if state.snapshot.revision > state.base and (state.needs_folding or (rested and self._file.missing)):
            self._thread = threading.Thread(target=self._run, args=(state,), name="lethe-folding", daemon=True)
            self._thread.start()

    def close(self, state: State) -> None:
        """Wait for the thread; then store a snapshot of this state when there is none for the next start."""
        if self._thread is not None:
            self._thread.join()
        if POSSIBLE and self._bases.leads and state.large:
            try:
                if self._file.missing:
                    self._stored_at = float("-inf")
                    self.fold(state)
            except IndexFault as fault:
                _log.warning("no snapshot was stored: %s", fault)

    def _run(self, state: State) -> None:
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
            self.fold(state)
        except IndexFault as fault:
            _log.warning("no base was made: %s", fault)
        except Exception:  # noqa: BLE001  # the border of a background task: the index serves on without a new base
            _log.exception("no base could be made")

    def fold(self, state: State) -> None:
        """Make a base of this state and publish it, and store it unless another was stored just before."""
        begun = time.monotonic()
        base = pack(state.snapshot.revision, state.folded())
        _log.info("a base of revision %d, %d MB, in %.1f s", base.revision, base.size >> 20, time.monotonic() - begun)
        kept = base.copied()
        try:
            self._bases.publish(base)
            if time.monotonic() - self._stored_at >= REST_S:
                self._file.write(kept)
                self._stored_at = time.monotonic()
        finally:
            kept.close()
