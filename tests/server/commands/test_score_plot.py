"""The plot of a calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from guard.verdict import Kind
from index.calibration import Calibration
from index.threshold import Threshold
from server.calibrating import Target
from server.calibration_report import Sources, calibrated
from server.commands.score_plot import draw


@pytest.mark.parametrize("leaks", [[], [{Kind.FACT: 0.9, Kind.PASSAGE: 0.1}, {Kind.FACT: 0.2, Kind.PASSAGE: 0.95}]])
@pytest.mark.parametrize("value", [0.3, 0.8])
def test_each_kind_has_a_row_of_three_panels(tmp_path: Path, leaks, value: float) -> None:
    draw_from = np.random.default_rng(0)
    benign = [{Kind.FACT: float(s), Kind.PASSAGE: 0.0} for s in draw_from.beta(5, 9, 300)]
    current = Calibration("h", "r", {kind: Threshold(value) for kind in Kind}, "s", "tiny")
    done = calibrated(current, Sources("a test", benign, leaks=leaks), Target(0.01))
    draw(tmp_path / "plot.png", done)
    pixels = image.imread(tmp_path / "plot.png")[..., :3]
    assert pixels.shape[0] > 1000 and pixels.shape[1] == 1800
    for row in np.array_split(pixels, 2):
        shares = [(panel.std(axis=2) > 0.1).mean() for panel in np.array_split(row, 3, axis=1)]
        assert min(shares[0], shares[2]) > 0.001  # something is drawn in colour
        assert (shares[1] > 0.001) == bool(leaks)  # without leaks there is no ROC
