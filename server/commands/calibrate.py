"""`lethe calibrate`: thresholds for a rate of false positives."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guard.errors import DetectorUnavailable
from guard.verdict import Side
from server.commands.console import CommandFailed, progress_bar, remark, say
from server.commands.options import add_settings, given_settings
from server.settings import Settings, SettingsInvalid, load_settings

if TYPE_CHECKING:
    from server.calibrating import Peaks, Target
    from server.calibration_report import Calibrated, Sources
    from server.commands.scoring import Scoring

_EPILOG: Final = """examples:
  lethe calibrate --benign answers.txt --fpr 0.01 --store sqlite:///lethe.db
      one ordinary answer per line (or JSON with `text`, `output` or `answer`, and `prompt`)
  lethe calibrate --benign answers.jsonl --fpr 0.001 --positive leaks.jsonl --plot scores.png
      and say how many of these leaks the thresholds catch
  lethe calibrate --recent --days 7 --side prompt --fpr 0.01
      from the scores of the prompts that passed in the last week (scores are kept, texts are not)
  lethe calibrate --benign answers.txt --fpr 0.01 --confidence 0.95 --json
      at most 1 % at a confidence of 95 %, and everything as JSON

The thresholds go into the store, for the embedder that computed them; a server uses them from its next start on.
"""
_DAY_S: Final = 86_400.0


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "calibrate",
        help="compute thresholds for a rate of false positives",
        description="Score ordinary texts against the entries and set thresholds for a rate of false positives.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--benign", type=Path, metavar="FILE", help="texts that must pass")
    parser.add_argument("--recent", action="store_true", help="use the scores of traffic that passed instead")
    parser.add_argument("--days", type=float, default=7.0, metavar="N", help="of the last N days (default 7)")
    parser.add_argument("--fpr", type=float, default=0.01, metavar="RATE", help="share of texts (default 0.01)")
    parser.add_argument("--confidence", type=float, metavar="SHARE", help="make the rate a bound that holds with it")
    parser.add_argument("--next", type=int, default=1000, metavar="N", help="predict for N texts (default 1000)")
    parser.add_argument("--side", choices=[side.value for side in Side], default="answer", help="default answer")
    parser.add_argument("--positive", type=Path, metavar="FILE", help="texts that must not pass")
    parser.add_argument("--entries", type=Path, metavar="FILE", help="score against these instead of the store's")
    parser.add_argument("--namespace", default="default", metavar="NAME", help="whose entries (default: default)")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="draw the scores and what thresholds mean")
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")
    parser.add_argument("--dry-run", action="store_true", help="print the thresholds and keep the old ones")
    add_settings(parser, ["store", "embedder", "embedder_backend", "cache", "key_file", "torch_threads"])
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    """Calibrate and keep the result."""
    _check(options)
    from server.calibrating import Target  # noqa: PLC0415  # faiss takes a while to load
    from server.calibration_report import calibrated, calibrated_out  # noqa: PLC0415  # as above
    from server.commands.scoring import scored_view  # noqa: PLC0415  # as above

    settings: Settings = load_settings(given_settings(options), variables)
    target = Target(options.fpr, Side(options.side), options.confidence, options.next)
    with scored_view(settings, options.namespace, options.entries) as scoring:
        try:
            done = calibrated(scoring.calibration, _sources(options, scoring, target), target)
        except ValueError as error:
            raise CommandFailed(str(error)) from None
        except DetectorUnavailable:
            raise CommandFailed("the embedder could not judge a text: nothing was changed") from None
        found = done.calibration
        if not options.dry_run:
            scoring.store.put_calibration(found.embedder_hash, found.backend, found.rule, found.to_json())
    if options.json:
        say(calibrated_out(done).model_dump_json(indent=2))
    else:
        _report(done)
    for note in done.notes:
        remark(f"note: {note}")
    if options.plot:
        _plot(options.plot, done)
    if not options.dry_run:
        remark(f"written to {settings.store}; a server uses them from its next start on")
    return 0


def _check(options: argparse.Namespace) -> None:
    if (options.benign is None) == (not options.recent):
        raise SettingsInvalid("give either --benign FILE or --recent")
    from index.threshold import LOWEST_FPR  # noqa: PLC0415  # as above

    if options.recent and options.entries is not None:
        raise SettingsInvalid("--recent goes with the entries of the store: leave out --entries")
    for flag in ("fpr", "confidence"):
        value = getattr(options, flag)
        if value is not None and not 0.0 < value < 1.0:
            raise CommandFailed(f"--{flag} is a share, above 0 and below 1")
    if options.fpr < LOWEST_FPR:
        raise CommandFailed(f"--fpr is at least {LOWEST_FPR:g}: no sample shows a lower rate")
    if options.next < 1 or not 0.0 < options.days <= 30.0:
        raise CommandFailed("--next is at least 1, and --days lie above 0 and up to 30")


def _sources(options: argparse.Namespace, scoring: Scoring, target: Target) -> Sources:
    from server.calibrating import sample_notes, scored_sample  # noqa: PLC0415  # as above
    from server.calibration_report import Sources  # noqa: PLC0415  # as above
    from server.clearing import convicted_scores  # noqa: PLC0415  # as above
    from server.commands.samples import read_samples  # noqa: PLC0415  # as above
    from server.commands.scoring import recent_scores  # noqa: PLC0415  # as above

    positive = read_samples(options.positive) if options.positive else []
    leaks = _peaks(scoring, positive, target.side, "leaks")
    convicted = partial(convicted_scores, scoring.view, positive, clock=time.perf_counter)
    if not options.recent:
        benign = _peaks(scoring, read_samples(options.benign), target.side, "ordinary texts")
        return Sources(f"{len(benign)} texts of a file", benign, leaks=leaks, convicted=convicted)
    sample = recent_scores(scoring, options.namespace, target.side, time.time() - options.days * _DAY_S)
    if not sample.histograms:
        raise CommandFailed(f"no scores of passing traffic are known for the last {options.days:g} days: give --benign")
    what = f"traffic of the last {options.days:g} days"
    notes = sample_notes(sample)
    return Sources(what, counted=scored_sample(sample), leaks=leaks, notes=notes, convicted=convicted)


def _peaks(scoring: Scoring, samples: Sequence[tuple[str, str]], side: Side, what: str) -> list[Peaks]:
    from server.calibrating import answer_peaks, prompt_peaks  # noqa: PLC0415  # as above

    if side is Side.ANSWER:
        found = answer_peaks(scoring.view, samples, time.perf_counter)
    else:
        found = prompt_peaks(scoring.view, [text for _, text in samples], time.perf_counter)
    with progress_bar() as progress:
        return list(progress.track(found, total=len(samples), description=what))


def _report(done: Calibrated) -> None:
    for kind in done.kinds:
        t = done.calibration.side(done.side)[kind]
        say(
            f"{kind.value:<8} {t.value:.4f}  reached by {t.fpr:.4f} of {t.n}"
            f"  (95 % interval {t.low:.4f} to {t.high:.4f}; expected rate {t.expected:.2g})"
        )
        if t.following is not None:
            say(f"{'':<8} of the next {t.following.n} between {t.following.low} and {t.following.high} reach it (95 %)")
    counts: Sequence[tuple[float | None, str]] = ((done.reached, "ordinary texts"), (done.caught, "leaks"))
    for share, what in counts:
        if share is not None:
            say(f"{share:.4f} of the {what} reach a threshold")


def _plot(path: Path, done: Calibrated) -> None:
    try:
        from server.commands.score_plot import draw  # noqa: PLC0415  # matplotlib is optional
    except ImportError:
        remark("no plot: matplotlib is not installed (it comes with `pip install lethe-guard[dev]`)")
        return
    draw(path, done)
    remark(f"plot written to {path}")
