"""Whether a threshold keeps the rate that it promises: chosen on one half of real scores, counted on the other."""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.progress import Progress

from bench.dataset import Answer, Tofu, add_data_option, benign
from bench.report import DOCS, table, write_section
from bench.trial import build_views
from guard.verdict import Kind
from index.calibration import Calibration, shipped
from index.embedder import load_embedder
from index.entry import Draft
from index.score_histogram import Histogram
from index.threshold import Threshold, calibrate
from server.calibrating import Target, answer_peaks
from server.calibration_report import Sources, calibrated
from server.commands.score_plot import draw

SPLITS = 100
RATES = (0.002, 0.01, 0.05)
SURE = 0.95
PLOTTED_RATE = 0.001
LEAKS = ("paraphrases", "leaks")
NAMESPACE = "facts"

Chosen = Callable[[np.ndarray, float, int], Threshold]
Half = Callable[[int], np.ndarray]


def expected(scores: np.ndarray, fpr: float, coming: int) -> Threshold:
    """The threshold whose expected rate is at most `fpr`."""
    return calibrate(scores, fpr, coming)


def bounded(scores: np.ndarray, fpr: float, coming: int) -> Threshold:
    """The threshold whose rate is at most `fpr` with confidence."""
    return calibrate(scores, fpr, coming, SURE)


def binned(scores: np.ndarray, fpr: float, coming: int) -> Threshold:
    """The expected one, from the counts that a server keeps of passing traffic."""
    histogram = Histogram.of(scores.tolist())
    return calibrate(histogram.scores, fpr, coming, counts=histogram.counts)


