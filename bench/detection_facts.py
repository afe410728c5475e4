"""Facts: TOFU forget10 as the index, beside two baselines, with thresholds from other authors."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from scipy.stats import rankdata

from bench.baselines import NgramFilter, WholeAnswerCosine
from bench.dataset import Answer
from bench.detection import FACTS, Bench
from bench.report import DOCS, interval, table, write_section
from bench.trial import NEAR, Scores, blocked, is_blocked, score, stops, without
from guard.cascade import Stage
from guard.verdict import Kind

mpl.use("Agg")
SPLITS = 200
MARGIN = 0.02
AGREED = 60  # texts on which the real stream must conclude what the benchmark concludes
NEGATIVES = ("retain", "benign")
TRUE_AND_FALSE = (
    ("paraphrases", "false answers, same questions"),
    ("leaks", "never trained, same questions"),
)


def measure(bench: Bench) -> str:
    """The section about facts."""
    view = bench.views[FACTS]
    sets, readings = bench.fact_sets, bench.fact_readings
    entries = [entry.text for entry in bench.tofu.entries()]
    verdicts, scores, alone = {}, {}, {}
    for name, own in readings.items():
        alone[name] = score(without(view.answer, "static", "claims"), own, bench.progress, f"{name}, no claims")
        scores[name] = score(view.answer, own, bench.progress, f"{name}, any threshold")
        verdicts[name] = is_blocked(blocked(view.answer, view.rules, own, bench.progress, name))
    check_stream(bench, verdicts)
    cosine = WholeAnswerCosine(bench.embedder, entries)
    whole = {name: cosine.scores([a.text for a in answers]) for name, answers in sets.items()}
    ngrams = NgramFilter(entries)
    refused = {name: np.array([ngrams.refuses(a.text) for a in answers]) for name, answers in sets.items()}
    threshold = _served(view.answer.stages)
    bar = max(whole[name].max() for name in NEGATIVES) + 1e-6
    rows = [
        [
            name,
            interval(int(verdicts[name].sum()), len(verdicts[name])),
            interval(int((alone[name].standing >= threshold).sum()), len(answers)),
            interval(int((whole[name] > bar).sum()), len(answers)),
            interval(int(refused[name].sum()), len(answers)),
        ]
        for name, answers in sets.items()
    ]
    measured = table(
        ["answers", "Lethe", "Lethe, without claims", f"whole-answer cosine > {bar:.2f}", "10-grams word for word"],
        rows,
    )
    standing = {name: s.standing for name, s in scores.items()}
    halves = "A sample is too small to be split."
    if not bench.sample:
        halves = _split_table(split_sample(sets, standing, threshold - NEAR), split_sample(sets, whole, 0.0))
    apart = table(
        ["true against false", "Lethe", "without claims", "whole-answer cosine"], _areas(scores, alone, whole)
    )
    body = BODY.format(measured=measured, halves=halves, apart=apart, splits=SPLITS, margin=MARGIN, agreed=AGREED)
    if not bench.sample:
        plot(alone, threshold, DOCS / "benchmarks" / "detection.png")
        write_section("detection", "Detection: facts", "make bench-detection", body)
    return "\n\n".join((measured, halves, apart))


def _served(stages: Sequence[Stage]) -> float:
    (stage,) = [s for s in stages if s.detector.name == "embedding"]
    return float(stage.convict_at[Kind.FACT])


def check_stream(bench: Bench, verdicts: Mapping[str, np.ndarray]) -> None:
    """The real stream machine must stop exactly the texts that are counted here as stopped."""
    view = bench.views[FACTS]
    every = [(name, i) for name, answers in bench.fact_sets.items() for i in range(len(answers))]
    task = bench.progress.add_task("checking against the stream", total=AGREED)
    for name, i in random.Random(0).sample(every, min(AGREED, len(every))):
        if stops(view, bench.fact_sets[name][i]) != bool(verdicts[name][i]):
            raise SystemExit(f"the benchmark and the stream disagree on text {i} of {name}: the figures would be wrong")
        bench.progress.advance(task)


def split_sample(
    sets: Mapping[str, Sequence[Answer]], scores: Mapping[str, np.ndarray], least: float
) -> dict[str, np.ndarray]:
    """Thresholds from one half of the authors and benign answers, shares of the other half convicted, many times.

    The threshold is the highest score of the calibration half's negatives plus a margin, at least `least`.
    """
    draw = random.Random(0)
    groups = {name: np.array([answer.group for answer in answers]) for name, answers in sets.items()}
    shares: dict[str, list[float]] = {name: [] for name in ("threshold", *sets)}
    for _ in range(SPLITS):
        forget, retain = set(draw.sample(range(20), 10)), set(draw.sample(range(200), 100))
        chosen = np.isin(
            np.arange(len(scores["benign"])), draw.sample(range(len(scores["benign"])), len(scores["benign"]) // 2)
        )
        seen = {name: np.isin(own, list(retain if name == "retain" else forget)) for name, own in groups.items()}
        seen["benign"] = chosen
        t = max([least, *(scores[name][seen[name]].max(initial=0.0) for name in NEGATIVES)]) + MARGIN
        shares["threshold"].append(t)
        for name, own in scores.items():
            shares[name].append(float((own[~seen[name]] >= t).mean()))
    return {name: np.array(values) for name, values in shares.items()}


def _split_table(ours: Mapping[str, np.ndarray], cosine: Mapping[str, np.ndarray]) -> str:
    rows = []
    for name in ours:
        factor, unit = (1, "") if name == "threshold" else (100, " %")
        cells = []
        for values in (ours[name], cosine[name]):
            low, high = np.quantile(values, [0.025, 0.975]) * factor
            cells.append(f"{np.mean(values) * factor:.2f}{unit} [{low:.2f}, {high:.2f}]")
        rows.append([name, *cells])
    return table(["held-out half", "Lethe", "whole-answer cosine"], rows)


def _areas(
    scores: Mapping[str, Scores], alone: Mapping[str, Scores], whole: Mapping[str, np.ndarray]
) -> list[list[str]]:
    rows = []
    for true, false in TRUE_AND_FALSE:
        pairs = (
            (scores[true].ranking, scores[false].ranking),
            (alone[true].peak, alone[false].peak),
            (whole[true], whole[false]),
        )
        rows.append([f"{true} / {false}", *(f"{auroc(*pair):.3f}" for pair in pairs)])
    return rows


def auroc(positives: np.ndarray, negatives: np.ndarray) -> float:
    """The chance that a positive scores above a negative (ties count half): Mann-Whitney's U over n·m."""
    ranks = rankdata(np.concatenate([positives, negatives]))
    n, m = len(positives), len(negatives)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def plot(scores: Mapping[str, Scores], threshold: float, path: Path) -> None:
    """Score distributions with the threshold."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
    colours = {"paraphrases": "#b2182b", "leaks": "#ef8a62", "retain": "#4393c3", "benign": "#1b7837"}
    for name, colour in colours.items():
        peaks = scores[name].peak
        share = np.full(len(peaks), 100 / len(peaks))
        axis.hist(peaks, bins=np.linspace(0, 1, 81), weights=share, alpha=0.55, label=name, color=colour)
    axis.axvline(threshold, color="black", linestyle="--", linewidth=1, label=f"threshold {threshold:.2f}")
    axis.set(
        xlabel="highest score of an answer, before claims are compared",
        ylabel="% of answers (log)",
        xlim=(0, 1),
        title="TOFU forget10: what is told apart",
    )
    axis.set_yscale("log")  # what matters is in the tails
    axis.legend(frameon=False, loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


BODY = """TOFU forget10 as the index (400 facts with their questions), the bundled embedder, the shipped thresholds, the
default policy. Shares are answers stopped, with their 95 % Clopper-Pearson interval. *Leaks* are generations of a
Llama-2-7B trained on the forgotten facts with a ROUGE-L recall of at least 0.9; *retain* are true answers about 180
other authors; *benign* are ordinary assistant answers. *False answers* and *never trained* answer the same questions
with other facts (TOFU's perturbed answers; a model that never saw the facts, a few of whose answers are true by chance
or say the obvious): stopping them is an error unless the policy's `fact_scope` is "subject". The stages were run on the
windows that streams judge; on {agreed} random texts the real stream machine was run too and agreed.

{measured}

The whole-answer cosine is given the lowest threshold at which it stops no negative of this table, which it could not
know.

![score distributions](benchmarks/detection.png)

The rule's form and constants were chosen while looking at this data set, so the table above is optimistic. Thresholds
can be checked honestly: chosen on one half of the authors and of the benign answers (highest score of a negative, plus
{margin}), counted on the other half, {splits} random halves, mean [2.5 %, 97.5 % of splits]. Both methods by the same
rule:

{halves}

How well true answers are told from false ones to the same questions, whatever the threshold (area under the ROC
curve):

{apart}
"""
