"""`lethe calibrate`: thresholds for a rate of false positives."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from server.commands.console import CommandFailed, progress_bar, remark, say
from server.commands.options import add_settings, given_settings
from server.settings import Settings, load_settings

if TYPE_CHECKING:
    from index.calibration import Calibration
    from index.snapshot import View
    from server.calibrating import Peaks

_EPILOG: Final = """examples:
  lethe calibrate --benign answers.txt --fpr 0.01 --store sqlite:///lethe.db
      one ordinary answer per line (or JSON with `text`, `output` or `answer`, and `prompt`)
  lethe calibrate --benign answers.jsonl --fpr 0.001 --positive leaks.jsonl --plot scores.png
      and say how many of these leaks the thresholds catch

The thresholds go into the store; a server uses them from its next start on.
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "calibrate",
        help="compute thresholds for a rate of false positives",
        description="Score ordinary answers against the entries and set thresholds for a rate of false positives.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--benign", type=Path, required=True, metavar="FILE", help="answers that must pass")
    parser.add_argument("--fpr", type=float, default=0.01, metavar="RATE", help="share of answers (default 0.01)")
    parser.add_argument("--positive", type=Path, metavar="FILE", help="answers that must not pass")
    parser.add_argument("--entries", type=Path, metavar="FILE", help="score against these instead of the store's")
    parser.add_argument("--namespace", default="default", metavar="NAME", help="whose entries (default: default)")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="draw the scores and the thresholds")
    parser.add_argument("--dry-run", action="store_true", help="print the thresholds and keep the old ones")
    add_settings(parser, ["store", "embedder", "key_file", "torch_threads"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    """Calibrate and keep the result."""
    from server.calibrating import recalibrated, share_reached  # noqa: PLC0415  # faiss takes a while to load
    from server.commands.samples import read_samples  # noqa: PLC0415  # as above
    from server.commands.scoring import scored_view  # noqa: PLC0415  # as above

    if not 0.0 < options.fpr < 1.0:
        raise CommandFailed("--fpr is a share of answers, above 0 and below 1")
    settings: Settings = load_settings(given_settings(options), variables)
    benign = read_samples(options.benign)
    positive = read_samples(options.positive) if options.positive else []
    with scored_view(settings, options.namespace, options.entries) as scoring:
        low = _peaks(scoring.view, benign, "ordinary answers")
        high = _peaks(scoring.view, positive, "leaks")
        try:
            found = recalibrated(scoring.calibration, low, options.fpr)
        except ValueError as error:
            raise CommandFailed(f"{error}: add entries to the store, or give --entries") from None
        if not options.dry_run:
            scoring.store.put_calibration(found.embedder_hash, found.rule, found.to_json())
    _report(found)
    say(f"{share_reached(found, low):.4f} of {len(low)} ordinary answers reach a threshold")
    if high:
        say(f"{share_reached(found, high):.4f} of {len(high)} leaks reach a threshold")
    if options.plot:
        _plot(options.plot, found, low, high)
    if not options.dry_run:
        remark(f"written to {settings.store}; a server uses them from its next start on")
    return 0


def _peaks(view: View, samples: Sequence[tuple[str, str]], what: str) -> list[Peaks]:
    from server.calibrating import answer_peaks  # noqa: PLC0415  # as above

    with progress_bar() as progress:
        return list(
            progress.track(answer_peaks(view, samples, time.perf_counter), total=len(samples), description=what)
        )


def _report(found: Calibration) -> None:
    for kind, t in found.thresholds.items():
        if t.n:
            say(
                f"{kind.value:<8} {t.value:.4f}  reached by {t.fpr:.4f} of {t.n}"
                f"  (95 % interval {t.low:.4f} to {t.high:.4f})"
            )


def _plot(path: Path, found: Calibration, low: Sequence[Peaks], high: Sequence[Peaks]) -> None:
    try:
        from server.commands.score_plot import draw  # noqa: PLC0415  # matplotlib is optional
    except ImportError:
        remark("no plot: matplotlib is not installed (it comes with `pip install lethe-guard[dev]`)")
        return
    draw(path, found, low, high)
    remark(f"plot written to {path}")
