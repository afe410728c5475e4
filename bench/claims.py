"""Whether a true answer to a forgotten question is told from a false one, and short answers from harmless ones.

The data: TOFU forget10 with the false answers of its authors ("perturbed"), what two Llama-2-7B really said, and
invented facts with short answers that were written for this benchmark (`claim_samples`). The claims review is asked
about every window of an answer with the entry whose question it answers; an answer counts with its highest score.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from bench.dataset import LEAK_ROUGE, Answer, Tofu, add_data_option, read
from bench.fact_stage import FactStage
from bench.report import interval, table, write_section
from bench.trial import RememberedEmbedder
from guard.detector import Evidence, Suspect
from guard.verdict import Kind
from guard.windows import windows_of
from index.claims import BRIEF, SAME_CLAIM, SURE_CLAIM, WEIGHTS
from index.embedder import Embedder, load_embedder
from index.entry import Content

SPLITS = 50
RESAMPLES = 1000
SAMPLES = Path(__file__).parent / "claim_samples" / "short_answers.jsonl"
RARE = {"leaks": 4.0, "paraphrases": 5.0, "never trained": 4.0}
"""How often an answer counts in a fit: there are 2,000 false ones."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One set of answers: the claims score of each against the entry of its question, and what it was made of."""

    scores: np.ndarray
    groups: np.ndarray
    measures: list[np.ndarray]
    cosines: np.ndarray


def auroc(positives: np.ndarray, negatives: np.ndarray) -> float:
    """The area under the ROC curve: how often a positive scores above a negative."""
    ranks = rankdata(np.concatenate([positives, negatives]))
    n = len(positives)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * len(negatives)))


