"""How well a concept is found by its head, and what counterexamples are worth.

Two concepts that were written for the project, with texts held out on either side of their border; and single TOFU
authors as concepts, against the 199 others.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
from rich.progress import Progress

from bench.asking import Asked, Encoder, Score
from bench.dataset import Answer, Tofu, add_data_option, benign
from bench.report import DOCS, table, write_section
from guard.verdict import Kind
from index.background import load_background
from index.calibration import shipped
from index.embedder import Vectors, load_embedder
from index.head import HeadTrainer

mpl.use("Agg")
SAMPLES = Path(__file__).resolve().parent / "concept_samples"
JUDGED = (1, 6, 11, 16)
"""Which of the twenty answers about each other author are judged."""
COUNTERED = 20
TOLD = (1, 11)
"""Of that many other authors these answers are counterexamples; none of theirs is judged."""


def area(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Under the ROC curve; ties count half."""
    above = (positives[:, None] > negatives).mean() + (positives[:, None] == negatives).mean() / 2
    return float(above)


def recall_at(positives: np.ndarray, negatives: np.ndarray, fpr: float) -> float:
    """The share of positives above all but a share `fpr` of the negatives."""
    allowed = int(fpr * len(negatives))
    return float((positives > np.sort(negatives)[-1 - allowed]).mean())


def nearest(own: Vectors, counters: Vectors | None = None) -> Score:
    """The rule of before: the nearest example, unless a counterexample is at least as near."""

    def score(vectors: Vectors) -> np.ndarray:
        found = (vectors @ own.T).max(axis=1).astype(float)
        if counters is not None and len(counters):
            found[(vectors @ counters.T).max(axis=1) >= found] = -1.0
        return found

    return score


def own_concepts(encode: Encoder, trainer: HeadTrainer, ordinary: Asked, hand: float) -> tuple[list[list[str]], dict]:
    """Rows of the table, and the scores for the plot."""
    rows, plotted = [], {}
    for path in sorted(SAMPLES.glob("*.json")):
        given = json.loads(path.read_text("utf-8"))
        own = encode.rows([given["description"], *given["examples"]], path.stem)
        counters = encode.rows(given["counterexamples"], f"{path.stem}, counterexamples")
        held = [encode.asked([Answer("", t) for t in given[k]], k) for k in ("test_positives", "test_negatives")]
        for careful in (False, True):
            left = counters if careful else counters[:0]
            head = trainer.train(own, left)
            assert head is not None
            rules: list[tuple[str, Score, float]] = [
                ("nearest example", nearest(own, left), hand),
                ("head", lambda v, h=head, o=own, c=left: h.logits(v, o, c), head.threshold),
            ]
            for rule, score, threshold in rules:
                positives, negatives = (asked.best(score) for asked in held)
                harmless = ordinary.best(score)
                at = [np.quantile(positives, 1 - share, method="lower") for share in (0.8, 0.9)]
                shares = [f"{100 * (negatives >= t).mean():.0f} %" for t in at]
                rows.append(
                    [
                        path.stem,
                        rule,
                        "with" if careful else "without",
                        f"{area(positives, negatives):.3f}",
                        *shares,
                        f"{100 * (positives >= threshold).mean():.0f} %",
                        f"{100 * (negatives >= threshold).mean():.0f} %",
                        f"{int((harmless >= threshold).sum())}/{len(harmless)}",
                    ]
                )
                if rule == "head":
                    plotted[path.stem, careful] = (positives, negatives, harmless, threshold)
    return rows, plotted


