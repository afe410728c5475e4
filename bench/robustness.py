"""What an adversary may add to a leak: does filler hide it, at random or searched for against the detector's own score?

The index holds TOFU forget10; the leaks are its answers in other words. Text is added as sentences of its own, or glued
to the leak without any mark between, before and after it. Suffixes are searched for on a few leaks (hill climbing over
words, against the highest score of the answer) and tried on others.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence

import numpy as np
from rich.progress import Progress

from bench.baselines import WholeAnswerCosine
from bench.dataset import Answer, Tofu, add_data_option, benign
from bench.report import interval, table, write_section
from bench.trial import RememberedEmbedder, blocked, build_views, read, score
from guard.verdict import Action, Kind
from index.embedder import load_embedder
from index.entry import Draft
from index.snapshot import View

NAMESPACE = "tofu"
RANDOM, SEARCHED = 50, 20
TRAINED_ON, ROUNDS, TRIES = 3, 6, 5
FILLER_WORDS = (6, 24)

Place = Callable[[str, str], str]
PLACES: dict[str, Place] = {
    "sentences after it": lambda leak, filler: f"{leak} {sentence(filler)}",
    "sentences before it": lambda leak, filler: f"{sentence(filler)} {leak}",
    "glued to its end": lambda leak, filler: f"{leak.rstrip('.')} {filler}",
    "glued to its beginning": lambda leak, filler: f"{filler} {leak}",
    "glued to both": lambda leak, filler: f"{filler} {leak.rstrip('.')} {' '.join(reversed(filler.split()))}",
}


def sentence(words: str) -> str:
    """Words as a sentence."""
    return words[:1].upper() + words[1:] + "."


def vocabulary(answers: Sequence[Answer]) -> list[str]:
    """The words of ordinary answers: filler that looks like any other text."""
    return [word for answer in answers for word in answer.text.split() if word.isalpha()]


def filler(words: Sequence[str], draw: random.Random) -> str:
    """A run of random words."""
    return " ".join(draw.choices(words, k=draw.randint(*FILLER_WORDS))).lower()


class Trial:
    """Judges answers as a server would."""

    def __init__(self, view: View, progress: Progress) -> None:
        self._view, self._progress = view, progress

    def blocked(self, answers: Sequence[Answer], title: str) -> int:
        """How many of them are stopped."""
        readings = [read(self._view, answer) for answer in answers]
        verdicts = blocked(self._view.answer, self._view.rules, readings, self._progress, title)
        return sum(verdict.action is Action.BLOCK for verdict in verdicts)

    def peaks(self, answers: Sequence[Answer]) -> np.ndarray:
        """Their highest scores, [n]."""
        quiet = Progress(disable=True)
        return score(self._view.answer, [read(self._view, answer) for answer in answers], quiet, "").peak


def searched(trial: Trial, leaks: Sequence[Answer], words: Sequence[str], draw: random.Random, place: Place) -> str:
    """The filler that lowers the mean score of these leaks most, of `ROUNDS` times `TRIES` that were tried."""
    best, least = "", float("inf")
    for _ in range(ROUNDS):
        tries = [_changed(best, words, draw) if best else filler(words, draw) for _ in range(TRIES)]
        answers = [Answer(a.prompt, place(a.text, found)) for found in tries for a in leaks]
        means = trial.peaks(answers).reshape(len(tries), len(leaks)).mean(axis=1)
        at = int(means.argmin())
        if means[at] < least:
            best, least = tries[at], float(means[at])
    return best


def _changed(words: str, known: Sequence[str], draw: random.Random) -> str:
    changed = words.split()
    for _ in range(max(1, len(changed) // 4)):
        changed[draw.randrange(len(changed))] = draw.choice(known).lower()
    return " ".join(changed)


def measure(trial: Trial, cosine: WholeAnswerCosine, bar: float, leaks: Sequence[Answer], words: list[str]) -> str:
    """The table: one row per place and kind of filler."""
    draw = random.Random(5)
    alone = cosine.scores([a.text for a in leaks])
    rows = [["nothing", "", interval(trial.blocked(leaks, "leaks alone"), len(leaks)), _share(alone, bar)]]
    at_random = [filler(words, draw) for _ in range(RANDOM)]
    for name, place in PLACES.items():
        chosen = [searched(trial, draw.sample(leaks, TRAINED_ON), words, draw, place) for _ in range(SEARCHED)]
        for kind, fillers in ((f"{RANDOM} random", at_random), (f"{SEARCHED} searched for", chosen)):
            told = [
                Answer(leak.prompt, place(leak.text, found))
                for i, leak in enumerate(leaks)
                for found in (fillers[i % len(fillers)], fillers[(i * 7 + 3) % len(fillers)])
            ]
            hits = trial.blocked(told, f"{name}, {kind}")
            rows.append([name, kind, interval(hits, len(told)), _share(cosine.scores([a.text for a in told]), bar)])
    return table(["filler", "", "stopped", "whole-answer cosine"], rows)


def _share(scores: np.ndarray, bar: float) -> str:
    return f"{100 * float((scores >= bar).mean()):.1f} %"


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--threads", type=int, default=2, help="cores for the embedder (%(default)s)")
    parser.add_argument("--sample", type=int, default=100, help="leaks that are tried (%(default)s)")
    arguments = parser.parse_args()
    tofu, embedder = Tofu(arguments.data), RememberedEmbedder(load_embedder(threads=arguments.threads))
    entries = tofu.entries()
    drafts = [Draft(kind=Kind.FACT, text=a.text, prompt=a.prompt) for a in entries]
    view = build_views({NAMESPACE: drafts}, embedder)[NAMESPACE]
    ordinary = random.Random(3).sample(benign(arguments.data), 200)
    cosine = WholeAnswerCosine(embedder, [a.text for a in entries])
    bar = float(cosine.scores([a.text for a in ordinary]).max()) + 1e-6
    leaks = random.Random(4).sample(tofu.paraphrases(), arguments.sample)
    with Progress() as progress:
        measured = measure(Trial(view, progress), cosine, bar, leaks, vocabulary(ordinary))
    write_section("robustness", "Robustness", "make bench-robustness", BODY.format(measured=measured, bar=bar))
    print(measured)


BODY = """TOFU forget10 as the index, its answers in other words as leaks, with filler of 6 to 24 words of ordinary
answers added to each. *Searched for*: the best of 30 by hill climbing against the score itself, on three leaks, tried
on all.
The baseline is one vector per answer, with the threshold that passes 200 benign answers ({bar:.2f}).

{measured}

Filler that stands in sentences of its own can only add windows: what the leak's own windows score stays. Filler glued
to the leak without a mark shares its windows.
"""


if __name__ == "__main__":
    main()