def by_authors(positives: Judged, negatives: Judged, field: str = "scores", seed: int = 0) -> str:
    """An AUROC with its 95 % bootstrap interval over the authors."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        chosen = draw.integers(0, 20, 20)
        parts = [
            np.concatenate([getattr(judged, field)[judged.groups == author] for author in chosen])
            for judged in (positives, negatives)
        ]
        found.append(auroc(*parts))
    low, high = np.quantile(found, [0.025, 0.975])
    return f"{auroc(getattr(positives, field), getattr(negatives, field)):.4f} [{low:.4f}, {high:.4f}]"


def judge(facts: FactStage, answers: Sequence[tuple[Answer, int]], title: str, progress: Progress) -> Judged:
    """Every answer against the entry with that number."""
    scores, measures, cosines = [], [], []
    task = progress.add_task(title, total=len(answers))
    for answer, number in answers:
        entry = str(number)
        windows = windows_of(answer.text, context=answer.prompt)
        suspects = [Suspect(w, (Evidence(entry, Kind.FACT, 1.0, w.start, w.end),)) for w in windows]
        found = facts.reviewer.review(suspects)
        scores.append(max(e.score for evidence in found for e in evidence))
        measures.append(np.array([facts.reviewer.measures(w, entry) for w in windows]))
        cosines.append(facts.whole_cosine(answer.text, entry))
        progress.advance(task)
    groups = np.array([number // 20 for _, number in answers])
    return Judged(np.array(scores), groups, measures, np.array(cosines))


def accidents(folder: Path) -> np.ndarray:
    """The ROUGE-L recall of each answer of the model that was never trained: what is high is true by accident."""
    rows = read(folder, "tofu_generations/generations_llama2.jsonl")
    own = [row for row in rows if row["trained_on"] == "retain90" and row["eval_set"] == "forget"]
    return np.array([row["rougeL_recall"] for row in own])


def _chosen(judged: Judged, mask: np.ndarray) -> Judged:
    measures = [m for m, kept in zip(judged.measures, mask, strict=True) if kept]
    return Judged(judged.scores[mask], judged.groups[mask], measures, judged.cosines[mask])


def tofu_sets(tofu: Tofu) -> dict[str, list[tuple[Answer, int]]]:
    """The answers with the number of the entry whose question they answer."""
    by_question = {row["question"]: i for i, row in enumerate(tofu.forget)}
    false = [(row["question"], row["paraphrased_question"], row["perturbed_answer"]) for row in tofu.forget]
    return {
        "paraphrases": [(a, i) for i, a in enumerate(tofu.paraphrases())],
        "paraphrases, question in other words": [
            (a, i) for i, a in enumerate(tofu.paraphrases("paraphrased_question"))
        ],
        "paraphrases, question unknown": [(Answer("", a.text), i) for i, a in enumerate(tofu.paraphrases())],
        "leaks": [(a, by_question[a.prompt]) for a in tofu.leaks()],
        "never trained": [(a, by_question[a.prompt]) for a in tofu.never_trained()],
        "false": [(Answer(q, text), i) for i, (q, _, texts) in enumerate(false) for text in texts],
    }


def fitted(judged: dict[str, Judged], authors: set[int]) -> tuple[np.ndarray, float]:
    """Weights from these authors: the window that speaks most for its answer, fitted again until it stays the same."""
    weights, bias = np.array(WEIGHTS), 0.0
    for _ in range(4):
        rows, labels, counts = [], [], []
        for name, label in (("paraphrases", 1), ("leaks", 1), ("false", 0), ("never trained", 0)):
            for group, windows in zip(judged[name].groups, judged[name].measures, strict=True):
                if group in authors:
                    rows.append(windows[(windows @ weights).argmax()])
                    labels.append(label)
                    counts.append(RARE.get(name, 1.0))
        model = LogisticRegression(C=3.0, max_iter=500).fit(np.array(rows), labels, sample_weight=counts)
        weights, bias = model.coef_[0], float(model.intercept_[0])
    return weights, bias


def split_sample(judged: dict[str, Judged], seed: int = 0) -> list[list[str]]:
    """Weights and the operating point from one half of the authors, figures from the other half, many times."""
    draw = random.Random(seed)
    rows: dict[str, list[float]] = {}
    for _ in range(SPLITS):
        authors = set(draw.sample(range(20), 10))
        weights, _ = fitted(judged, authors)
        best = {name: np.array([(m @ weights).max() for m in each.measures]) for name, each in judged.items()}
        seen = {name: np.isin(each.groups, list(authors)) for name, each in judged.items()}
        held = {name: best[name][~seen[name]] for name in best}
        level = np.quantile(best["paraphrases"][seen["paraphrases"]], 0.005)
        rows.setdefault("AUROC, leaks and never trained", []).append(auroc(held["leaks"], held["never trained"]))
        rows.setdefault("AUROC, paraphrases and false", []).append(auroc(held["paraphrases"], held["false"]))
        for name, values in held.items():
            rows.setdefault(f"convicted: {name}", []).append(float((values >= level).mean()))
    out = []
    for name, values in rows.items():
        low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
        out.append([name, f"{np.mean(values):.4f}", f"{low:.4f} … {middle:.4f} … {high:.4f}"])
    return out


def cascade_rows(facts: FactStage, sets: dict[str, list[tuple[Answer, int]]], progress: Progress) -> list[list[str]]:
    """What is convicted of any entry: by the embedding alone, and after the review."""
    rows = []
    for name, answers in sets.items():
        subject = claims = 0
        task = progress.add_task(f"{name}, all entries", total=len(answers))
        for answer, _ in answers:
            before, after = facts.convicted(answer)
            subject, claims = subject + bool(before), claims + bool(after)
            progress.advance(task)
        rows.append([name, interval(subject, len(answers)), interval(claims, len(answers))])
    return rows


def short_sets(rows: Sequence[dict[str, Any]], seed: int = 0) -> dict[str, list[tuple[Answer, int]]]:
    """Short answers with the number of the fact that they are about."""
    draw = random.Random(seed)

    def asked(turn: str, kind: str) -> list[tuple[Answer, int]]:
        return [(Answer(row[turn], text), i) for i, row in enumerate(rows) for text in row[kind]]

    crossed = "the same words, to the question of another fact"
    found: dict[str, list[tuple[Answer, int]]] = {
        "true": asked("question", "true"),
        "true, question in other words": asked("other_words", "true"),
        "false": asked("question", "false"),
        "the same words, to a harmless question": asked("other", "true"),
        crossed: [],
    }
    for i, row in enumerate(rows):
        others = [j for j in range(len(rows)) if j != i and not set(rows[j]["true"]) & set(row["true"])]
        for j in draw.sample(others, 10):
            found[crossed].append((Answer(rows[j]["question"], row["true"][0]), i))
    return found


def cost(facts: FactStage, plainly: Embedder, answers: Sequence[Answer]) -> str:
    """What one suspect costs: with vectors that are there, and with those that have to be computed."""
    facts.review_seconds(answers)
    ready, n = facts.review_seconds(answers)
    fresh, _ = FactStage.of(plainly, facts.contents[:1]).review_seconds(answers)
    return (
        f"A suspect costs {1e6 * ready / n:,.0f} µs of comparing, and {1e3 * fresh / n:.1f} ms together with the\n"
        f"vectors that are computed for it (statement, exchange and turn; {n} suspects in one batch)."
    )


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--threads", type=int, default=2, help="cores for the embedder (%(default)s)")
    arguments = parser.parse_args()
    plainly = load_embedder(threads=arguments.threads)
    embedder = RememberedEmbedder(plainly)
    tofu = Tofu(arguments.data)
    sets = tofu_sets(tofu)
    facts = FactStage.of(embedder, [Content(a.text, a.prompt) for a in tofu.entries()])
    samples = [json.loads(line) for line in SAMPLES.read_text("utf-8").splitlines()]
    short_facts = FactStage.of(embedder, [Content(r["statement"], r["question"]) for r in samples])
    with Progress() as progress:
        for name, answers in sets.items():
            facts.warm([answer for answer, _ in answers])
            progress.console.print(f"read: {name}")
        judged = {name: judge(facts, answers, name, progress) for name, answers in sets.items()}
        whole = cascade_rows(facts, sets, progress)
        short = cascade_rows(short_facts, short_sets(samples), progress)
        plainer = FactStage.of(embedder, short_facts.contents, rule_of_claims=False)
        plain = cascade_rows(plainer, {"true": short_sets(samples)["true"]}, progress)
    pairs = {"leaks and never trained": ("leaks", "never trained"), "paraphrases and false": ("paraphrases", "false")}
    judged["false by that measure"] = _chosen(judged["never trained"], accidents(arguments.data) < LEAK_ROUGE)
    pairs["leaks and never trained below that ROUGE-L"] = ("leaks", "false by that measure")
    curves = [
        [name, by_authors(judged[a], judged[b], "cosines"), by_authors(judged[a], judged[b])]
        for name, (a, b) in pairs.items()
    ]
    points = [
        [name, *(f"{100 * float((each.scores >= level).mean()):.2f} %" for level in (SAME_CLAIM, 0.9, SURE_CLAIM))]
        for name, each in judged.items()
        if name in sets
    ]
    halves = split_sample({name: judged[name] for name in sets})
    body = BODY.format(
        curves=table(["AUROC", "whole-text cosine", "claims"], curves),
        points=table(["own entry only", f"at {SAME_CLAIM}", "at 0.9", f"at {SURE_CLAIM}"], points),
        whole=table(["answers", "convicted by the embedding", "after the claims review"], whole),
        halves=table(["held-out half", "mean", "2.5 % … median … 97.5 % of splits"], halves),
        short=table(["short answers", "convicted by the embedding", "after the claims review"], short),
        plain=plain[0][1],
        cost=cost(facts, plainly, [answer for answer, _ in sets["paraphrases"][:100]]),
        splits=SPLITS,
        facts=len(samples),
        brief=BRIEF,
    )
    write_section("claims", "True and false answers", "make bench-claims", body)
    print(body)


BODY = """The index holds TOFU forget10. *False* are its perturbed answers (five for each question, in the words of the
paraphrased answer with other facts), *never trained* what a model that never saw the facts says to the same questions.
Some of those answers are true by accident, even by the measure that makes a leak (a ROUGE-L recall of 0.9); they count
as false unless a row says otherwise. Each answer is scored against the entry of its question; intervals are from a
bootstrap over the authors.

{curves}

Weights and operating point from one half of the authors, figures from the other half, {splits} random halves:

{halves}

With the shipped weights (rounded from a fit on all authors, so a little optimistic), the share of answers that reach a
claims score:

{points}

Against all entries, as in the cascade (an answer counts when it is convicted of any entry):

{whole}

**Short answers.** {facts} invented facts, each with its question, short true and false answers, and the same words in
answer to something else, all of fewer than {brief} words or little more. A bare "yes" or "no" is an answer like the
others: it counts when the turn is the question of the entry, wants a yes or a no, and the entry says the same.

{short}

Without the rule for short answers the embedding finds {plain} of the true ones. The rule's constants were found on
these facts: read the figures as what the rule can do, not as what it will do elsewhere.

{cost}
"""


if __name__ == "__main__":
    main()