def authors(encode: Encoder, trainer: HeadTrainer, tofu: Tofu, hand: float, count: int) -> list[list[str]]:
    """Each of some forgotten authors as a concept, judged by paraphrases, against the 199 others."""
    entries, paraphrases, retain = tofu.entries(), tofu.paraphrases("paraphrased_question"), tofu.retain()
    asked = encode.asked(paraphrases, "paraphrases")
    judged = [a for i, a in enumerate(retain) if a.group >= COUNTERED and i % 20 in JUDGED]
    others = encode.asked(judged, "other authors")
    told = [a for i, a in enumerate(retain) if a.group < COUNTERED and i % 20 in TOLD]
    counters = encode.rows([f"{a.prompt} {a.text}" for a in told], "counterexamples")
    groups = np.array([a.group for a in paraphrases])
    found: dict[tuple[str, str, str], list[list[float]]] = {}
    for author in range(0, 20, max(1, 20 // count)):
        mine = [e for e in entries if e.group == author]
        for shown, given, first in (("all 20", mine, 0), ("first 10", mine[:10], 10)):
            own = encode.rows([f"{e.prompt} {e.text}" for e in given], f"author {author}")
            places = np.flatnonzero(groups == author)[first:]
            for careful in (False, True):
                left = counters if careful else counters[:0]
                head = trainer.train(own, left)
                assert head is not None
                rules: list[tuple[str, Score, float, bool]] = [
                    ("nearest example", nearest(own, left), hand, False),
                    ("head", lambda v, h=head, o=own, c=left: h.logits(v, o, c), head.threshold, True),
                ]
                for rule, score, threshold, mean in rules:
                    here = asked.best(score, mean)
                    positives = here[places]
                    negatives = np.concatenate([here[groups != author], others.best(score, mean)])
                    found.setdefault((shown, rule, "with" if careful else "without"), []).append(
                        [
                            area(positives, negatives),
                            recall_at(positives, negatives, 0.001),
                            float((positives >= threshold).mean()),
                            float((negatives >= threshold).mean()),
                        ]
                    )
    rows = []
    for key, values in found.items():
        a, at, recall, fpr = np.mean(values, axis=0)
        rows.append([*key, f"{a:.4f}", f"{100 * at:.1f} %", f"{100 * recall:.1f} %", f"{100 * fpr:.2f} %"])
    return rows


def training_time(encode: Encoder, trainer: HeadTrainer) -> float:
    """Seconds of the median of five trainings of 200 examples with 100 counterexamples."""
    given = [json.loads(p.read_text("utf-8")) for p in sorted(SAMPLES.glob("*.json"))]
    own = encode([t for g in given for k in ("examples", "test_positives", "test_negatives") for t in g[k]], "timing")
    own = np.concatenate([own, own])[:200]
    counters = encode([t for g in given for t in g["counterexamples"]], "timing")
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        trainer.train(own, np.concatenate([counters, counters])[:100])
        spent.append(time.perf_counter() - began)
    return sorted(spent)[2]


def plot(plotted: dict, path: Path) -> None:
    """Score distributions of the two concepts, without and with counterexamples."""
    import matplotlib.pyplot as plt

    names = sorted({name for name, _ in plotted})
    figure, axes = plt.subplots(len(names), 2, figsize=(9, 5.6), layout="constrained", sharex=True)
    for line, name in enumerate(names):
        for column, careful in enumerate((False, True)):
            axis, (positives, negatives, harmless, threshold) = axes[line][column], plotted[name, careful]
            for label, values, colour in (
                ("held-out texts of the concept", positives, "#b2182b"),
                ("texts at its border", negatives, "#4393c3"),
                ("assistant answers", harmless, "#1b7837"),
            ):
                share = np.full(len(values), 100 / len(values))
                axis.hist(values, bins=np.linspace(-8, 6, 57), weights=share, alpha=0.55, label=label, color=colour)
            axis.axvline(threshold, color="black", linestyle="--", linewidth=1)
            axis.set(title=f"{name}, {'with' if careful else 'without'} counterexamples", ylabel="% of texts")
    for axis in axes[-1]:
        axis.set_xlabel("logit of the head (dashed: its threshold)")
    axes[0][0].legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--threads", type=int, default=2, help="cores for the embedder (%(default)s)")
    parser.add_argument("--authors", type=int, default=10, help="TOFU authors, each a concept (%(default)s)")
    parser.add_argument("--answers", type=int, default=300, help="ordinary assistant answers (%(default)s)")
    arguments = parser.parse_args()
    embedder = load_embedder(threads=arguments.threads)
    calibration = shipped(embedder.hash)
    assert calibration is not None
    hand = calibration.thresholds[Kind.CONCEPT].value
    with Progress() as progress:
        encode = Encoder(embedder, progress)
        trainer = HeadTrainer(load_background(embedder))
        tofu = Tofu(arguments.data)
        every = [answer for answer in benign(arguments.data) if answer.prompt]
        random.Random(5).shuffle(every)
        ordinary = encode.asked(every[: arguments.answers], "assistant answers")
        own, plotted = own_concepts(encode, trainer, ordinary, hand)
        single = authors(encode, trainer, tofu, hand, arguments.authors)
        seconds = training_time(encode, trainer)
    plot(plotted, DOCS / "benchmarks" / "concepts.png")
    head = ["concept", "rule", "counterexamples", "AUC", "border taken at recall 80 %", "at recall 90 %"]
    first = table([*head, "recall at its threshold", "border taken there", "assistant answers taken there"], own)
    second = table(
        ["examples", "rule", "counterexamples", "AUC", "recall at 0.1 % FPR", "recall at its threshold", "FPR there"],
        single,
    )
    body = BODY.format(first=first, second=second, seconds=seconds, hand=hand, authors=arguments.authors)
    write_section("concepts", "Concepts", "make bench-concepts", body)
    print(first, second, f"{seconds:.2f} s", sep="\n\n")


BODY = """A concept's head is a logistic regression on frozen embeddings, beside its nearest examples and
counterexamples (`index/head.py`). *Nearest example* is the rule without a head, at the threshold of the kind ({hand}).
Two concepts were written for the project, each with 30 examples, 30 counterexamples near its border, and 30 + 30
held-out texts of either sort: *locks* (how to open a lock without its key, against other talk of locks) and *marrow* (a
fictional smuggler, against other smugglers, captains and glass). The head's constants were chosen while looking at them
and at TOFU. Its threshold is the highest that an unseen exchange of the background sample scores (none of 324 reaches
it), or higher where its own held-out examples and its counterexamples allow. 200 examples with 100 counterexamples
train in {seconds:.2f} s (median of five).

Where a concept is one idea (*locks*) the head ranks better than the nearest example; where it is many details that
have little in common (*marrow*) it ranks about as well. What it buys in both is a threshold of its own. No false
positive in 324 exchanges proves a rate below 0.92 % and no less (95 %), and assistant answers are longer than those.

{first}

![scores of the two concepts](benchmarks/concepts.png)

{authors} authors of TOFU forget10, each a concept of its own: examples are their questions with the answers, positives
their paraphrases (for *first 10*, of the other ten questions), negatives the paraphrases about the 19 other forgotten
authors and four answers about each of 160 others. Counterexamples are two answers each about 20 further authors. Means.

{second}
"""


if __name__ == "__main__":
    main()
