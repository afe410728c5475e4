"""The follower: keeps the snapshot of this process at the store's revision.

```
    loop:  woken by a local write, by the next expiry, or after POLL_S
           a newer base? -> a state that lies on it
           changes_since(revision) -> next state -> one assignment -> tell the store and the observers
```
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from index.advance import Advancer, State
from index.errors import BaseRefused, IndexFault, StoreUnavailable
from index.folding import Folding
from index.snapshot import Snapshot
from index.store import Store

POLL_S: Final = 0.2
HEARTBEAT_S: Final = 1.0
LIVE_S: Final = 3.0
"""A replica that was not seen for this long is not waited for."""

STALE_S: Final = 5.0
"""A follower that could not read the store for this long is not ready."""

Applied = Callable[[Snapshot, float], None]
_log = logging.getLogger(__name__)


class Follower:
    """One background thread; `state` is read by everyone and assigned by that thread only."""

    def __init__(  # each is a part of its own
        self,
        store: Store,
        advancer: Advancer,
        state: State,
        name: str,
        clock: Callable[[], float],
        *,
        folding: Folding,
    ) -> None:
        self._folding = folding
        self._store, self._advancer, self._name, self._clock = store, advancer, name, clock
        self.state = state
        self._observers: list[Applied] = []
        self._wake = threading.Event()
        self._moved = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._read_at = float("-inf")
        self._told: tuple[int, float] = (-1, float("-inf"))
        self._failing = False

    def start(self) -> None:
        """Load everything, then follow. Raises what loading raises; the thread is not started then."""
        self._folding.begin()
        self._step()
        self._thread = threading.Thread(target=self._run, name="lethe-follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following and say so. The snapshot stays."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            try:
                if self.state.large:
                    self._step()  # the last writes: a snapshot without them might hold what was removed
                self._folding.close(self.state)
                self._store.gone(self._name)
            except StoreUnavailable:
                _log.warning("the store could not be told that replica %s has gone", self._name)

    def wake(self) -> None:
        """There is something new in the store."""
        self._wake.set()

    def observe(self, observer: Applied) -> None:
        """Call `observer(snapshot, seconds)` after each new snapshot: seconds since the write, or since the expiry."""
        self._observers.append(observer)

    @property
    def ready(self) -> bool:
        """True while the snapshot is kept at the store's revision."""
        alive = self._thread is not None and self._thread.is_alive()
        return alive and time.monotonic() - self._read_at < STALE_S

    def wait(self, revision: int, timeout_s: float) -> bool:
        """True once this process serves that revision."""
        with self._moved:
            return self._moved.wait_for(lambda: self.state.snapshot.revision >= revision, timeout_s)

    def laggards(self, revision: int) -> tuple[str, ...]:
        """The live replicas that do not serve that revision yet."""
        here = self.state.snapshot.revision
        horizon = self._clock() - LIVE_S
        late = {r.name for r in self._store.replicas() if r.revision < revision and r.seen_at >= horizon}
        late.discard(self._name)
        if here < revision:
            late.add(self._name)
        return tuple(sorted(late))

    # -- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._wake.wait(self._pause())
            self._wake.clear()
            if self._stopping:
                return
            try:
                self._step()
                self._failing = False
            except IndexFault as fault:
                if not self._failing:  # once, not at every poll
                    _log.error("the forget index cannot follow the store: %s", fault)
                self._failing = True
            except Exception:  # noqa: BLE001  # the border of a background task: it must not end
                _log.exception("the forget index cannot follow the store")

    def _pause(self) -> float:
        expiry = self.state.next_expiry
        return POLL_S if expiry is None else min(POLL_S, max(0.0, expiry - self._clock()))

    def _step(self) -> None:
        self._move()
        revision = self.state.snapshot.revision
        changes = self._store.changes_since(revision)
        now = self._clock()
        if changes.revision > revision:
            self._publish(self._advancer.advance(self.state, changes, now), changes.written_at)
        elif changes.revision < revision:  # an older database was put in its place: what is served comes from that
            _log.warning("the store went back from revision %d to %d: loading it anew", revision, changes.revision)
            blank = State.blank(self.state.snapshot.tools)
            self._publish(self._advancer.advance(blank, self._store.changes_since(0), now), now)
        expiry = self.state.next_expiry
        if expiry is not None and expiry <= now:
            self._publish(self._advancer.expire(self.state, now), expiry)
        self._read_at = time.monotonic()
        self._tell()
        compacted = self._advancer.compact(self.state)
        if compacted is not self.state:
            self.state = compacted
        self._folding.due(self.state)

    def _move(self) -> None:
        """Onto a newer base, if there is one: what is served stays the same, or becomes newer."""
        base = self._folding.newer(self.state)
        if base is None:
            return
        before, now = self.state.snapshot.revision, self._clock()
        try:
            based = self._advancer.based(base)
            changes = self._store.changes_since(base.revision)
            if changes.revision < max(base.revision, before):
                raise BaseRefused("it is newer than the store")
        except BaseRefused as reason:
            _log.warning("a base of revision %d is not used: %s", base.revision, reason)
            self._folding.refuse(base)
            return
        state = self._advancer.expire(self._advancer.advance(based, changes, now), now)
        if state.snapshot.revision == before:
            self.state = state
        else:
            self._publish(state, changes.written_at)

    def _publish(self, state: State, since: float) -> None:
        with self._moved:
            self.state = state
            self._moved.notify_all()
        seconds = max(0.0, self._clock() - since)
        for observer in self._observers:
            observer(state.snapshot, seconds)

    def _tell(self) -> None:
        """Tell the store which revision is served: at once when it moved, else now and then."""
        revision, at = self._told
        serving, now = self.state.snapshot.revision, time.monotonic()
        if serving != revision or now - at >= HEARTBEAT_S:
            self._store.seen(self._name, serving)
            self._store.scrub()
            self._told = (serving, now)
