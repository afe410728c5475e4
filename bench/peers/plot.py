"""A plot of the proxies side by side: bars on a logarithmic scale."""

from __future__ import annotations

from pathlib import Path

from bench.peers.figures import FEW, MANY, WHOLE, Figures, added, own, per


def draw(figures: Figures, path: Path) -> None:
    """Processor time per token, added time to first text, and requests per second."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = (
        ("CPU s per million tokens, 64 streams", MANY, per("tokens", 1e6)),
        ("added time to first text, ms, 16 streams", FEW, added("first_p50")),
        ("whole answers per second, 16 connections", WHOLE, own("per_s")),
    )
    names = [peer for peer in figures.peers if not figures.fault(peer)]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(13, 0.4 * len(names) + 1.2), sharey=True)
    for axis, (title, scenario, value) in zip(axes, panels, strict=True):
        spreads = [figures.of(peer, scenario, value) for peer in names]
        widths = [max(spread.median, 0.1) if spread else 0.1 for spread in spreads]
        colours = ["tab:orange" if peer.startswith("lethe") else "tab:blue" for peer in names]
        bars = axis.barh([figures.title(peer).replace("*", "") for peer in names], widths, color=colours)
        labels = [f"{spread.median:,.1f}" if spread else "-" for spread in spreads]
        axis.bar_label(bars, labels, padding=3, fontsize=8)
        axis.set_xscale("log")
        axis.margins(x=0.25)
        axis.set_title(title, fontsize=10)
    axes[0].invert_yaxis()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
