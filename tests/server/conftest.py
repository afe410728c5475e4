"""What the tests of the operator side share: the real embedder, loaded once, and a Lethe on a fresh store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from index.embedder import Embedder, load_embedder
from tests.server.operators import Operators, operators


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return load_embedder()


@pytest.fixture
async def lethe(tmp_path: Path, embedder: Embedder) -> AsyncIterator[Operators]:
    """The whole application with the real index, in this process."""
    async with operators(tmp_path, embedder) as opened:
        yield opened
