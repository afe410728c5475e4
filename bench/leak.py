"""What leaves of a sentence before it is condemned, and what not leaking costs ordinary answers.

The real stream machine reads each answer in tokens of four characters and is judged by the cascade that a server would
use. The leak is counted in characters of the condemned span that had left by then.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from rich.progress import Progress

from bench.crowd import crowd
from bench.dataset import Answer, Tofu, add_data_option, benign
from bench.held import FIRST, held
from bench.report import DOCS, table, write_section
from bench.trial import RememberedEmbedder, build_views
from guard.detector import Window
from guard.events import Check, Done, NeedText, Release, Stop
from guard.names import names_of, plain
from guard.numerals import numerals
from guard.plan import StreamPlan
from guard.policy import Streaming
from guard.scan import verdict_of
from guard.stream import StreamMachine
from guard.verdict import Kind, Side, Verdict
from guard.words import words_of
from index.embedder import load_embedder
from index.entry import Draft
from index.snapshot import View

mpl.use("Agg")
PIECE: Final = 4
MANY: Final = 10_000
ABOVE: Final = (0.5, 0.6, 0.7, 0.8, 0.9)
FEW: Final = 100
"""Texts of a set where all of them would take too long, and for the trade-off."""

BENIGN: Final = 200
STRICT, UNKNOWN, ASKED = "strict, question unknown", "adaptive, question unknown", "adaptive, as served"


@dataclass(frozen=True, slots=True)
class Leak:
    """What left of one condemned span: characters, and whether a name or number of the claim was among them."""

    characters: int
    named: bool


class Judge:
    """The cascade of a view, asked once about each window."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._known: dict[tuple[str, str, str, bool], Verdict] = {}

    def verdicts(self, windows: Sequence[Window]) -> list[Verdict]:
        """One per window, with the spans that it has here."""
        new = [w for w in windows if _key(w) not in self._known]
        if new:
            findings, _ = self.view.answer.judge(new, time.perf_counter)
            for window, finding in zip(new, findings, strict=True):
                self._known[_key(window)] = _moved(verdict_of(finding, self.view.rules), -window.start)
        return [_moved(self._known[_key(window)], window.start) for window in windows]

    def near(self, prompt: str) -> bool:
        """Whether a server would judge the answer to this prompt as strictly as it can."""
        findings, _ = self.view.prompt.judge([Window(prompt, 0, len(prompt))], time.perf_counter)
        share = self.view.adaptive.strict_near
        levels = [stage.convict_at for stage in self.view.prompt.stages]
        return any(
            finding.matches or finding.suspects or finding.peaks.get(kind, -1.0) >= share * level
            for finding in findings
            for found in levels
            for kind, level in found.items()
        )


def _key(window: Window) -> tuple[str, str, str, bool]:
    return window.text, window.context, window.view, window.unfinished


def _moved(verdict: Verdict, by: int) -> Verdict:
    return replace(verdict, matches=tuple(replace(m, start=m.start + by, end=m.end + by) for m in verdict.matches))


def leak_of(judge: Judge, answer: Answer, streaming: Streaming) -> Leak | None:
    """What leaves of an answer that is stopped; None for one that is not."""
    view = judge.view
    plan = StreamPlan(streaming, view.rule, context=answer.prompt, adaptive=view.adaptive)
    machine = StreamMachine(plan, view.watcher(), lambda found: view.rules.decide(found, Side.ANSWER), view.glance())
    pieces = (answer.text[at : at + PIECE] for at in range(0, len(answer.text), PIECE))
    released = 0
    while True:
        match machine.next_event():
            case NeedText():
                piece = next(pieces, None)
                if piece is None:
                    machine.end()
                else:
                    machine.feed(piece)
            case Check(windows):
                machine.resolve(judge.verdicts(windows))
            case Release(end=end):
                released = end
            case Stop(verdict, leaked):
                return Leak(leaked, _tells(answer.text, verdict, released))
            case Done():
                return None


def _tells(text: str, verdict: Verdict, released: int) -> bool:
    """Whether a name, number or date of a condemned span is among what left of it."""
    for match in verdict.matches:
        claim, left = text[match.start : match.end], text[match.start : max(match.start, released)]
        words, seen = words_of(claim), words_of(left)
        numbers, shown = numerals(claim, words)[0], numerals(left, seen)[0]
        if names_of(claim, words) & {plain(word.norm) for word in seen} or numbers & shown:
            return True
    return False


# -- the sections -----------------------------------------------------------------------------------------------------


def measured(judge: Judge, answers: Sequence[Answer], way: str, progress: Progress) -> list[Leak]:
    """The leaks of those answers that are stopped."""
    leaks = []
    task = progress.add_task(f"{len(judge.view.rules.by_entry)} entries, {way}", total=len(answers))
    for answer in answers:
        asked = answer if way == ASKED else Answer("", answer.text, answer.group)
        strict = way == STRICT or (way == ASKED and judge.near(answer.prompt))
        found = leak_of(judge, asked, Streaming.STRICT if strict else Streaming.ADAPTIVE)
        leaks += [] if found is None else [found]
        progress.advance(task)
    return leaks


def cells(leaks: Sequence[Leak]) -> list[str]:
    """Stopped, median, 95th percentile, largest, and the share that tells no name or number."""
    if not leaks:
        return ["0", "", "", "", ""]
    left = np.array([leak.characters for leak in leaks])
    silent = np.mean([not leak.named for leak in leaks])
    return [str(len(leaks)), *(f"{np.percentile(left, q):.0f}" for q in (50, 95, 100)), f"{100 * silent:.1f} %"]


