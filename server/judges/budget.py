"""How often a judge model may be asked, and what it said before."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Final

_MINUTE_S: Final = 60.0
_KEY_BYTES: Final = 16


class CallBudget:
    """At most `per_minute` calls in any minute. Thread-safe; `clock` gives seconds."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._calls: deque[float] = deque()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one call; False when there is none left."""
        with self._lock:
            now = self._clock()
            while self._calls and self._calls[0] <= now - _MINUTE_S:
                self._calls.popleft()
            if len(self._calls) >= self._per_minute:
                return False
            self._calls.append(now)
            return True


class ScoreCache:
    """Scores by what was asked: the least recently used goes first. Thread-safe.

    It keeps hashes under a key of this process, never a text: what lies in memory cannot be searched for a guess.
    """

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._scores: OrderedDict[bytes, float] = OrderedDict()
        self._secret = secrets.token_bytes(_KEY_BYTES)
        self._lock = threading.Lock()

    def key(self, parts: Iterable[str]) -> bytes:
        """The key of a question: a hash of its parts that tells ("ab", "c") from ("a", "bc")."""
        digest = hashlib.blake2b(key=self._secret, digest_size=_KEY_BYTES)
        for part in parts:
            raw = part.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "big"))
            digest.update(raw)
        return digest.digest()

    def get(self, key: bytes) -> float | None:
        """The score kept under that key."""
        with self._lock:
            score = self._scores.get(key)
            if score is not None:
                self._scores.move_to_end(key)
            return score

    def put(self, key: bytes, score: float) -> None:
        """Keep a score."""
        with self._lock:
            self._scores[key] = score
            self._scores.move_to_end(key)
            while len(self._scores) > self._entries:
                self._scores.popitem(last=False)