def of_answers(n: int) -> Half:
    """Halves of `n` answers."""
    return lambda seed: np.isin(np.arange(n), np.random.default_rng(seed).permutation(n)[: n // 2])


def of_groups(groups: np.ndarray) -> Half:
    """Halves of the groups that answers belong to: no group is in both."""
    names = np.unique(groups)
    return lambda seed: np.isin(groups, np.random.default_rng(seed).permutation(names)[: len(names) // 2])


def check(scores: np.ndarray, half: Half, chosen: Chosen, fpr: float) -> list[str]:
    """Thresholds, held-out rates, how often those lie inside the prediction, and how often above the target."""
    values, rates, inside = [], [], 0
    for seed in range(SPLITS):
        mask = half(seed)
        held = scores[~mask]
        found = chosen(scores[mask], fpr, len(held))
        reached = int((held >= found.value).sum())
        assert found.following is not None
        values.append(found.value)
        rates.append(reached / len(held))
        inside += found.following.holds(reached)
    low, high = np.quantile(rates, [0.025, 0.975])
    return [
        f"{np.mean(values):.3f}",
        f"{100 * np.mean(rates):.3f} % [{100 * low:.3f}, {100 * high:.3f}]",
        f"{inside}/{SPLITS}",
        f"{sum(rate > fpr for rate in rates)}/{SPLITS}",
    ]


def rows(scores: dict[str, np.ndarray], authors: np.ndarray) -> Iterator[list[str]]:
    """One line per set, way to split, method and rate."""
    both = np.concatenate([scores["retain"], scores["benign"]])
    sets: Sequence[tuple[str, np.ndarray, Half, Chosen, str]] = (
        ("retain and benign", both, of_answers(len(both)), expected, "expected"),
        ("retain and benign", both, of_answers(len(both)), binned, "expected, from bins"),
        ("retain and benign", both, of_answers(len(both)), bounded, f"bound at {100 * SURE:g} %"),
        ("benign", scores["benign"], of_answers(len(scores["benign"])), expected, "expected"),
        ("retain, split by author", scores["retain"], of_groups(authors), expected, "expected"),
    )
    for name, values, half, chosen, method in sets:
        for fpr in RATES:
            yield [name, method, f"{100 * fpr:g} %", *check(values, half, chosen, fpr)]


def scored(data: Path, threads: int, sample: int) -> dict[str, list[float]]:
    """The highest score of each answer against TOFU forget10, as `lethe calibrate` scores it."""
    tofu = Tofu(data)
    sets = {
        "retain": tofu.retain(),
        "benign": benign(data),
        "paraphrases": tofu.paraphrases(),
        "leaks": tofu.leaks(),
    }
    drafts = [Draft(kind=Kind.FACT, text=e.text, prompt=e.prompt) for e in tofu.entries()]
    view = build_views({NAMESPACE: drafts}, load_embedder(threads=threads))[NAMESPACE]
    found: dict[str, list[float]] = {}
    with Progress() as progress:
        for name, answers in sets.items():
            pairs = [(a.prompt, a.text) for a in some(answers, sample)]
            peaks = answer_peaks(view, pairs, time.perf_counter)
            told = progress.track(peaks, total=len(pairs), description=name)
            found[name] = [round(peak[Kind.FACT], 5) for peak in told]
    return found


def some(answers: Sequence[Answer], sample: int) -> Sequence[Answer]:
    """All of them, or so many drawn at random."""
    return random.Random(0).sample(list(answers), min(sample, len(answers))) if sample else answers


def plot(scores: dict[str, np.ndarray], current: Calibration, path: Path) -> None:
    """What `lethe calibrate --plot` draws for these scores."""
    negatives = [{Kind.FACT: float(s)} for name in ("retain", "benign") for s in scores[name]]
    leaks = [{Kind.FACT: float(s)} for name in LEAKS for s in scores[name]]
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(path, calibrated(current, Sources("TOFU and benign answers", negatives, leaks=leaks), Target(PLOTTED_RATE)))


def main() -> None:
    """Check, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--threads", type=int, default=2, help="cores for the embedder (%(default)s)")
    parser.add_argument(
        "--sample", type=int, default=0, help="answers of each set, for a quick look that writes nothing"
    )
    parser.add_argument("--scores", type=Path, help="file of the scores: read when it exists, else written")
    arguments = parser.parse_args()
    if arguments.scores and arguments.scores.is_file():
        found = json.loads(arguments.scores.read_text())
    else:
        found = scored(arguments.data, arguments.threads, arguments.sample)
        if arguments.scores:
            arguments.scores.write_text(json.dumps(found))
    scores = {name: np.array(values) for name, values in found.items()}
    authors = np.array([answer.group for answer in some(Tofu(arguments.data).retain(), arguments.sample)])
    if len(authors) != len(scores["retain"]):
        raise SystemExit(f"{arguments.scores} was made with another --sample: remove it, or give the same")
    head = ["answers", "method", "target", "threshold", "held-out rate", "inside the prediction", "above the target"]
    measured = table(head, list(rows(scores, authors)))
    print(measured)
    if arguments.sample:
        return
    current = shipped(load_embedder().hash)
    assert current is not None
    plot(scores, current, DOCS / "benchmarks" / "calibration.png")
    body = BODY.format(measured=measured, splits=SPLITS, retain=len(authors), benign=len(scores["benign"]))
    write_section("calibration", "Thresholds that keep their rate", "make bench-calibration", body)


BODY = """Highest scores of {retain:,} TOFU retain answers and {benign:,} assistant answers against TOFU forget10. In
each of {splits} seeded splits the threshold is computed on one half and counted on the other. *Inside the prediction*:
the number of held-out answers that reach the threshold lies inside the 95 % beta-binomial prediction interval that was
computed with it (Wilks 1942). The theorem assumes that both halves are exchangeable, which random halves are; halves by
author are not quite, since answers about one author resemble each other: that row shows what the assumption is worth.
*Above the target*: an expected rate is exceeded about every second time, a bound seldom (a held-out half can exceed it
by chance although the true rate does not).

{measured}

![scores, what catching costs, what each threshold means](benchmarks/calibration.png)
"""


if __name__ == "__main__":
    main()
