"""What the tests of the index share: the real embedder, loaded once, and stores that are made anew for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guard.fingerprint import Shingler
from index.calibration import calibration_for
from index.embedder import Embedder, load_embedder
from index.forget_index import ForgetIndex
from index.instruments import Instruments
from index.sealing import Sealer
from index.sqlite import SQLiteStore
from index.static import StaticModel, distilled
from index.store import Store

KEK = bytes(range(32))
STORES = ("sqlite-file", "sqlite-memory")


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return load_embedder()


@pytest.fixture(scope="session")
def static_cache() -> Path:
    """Where a real server keeps it too: half a minute is saved from the second run on."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lethe"


@pytest.fixture(scope="session")
def static_model(embedder: Embedder, static_cache: Path) -> StaticModel:
    return distilled(embedder, static_cache)


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(KEK)


@pytest.fixture
def shingler() -> Shingler:
    return Shingler(b"k" * 32)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lethe.db"


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, path: Path, clock: Clock) -> Iterator[Store]:
    """The contract tests run on every database."""
    opened = SQLiteStore(":memory:" if request.param == "sqlite-memory" else path, clock)
    yield opened
    opened.close()


@pytest.fixture
def opened(path: Path, embedder: Embedder) -> Iterator[Callable[..., ForgetIndex]]:
    """Opens a started forget index on one file, as often as a test likes: `opened(name="a", key=KEK)`."""
    indexes: list[ForgetIndex] = []

    def open_one(name: str = "here", key: bytes = KEK, started: bool = True) -> ForgetIndex:
        store = SQLiteStore(path)
        index = ForgetIndex(store, Instruments(embedder, calibration_for(embedder, store)), Sealer(key), name)
        indexes.append(index)
        if started:
            index.start()
        return index

    yield open_one
    for index in indexes:
        index.close()
        index.store.close()


@pytest.fixture
def index(opened: Callable[..., ForgetIndex]) -> ForgetIndex:
    return opened()
