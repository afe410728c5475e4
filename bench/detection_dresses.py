"""Book passages in every dress, hidden in benign answers; and benign answers in the same dresses."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from bench.baselines import NgramFilter, WholeAnswerCosine
from bench.dataset import Answer, benign
from bench.detection import BOOKS, Bench
from bench.dresses import DRESSES
from bench.report import interval, table, write_section
from bench.trial import blocked, is_blocked, without
from guard.verdict import Action, Verdict

CARRIER = 700
"""Characters of the benign answers that passages are hidden in."""
CARRIERS = 24
PER_DRESS = 50
BENIGN_PER_DRESS = 12
BENIGN_LENGTH = 300
BASELINE_PER_DRESS = 4
NEGATIVES = 200
FEWER = 8  # of a quick look: each dress in so many


def hidden(bench: Bench, texts: Sequence[str], seed: int = 0) -> list[Answer]:
    """Each text at a random place between two words of a benign answer."""
    draw = random.Random(seed)
    carriers = [a.text for a in benign(bench.data) if len(a.text) <= CARRIER and a.text.count(" ") > 20][:CARRIERS]
    found = []
    for text in texts:
        carrier = draw.choice(carriers)
        at = draw.choice([i for i, c in enumerate(carrier) if c == " "])
        gap = "\n\n" if "\n" in text else " "
        found.append(Answer("", carrier[:at] + gap + text + gap + carrier[at + 1 :]))
    return found


def dressed(bench: Bench, count: int, seed: int = 1) -> list[Answer]:
    """Stretches of the passages, each in a random dress, hidden."""
    draw = random.Random(seed)
    texts = [draw.choice(list(DRESSES.values()))(draw.choice(bench.passages).stretch) for _ in range(count)]
    return hidden(bench, texts, seed)


def measure(bench: Bench) -> str:
    """The section about dresses."""
    draw = random.Random(2)
    per_dress = min(n for n in (PER_DRESS, bench.sample) if n)
    stretches = [p.stretch for p in draw.sample(bench.passages, min(per_dress, len(bench.passages)))]
    texts = [a.text[:BENIGN_LENGTH] for a in bench.some(bench.benign, BENIGN_PER_DRESS)]
    baselines = _Baselines(bench)
    rows = []
    totals = np.zeros((4, 2), dtype=int)
    for name in list(DRESSES)[:: FEWER if bench.sample else 1]:
        dress = DRESSES[name]
        told = hidden(bench, [dress(text) for text in stretches])
        verdicts = _verdicts(bench, told, name)
        taken = _verdicts(bench, [Answer("", dress(text)) for text in texts], f"benign, {name}")
        found = (is_blocked(verdicts), is_blocked(taken), *baselines.refuse(told[:BASELINE_PER_DRESS]))
        for i, hits in enumerate(found):
            totals[i] += int(hits.sum()), len(hits)
        rows.append([name, _views(verdicts), *(_share(hits) for hits in found)])
    total = ["**all**", "", *(interval(int(hits), int(n)) for hits, n in totals)]
    head = ["dress", "mostly seen as", "found", "benign stopped"]
    head += [f"whole-answer cosine > {baselines.bar:.2f}", "10-grams word for word"]
    measured = table(head, [total, *rows])
    lacking = [row[0] for row in rows if float(row[2].split("%")[0]) < 98]
    summary = f"Found below 98 %: {', '.join(lacking) or 'none'}."
    body = BODY.format(
        measured=measured,
        summary=summary,
        per_dress=per_dress,
        baseline=BASELINE_PER_DRESS,
        benign=len(texts),
        passages=len(bench.passages),
        carriers=CARRIERS,
        length=BENIGN_LENGTH,
    )
    if not bench.sample:
        write_section("detection-dresses", "Detection: passages in every dress", "make bench-detection", body)
    return f"{measured}\n\n{summary}"


class _Baselines:
    """What other guards say of the same texts."""

    def __init__(self, bench: Bench) -> None:
        forbidden = [p.text for p in bench.passages]
        self._ngrams, self._cosine = NgramFilter(forbidden), WholeAnswerCosine(bench.embedder, forbidden)
        negatives = self._cosine.scores([a.text for a in bench.some(bench.benign, NEGATIVES)])
        self.bar = float(negatives.max()) + 1e-6

    def refuse(self, answers: Sequence[Answer]) -> tuple[np.ndarray, np.ndarray]:
        """Which of these each of them refuses."""
        texts = [answer.text for answer in answers]
        return self._cosine.scores(texts) > self.bar, np.array([self._ngrams.refuses(text) for text in texts])


def _verdicts(bench: Bench, answers: Sequence[Answer], title: str) -> list[Verdict]:
    """What the cascade says; a text that fingerprints stop is not judged further, as in a stream."""
    view = bench.views[BOOKS]
    readings = bench.read(BOOKS, answers, title)
    prints = without(view.answer, "static", "embedding", "claims")
    verdicts = blocked(prints, view.rules, readings, bench.progress, f"{title}: fingerprints")
    left = [i for i, verdict in enumerate(verdicts) if verdict.action is not Action.BLOCK]
    for i, verdict in zip(
        left, blocked(view.answer, view.rules, [readings[i] for i in left], bench.progress, title), strict=True
    ):
        verdicts[i] = verdict
    return verdicts


def _views(verdicts: Sequence[Verdict]) -> str:
    names = [f"{v.matches[0].view} ({v.matches[0].detector})" for v in verdicts if v.matches]
    return max(set(names), key=names.count) if names else ""


def _share(hits: np.ndarray) -> str:
    return f"{100 * hits.mean():.1f} % ({int(hits.sum())}/{len(hits)})"


BODY = """{passages} passages of 40 to 90 words from three novels are forgotten (`passage` entries). A stretch of 12 to
30 words from the inside of one is dressed and put at a random place of a benign answer ({carriers} carriers);
{per_dress} stretches per dress, the first {baseline} of them also for the two other methods. *Benign stopped*: the
first {length} characters of {benign} benign answers in the same dress. The dresses are in `bench/dresses.py`, written
apart from the decoders. The whole-answer cosine has the lowest threshold at which it stops none of 200 benign answers.

{measured}

{summary}
"""
