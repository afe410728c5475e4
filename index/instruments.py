"""What an index measures with: the embedder, its thresholds, and what is derived from the embedder once and kept."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from index.background import Background, load_background
from index.calibration import Calibration
from index.embedder import Embedder
from index.static import NotDistilled, StaticModel, distilled
from index.tools import Judges

Progress = Callable[[str, int, int], None]
"""Told what is being prepared, and how much of it is done, of how much."""

_turn = threading.Lock()
_shared: dict[tuple[str, str, Path], tuple[StaticModel | None, Background]] = {}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Instruments:
    """Without `static` nothing is cleared cheaply, without `background` concepts have no heads and entries are not
    screened, without `judge` nobody is asked."""

    embedder: Embedder
    calibration: Calibration
    static: StaticModel | None = None
    background: Background | None = None
    judge: Judges | None = None


def prepared(
    embedder: Embedder, calibration: Calibration, folder: Path, progress: Progress | None = None
) -> Instruments:
    """The instruments of that embedder, from `folder` or made now, which takes up to a minute.

    An embedder that cannot be distilled does without the static stage. Indexes in one process share what is derived
    from one embedder.
    """
    key = (embedder.hash, embedder.backend, folder)
    with _turn:
        if key not in _shared:
            _shared.clear()  # hardly ever more than one embedder, and each holds tens of megabytes
            _shared[key] = _derived(embedder, folder, progress)
        static, background = _shared[key]
    return Instruments(embedder, calibration, static, background)


def _derived(embedder: Embedder, folder: Path, progress: Progress | None) -> tuple[StaticModel | None, Background]:

    def told(what: str) -> Callable[[int, int], None] | None:
        return None if progress is None else lambda done, total: progress(what, done, total)

    static: StaticModel | None = None
    try:
        static = distilled(embedder, folder, told("distilling the static embedding"))
    except NotDistilled as reason:
        _log.info("no static stage: %s", reason)
    return static, load_background(embedder, folder, told("embedding the background sample"))
