"""Draws what a calibration knows: how texts score, what leaks cost to catch, and what each threshold would mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

from guard.verdict import Kind, Side
from index.threshold import Threshold
from server.calibration_report import Calibrated
from server.score_curves import Curves

_BENIGN: Final = "#2a6f97"
_LEAKS: Final = "#c1440e"
_INK: Final = "#22262b"
_GREY: Final = "#5b6570"
_PALE: Final = "#d7dce1"
_STYLE: Final[Any] = {
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _PALE,
    "axes.labelcolor": _INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#edf0f2",
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
_PERCENT: Final = FuncFormatter(lambda share, _: f"{100 * share:g} %")


def draw(path: Path, done: Calibrated) -> None:
    """One row per kind: distributions, ROC, and threshold against recall and false positives."""
    with mpl.rc_context(_STYLE):
        rows = len(done.curves)
        figure, panels = plt.subplots(rows, 3, figsize=(15, 4.3 * rows + 0.6), squeeze=False, layout="constrained")
        for (kind, curves), row in zip(done.curves.items(), panels, strict=True):
            threshold = done.calibration.side(done.side)[kind]
            _distribution(row[0], kind, curves)
            _roc(row[1], curves, threshold)
            _sweep(row[2], curves, threshold)
        what = "answers" if done.side is Side.ANSWER else "prompts"
        figure.suptitle(
            f"Scores of {what} · {done.calibration.embedder} on {done.calibration.backend}, "
            f"windows {done.calibration.rule}",
            x=0.005,
            ha="left",
            fontsize=10,
            color=_GREY,
        )
        figure.savefig(path, dpi=120)
        plt.close(figure)


def _distribution(panel: Any, kind: Kind, curves: Curves) -> None:
    shown = curves.distribution
    edges = [*shown.score, 1.0]
    for name, shares, n, colour in (
        ("benign", shown.benign, curves.benign, _BENIGN),
        ("leaks", shown.leaks, curves.leaks, _LEAKS),
    ):
        if shares:
            panel.stairs(shares, edges, fill=True, alpha=0.35, color=colour)
            panel.stairs(shares, edges, color=colour, linewidth=1.2, label=f"{name} ({n:,})")
    least = 0.5 / max(curves.benign, curves.leaks)
    panel.set(xlim=(0, 1), xlabel="highest score of a text", ylabel="share of texts", title=f"{kind}: how texts score")
    panel.set_yscale("log")
    panel.set_ylim(least, 1)
    panel.yaxis.set_major_formatter(_PERCENT)
    _marked(panel, curves, "best")


def _roc(panel: Any, curves: Curves, threshold: Threshold) -> None:
    least = 0.5 / curves.benign
    panel.set(
        xlabel="benign texts that are taken for leaks", ylabel="leaks that are caught", title="What catching costs"
    )
    panel.set_xscale("log")
    free = max((r for share, r in zip(curves.roc.fpr, curves.roc.recall, strict=True) if share <= least), default=0.0)
    span = max(0.1, min(1.0, 1.6 * (1.0 - free)))  # what is caught for nothing needs no room
    panel.set(xlim=(least, 1), ylim=(1.0 - 1.02 * span, 1.0 + 0.02 * span))
    panel.xaxis.set_major_formatter(_PERCENT)
    panel.yaxis.set_major_formatter(_PERCENT)
    if not curves.roc.fpr:
        panel.text(0.5, 0.5, "no leaks were given (--positive)", transform=panel.transAxes, ha="center", color=_GREY)
        return
    panel.step(
        _raised(curves.roc.fpr, least),
        curves.roc.recall,
        where="post",
        color=_LEAKS,
        linewidth=2,
        label=f"area {curves.roc.auc:.4f}",
    )
    caught = curves.caught or 0.0
    panel.plot(
        [max(threshold.fpr, least)],
        [caught],
        "o",
        color=_INK,
        markersize=8,
        label=f"threshold {threshold.value:.4f}: {100 * caught:.1f} % at {100 * threshold.fpr:.2g} %",
    )
    panel.legend(loc="lower right")


def _sweep(panel: Any, curves: Curves, threshold: Threshold) -> None:
    sweep, least = curves.sweep, 0.5 / curves.benign
    panel.fill_between(
        sweep.threshold, _raised(sweep.fpr_low, least), _raised(sweep.fpr_high, least), color=_BENIGN, alpha=0.18, lw=0
    )
    panel.plot(
        sweep.threshold, _raised(sweep.fpr, least), color=_BENIGN, linewidth=2, label="benign, with 95 % interval"
    )
    if sweep.recall:
        panel.plot(sweep.threshold, _raised(sweep.recall, least), color=_LEAKS, linewidth=2, label="leaks caught")
    if threshold.target:
        panel.axhline(threshold.target, color=_BENIGN, linestyle=":", linewidth=1.2)
        panel.annotate(
            f"wanted {100 * threshold.target:g} %", (0.012, threshold.target * 1.15), color=_BENIGN, fontsize=8
        )
    panel.set(xlim=(0, 1), xlabel="threshold", ylabel="share that reaches it", title="What each threshold means")
    panel.set_yscale("log")
    panel.set_ylim(least, 1.3)
    panel.yaxis.set_major_formatter(_PERCENT)
    _marked(panel, curves, "lower left" if curves.threshold > 0.5 else "upper right")


def _marked(panel: Any, curves: Curves, place: str) -> None:
    panel.axvline(
        curves.threshold, color=_INK, linestyle="--", linewidth=1.2, label=f"threshold {curves.threshold:.4f}"
    )
    panel.legend(loc=place)


def _raised(shares: Sequence[float], least: float) -> list[float]:
    """Nothing has a place on a logarithmic axis: it is drawn at its lower end."""
    return [max(share, least) for share in shares]
