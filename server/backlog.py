"""What waits to be judged: calls with their windows, handed out in fair batches, and how long the next one would wait.

```
    long call   |########|########|########| ...       of every call a few windows at a time, in turn:
    streams     |##| |#| |##|                          a stream waits for a batch or two, never for a whole long text
    batch       |########|##|#|##|   then the next
```
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from guard.cascade import Cascade, Case

SHARE: Final = 8
"""Windows that one call gets before the next one has its turn."""

_NEWEST: Final = 0.2  # weight of the last batch in what a window takes


@dataclass(slots=True, eq=False)
class Call:
    """Windows that somebody waits for: `taken` of `cases` were handed out, `judged` came back."""

    cascade: Cascade
    cases: Sequence[Case]
    future: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop
    arrived: float
    taken: int = 0
    judged: int = 0


Portion = tuple[Call, Sequence[Case]]


@dataclass(slots=True)
class _Batch:
    """`windows` handed out to one thread when it `began`, `left` of them not judged yet."""

    windows: int
    left: int
    began: float


class Backlog:
    """Thread-safe. `clock` gives seconds; a batch holds at most `largest_batch` windows. A batch that could hold more
    is waited for `gather_s` longer."""

    def __init__(self, largest_batch: int, threads: int, clock: Callable[[], float], gather_s: float = 0.0) -> None:
        self._largest, self._threads, self._clock, self._gather_s = largest_batch, threads, clock, gather_s
        self._calls: deque[Call] = deque()
        self._changed = threading.Condition()
        self._running: dict[int, _Batch] = {}  # by thread
        self._window_s = 0.0  # what a window takes in a thread; 0 until one was judged
        self.closed = False

    def put(self, call: Call) -> bool:
        """One more call; False when closed."""
        with self._changed:
            if not self.closed:
                self._calls.append(call)
                self._changed.notify()
            return not self.closed

    def close(self) -> list[Call]:
        """Hand out nothing more; answers the calls that still wait."""
        with self._changed:
            self.closed = True
            calls, self._calls = list(self._calls), deque()
            self._changed.notify_all()
        return calls

    def take(self) -> list[Portion]:
        """The next batch of this thread, when there is one; empty when closed. The batch before it is over."""
        own = threading.get_ident()
        with self._changed:
            self._running.pop(own, None)  # it failed
            while not self.closed:
                if self._gather_s and self._calls:
                    self._changed.wait_for(self._enough, self._gather_s)
                if batch := self._batch():
                    count = sum(len(cases) for _, cases in batch)
                    self._running[own] = _Batch(count, count, self._clock())
                    return batch
                self._changed.wait()
        return []

    def back(self, portion: Portion) -> bool:
        """These windows of this thread's batch were judged; True when they were the last ones of their call."""
        call, cases = portion
        with self._changed:
            batch = self._running[threading.get_ident()]
            batch.left -= len(cases)
            if not batch.left:
                del self._running[threading.get_ident()]
                self._measured((self._clock() - batch.began) / batch.windows)
            call.judged += len(cases)
            return call.judged == len(call.cases)

    @property
    def wait_s(self) -> float:
        """How long a window that came now would wait: what goes before it, at the rate of late, and not less than
        a batch has taken already, or somebody has waited for a first turn."""
        with self._changed:
            now = self._clock()
            ahead = sum(min(SHARE, len(call.cases) - call.taken) for call in self._calls)
            ahead += sum(batch.left for batch in self._running.values())
            since = [batch.began for batch in self._running.values()]
            since += [call.arrived for call in self._calls if not call.taken]
            return max(ahead * self._window_s / self._threads, now - min(since, default=now))

    def _enough(self) -> bool:
        return self.closed or sum(len(call.cases) - call.taken for call in self._calls) >= self._largest

    def _batch(self) -> list[Portion]:
        batch: list[Portion] = []
        room = self._largest
        while self._calls and room:
            call = self._calls.popleft()
            if call.future.done():  # its request may be gone
                continue
            until = min(call.taken + min(SHARE, room), len(call.cases))
            batch.append((call, call.cases[call.taken : until]))
            room -= until - call.taken
            call.taken = until
            if until < len(call.cases):
                self._calls.append(call)
        return batch

    def _measured(self, each: float) -> None:
        self._window_s = each if not self._window_s else self._window_s + _NEWEST * (each - self._window_s)