def views_of(data: Path, threads: int) -> tuple[View, View]:
    """The forgotten facts alone, and among many other entries."""
    own = [Draft(Kind.FACT, answer.text, answer.prompt) for answer in Tofu(data).entries()]
    known = {draft.text for draft in own}
    others = [draft for draft in crowd(data, MANY) if draft.text not in known and words_of(draft.text)]
    embedder = RememberedEmbedder(load_embedder(threads=threads))
    views = build_views({"few": own, "many": [*own, *others[: MANY - len(own)]]}, embedder)
    return views["few"], views["many"]


def above(view: View, level: float) -> View:
    """The same view, holding from that score on."""
    return replace(view, adaptive=replace(view.adaptive, hold_above=level))


def plot(curves: dict[str, list[tuple[float, float, float]]], leaks: dict[str, list[Leak]], path: Path) -> None:
    """The distribution of leaks, and the trade-off: 95th percentile of leaks and benign words held, by `hold_above`."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for name, found in leaks.items():
        sizes = np.sort([leak.characters for leak in found])
        left.step(sizes, 100 * np.arange(1, len(sizes) + 1) / len(sizes), where="post", label=name)
    left.axvline(24, color="black", linestyle="--", linewidth=1)
    left.set(xlabel="characters leaked", ylabel="% of stopped answers", xlim=(-2, 150), ylim=(0, 101))
    left.legend(frameon=False, loc="lower right")
    for name, points in curves.items():
        right.plot([x for x, _, _ in points], [y for _, y, _ in points], marker="o", label=name)
        for x, y, level in points:
            right.annotate(f"{level:g}", (x, y), textcoords="offset points", xytext=(4, 4), fontsize=8)
    right.set(
        xlabel="% of benign words held (by hold_above)", ylabel="95th percentile of leaked characters", ylim=(0, None)
    )
    right.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def curve(
    view: View, answers: Sequence[Answer], texts: Sequence[str], progress: Progress
) -> list[tuple[float, float, float]]:
    """Per level: % of benign words held, 95th percentile of leaked characters, the level."""
    judge, points = Judge(view), []
    for level in ABOVE:
        judge.view = above(view, level)
        benign_words = held(judge.view, texts)
        leaks = measured(judge, answers, UNKNOWN, progress)
        largest = float(np.percentile([leak.characters for leak in leaks], 95))
        points.append((100 * benign_words.near / benign_words.words, largest, level))
    return points


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--threads", type=int, default=2, help="cores for the embedder (%(default)s)")
    parser.add_argument("--sample", type=int, default=0, help="texts of each set, for a quick look that writes nothing")
    arguments = parser.parse_args()
    tofu, draw = Tofu(arguments.data), random.Random(0)
    sets = {"answers": tofu.entries(), "paraphrases": tofu.paraphrases(), "Llama-2 leaks": tofu.leaks()}
    texts = [a.text for a in draw.sample(benign(arguments.data), arguments.sample or BENIGN)]
    few, many = views_of(arguments.data, arguments.threads)
    rows, kept = [], dict[str, list[Leak]]()
    with Progress() as progress:
        for view, size in ((few, 400), (many, MANY)):
            judge = Judge(view)
            for name, answers in sets.items():
                some = draw.sample(answers, arguments.sample or FEW)
                for way in (UNKNOWN, ASKED, STRICT):
                    own = answers if view is few and way == UNKNOWN and not arguments.sample else some
                    leaks = measured(judge, own, way, progress)
                    rows.append([f"{size:,}", name, way, str(len(own)), *cells(leaks)])
                    if way == UNKNOWN and view is few:
                        kept[name] = leaks
        some = draw.sample(sets["paraphrases"], arguments.sample or FEW)
        curves = {f"{n:,} entries": curve(v, some, texts[:FEW], progress) for v, n in ((few, 400), (many, MANY))}
    held_rows = [[f"{size:,}", *held(view, texts).row] for view, size in ((few, 400), (many, MANY))]
    head = ["entries", "set", "mode", "n", "stopped", "median", "95th percentile", "largest", "no name or number left"]
    shown = table(head, rows)
    costs = table(
        ["entries", "words near", f"answers near in their first {FIRST} words", "looks per 1,000 words"], held_rows
    )
    print(f"{shown}\n\n{costs}\n\n{curves}")
    if not arguments.sample:
        plot(curves, kept, DOCS / "benchmarks" / "leak.png")
        body = BODY.format(leaks=shown, costs=costs, answers=BENIGN, level=few.adaptive.hold_above)
        write_section("leak", "What leaks before it is condemned", "make bench-leak", body)


BODY = """TOFU forget10 is forgotten, alone (400 facts) and among 10,000 entries; its answers, paraphrases of them and
the Llama-2 leaks are streamed in tokens of four characters through the real stream machine and the real cascade, with
`hold_above` {level}. *Leaked* are characters of a condemned span that had left before it was condemned. *Question
unknown* is the hard case: the guard is shown the answer without its question, and half a sentence is all it can go by.
*As served*, the question is judged too: one that comes near something forgotten makes the whole answer strict. The last
column counts the stopped answers of which no name, number or date of the condemned span left. The aims are a median of
0, a 95th percentile of at most 24 characters, and 95 %.

{leaks}

What that costs {answers} benign answers. A word that is near is held until the next closer look, which asks the
transformer:

{costs}

![what leaks](benchmarks/leak.png)
"""


if __name__ == "__main__":
    main()
