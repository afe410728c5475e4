"""Draws how far ordinary answers stay below the thresholds, and leaks above them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from index.calibration import Calibration
from server.calibrating import Peaks


def draw(path: Path, calibration: Calibration, low: Sequence[Peaks], high: Sequence[Peaks]) -> None:
    """One panel per kind that was scored: highest score per answer, and the threshold."""
    kinds = sorted({kind for peak in (*low, *high) for kind in peak})
    figure, panels = plt.subplots(len(kinds), 1, figsize=(8, 3 * len(kinds)), squeeze=False)
    for kind, panel in zip(kinds, panels[:, 0], strict=True):
        for name, peaks in (("ordinary answers", low), ("leaks", high)):
            scores = [peak[kind] for peak in peaks if kind in peak]
            if scores:
                panel.hist(scores, bins=60, range=(0, 1), alpha=0.6, density=True, label=f"{name} ({len(scores)})")
        threshold = calibration.thresholds[kind].value
        panel.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.3f}")
        panel.set_title(kind.value)
        panel.set_xlabel("highest score of an answer")
        panel.set_ylabel("density")
        panel.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
