"""How well forgotten facts are found, and how often other text is taken for them.

The index holds TOFU forget10: 400 facts about 20 invented authors, each with its question. Answers are judged as the
proxy judges them, by all windows of the answer with the turn that it answers; an answer counts once, however many of
its windows convict.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from rich.progress import Progress

from bench.dataset import Answer, Tofu, add_data_option, benign
from bench.report import DOCS, table, write_section
from guard.detector import Window
from guard.verdict import Kind
from guard.windows import windows_of
from index.calibration import calibration_for, clopper_pearson
from index.embedder import load_embedder
from index.entry import Draft
from index.forget_index import ForgetIndex
from index.sealing import Sealer
from index.snapshot import View
from index.sqlite import MEMORY, SQLiteStore

mpl.use("Agg")
CHUNK = 1024
SPLITS = 200
MARGIN = 0.02
NAMESPACE = "bench"


def build_view(entries: Sequence[Answer], threads: int) -> View:
    """The view of a namespace that forgets these facts, through the real index."""
    embedder = load_embedder(threads=threads)
    store = SQLiteStore(MEMORY)
    index = ForgetIndex(store, embedder, Sealer(bytes(range(32))), calibration_for(embedder, store), "bench")
    index.start()
    drafts = [Draft(kind=Kind.FACT, text=e.text, prompt=e.prompt) for e in entries]
    written = index.add(NAMESPACE, drafts)
    if late := index.wait_applied(written.revision, 60):
        raise SystemExit(f"the index was not applied: {late}")
    view = index.snapshot.view(NAMESPACE)
    index.close()
    return view


def judge(view: View, answers: Sequence[Answer], title: str, progress: Progress) -> np.ndarray:
    """The highest score of each answer, [n]."""
    scores = np.zeros(len(answers))
    windows: list[Window] = []
    owners: list[int] = []
    for i, answer in enumerate(answers):
        found = windows_of(answer.text, view.rule, answer.prompt)
        windows += found
        owners += [i] * len(found)
    task = progress.add_task(f"{title} ({len(answers)} answers, {len(windows)} windows)", total=len(windows))
    order = sorted(range(len(windows)), key=lambda i: len(windows[i].text))
    for at in range(0, len(order), CHUNK):
        chunk = order[at : at + CHUNK]
        findings, _ = view.answer.judge([windows[i] for i in chunk], time.perf_counter)
        for i, finding in zip(chunk, findings, strict=True):
            scores[owners[i]] = max(scores[owners[i]], finding.peaks.get(Kind.FACT, 0.0))
        progress.advance(task, len(chunk))
    return scores


def interval(hits: int, n: int) -> str:
    """A share with its 95 % Clopper-Pearson interval, in per cent."""
    low, high = clopper_pearson(hits, n)
    return f"{hits}/{n} = {100 * hits / n:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


def split_sample(scores: dict[str, np.ndarray], groups: dict[str, np.ndarray], seed: int = 0) -> list[list[str]]:
    """Thresholds from one half of the authors, figures from the other half, many times.

    The threshold is the highest score of the calibration half's negatives plus a margin.
    """
    draw = random.Random(seed)
    rows: dict[str, list[float]] = {name: [] for name in ("threshold", *scores)}
    for _ in range(SPLITS):
        forget = set(draw.sample(range(20), 10))
        retain = set(draw.sample(range(180), 90))
        halves = draw.sample(range(len(scores["benign"])), len(scores["benign"]) // 2)
        chosen = np.isin(np.arange(len(scores["benign"])), halves)
        seen = np.isin(groups["retain"], list(retain))
        t = max(scores["retain"][seen].max(), scores["benign"][chosen].max()) + MARGIN
        rows["threshold"].append(t)
        for name in scores:
            if name == "benign":
                held = scores[name][~chosen]
            elif name == "retain":
                held = scores[name][~seen]
            else:
                held = scores[name][~np.isin(groups[name], list(forget))]
            rows[name].append(float((held >= t).mean()))
    out = []
    for name, values in rows.items():
        factor, unit = (1, "") if name == "threshold" else (100, " %")
        low, middle, high = np.quantile(values, [0.025, 0.5, 0.975]) * factor
        out.append([name, f"{np.mean(values) * factor:.3f}{unit}", f"{low:.3f} … {middle:.3f} … {high:.3f}{unit}"])
    return out


def plot(scores: dict[str, np.ndarray], threshold: float, path: Path) -> None:
    """Score distributions with the threshold."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
    colours = {"paraphrases": "#b2182b", "leaks": "#ef8a62", "retain": "#4393c3", "benign": "#1b7837"}
    for name, colour in colours.items():
        share = np.full(len(scores[name]), 100 / len(scores[name]))
        axis.hist(scores[name], bins=np.linspace(0, 1, 81), weights=share, alpha=0.55, label=name, color=colour)
    axis.axvline(threshold, color="black", linestyle="--", linewidth=1, label=f"threshold {threshold:.2f}")
    axis.set(
        xlabel="highest score of an answer",
        ylabel="% of answers (log)",
        xlim=(0, 1),
        title="TOFU forget10: what is told apart",
    )
    axis.set_yscale("log")  # what matters is in the tails
    axis.legend(frameon=False, loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--threads", type=int, default=2, help="cores for the embedder (%(default)s)")
    parser.add_argument("--out", type=Path, help="also write the scores to this JSON file")
    parser.add_argument("--scores", type=Path, help="do not judge again: take the scores from such a file")
    arguments = parser.parse_args()
    tofu = Tofu(arguments.data)
    sets = {
        "paraphrases": tofu.paraphrases(),
        "paraphrases, question in other words": tofu.paraphrases("paraphrased_question"),
        "paraphrases, question unknown": [Answer("", a.text, a.group) for a in tofu.paraphrases()],
        "leaks": tofu.leaks(),
        "retain": tofu.retain(),
        "benign": benign(arguments.data),
        "never trained, same questions": tofu.never_trained(),
    }
    view = build_view(tofu.entries(), arguments.threads)
    threshold = view.answer.stages[0].convict_at[Kind.FACT]
    if arguments.scores:
        scores = {name: np.array(values) for name, values in json.loads(arguments.scores.read_text()).items()}
    else:
        with Progress() as progress:
            scores = {name: judge(view, answers, name, progress) for name, answers in sets.items()}
    rows = [
        [name, interval(int((s >= threshold).sum()), len(s)), f"{s.min():.3f}", f"{s.max():.3f}"]
        for name, s in scores.items()
    ]
    measured = table(["answers", f"convicted at {threshold:.2f}", "lowest score", "highest score"], rows)
    tested = {n: s for n, s in scores.items() if n in ("paraphrases", "leaks", "retain", "benign")}
    tested["paraphrases, question in other words"] = scores["paraphrases, question in other words"]
    groups = {name: np.array([a.group for a in sets[name]]) for name in tested}
    halves = table(["held-out half", "mean", "2.5 % … median … 97.5 % of splits"], split_sample(tested, groups))
    plot(scores, threshold, DOCS / "benchmarks" / "detection.png")
    body = BODY.format(measured=measured, halves=halves, splits=SPLITS, margin=MARGIN)
    write_section("detection", "Detection", "make bench-detection", body)
    print(measured, halves, sep="\n\n")
    if arguments.out:
        arguments.out.write_text(json.dumps({name: s.round(5).tolist() for name, s in scores.items()}))


BODY = """TOFU forget10 as the index (400 facts with their questions), the bundled embedder, the shipped thresholds.
Shares are per answer, with their 95 % Clopper-Pearson interval. *Leaks* are generations of a Llama-2-7B trained on the
forgotten facts with a ROUGE-L recall of at least 0.9; *retain* are true answers about 180 other authors; *benign* are
ordinary assistant answers. *Never trained* is a model that never saw the facts and answers the same questions:
embeddings see that it speaks of the same thing, and cannot see that what it says is not true.

{measured}

![score distributions](benchmarks/detection.png)

The rule's form and constants (windows, name penalty) were chosen while looking at this data set, so the table above is
optimistic. The threshold itself can be checked honestly: chosen on one half of the authors and of the benign answers
(highest score of a negative, plus {margin}), counted on the other half, {splits} random halves:

{halves}
"""


if __name__ == "__main__":
    main()
