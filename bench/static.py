"""The static stage: what it clears, what it lets through of what the transformer convicts, and what it costs.

Paraphrases, leaks and answers of TOFU, with and without their question, and stretches of novels, plain and dressed, are
judged by the transformer stage alone; of the windows that it convicts, the static stage must let nearly all through.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.progress import Progress

from bench.crowd import crowd
from bench.dataset import Answer, Tofu, add_data_option, benign, passages, read
from bench.dresses import DRESSES
from bench.report import interval, table, write_section
from bench.trial import RememberedEmbedder, build_views
from bench.trial import read as windows_in
from guard.cascade import Stage
from guard.detector import Evidence, Window
from guard.reading import is_lettered
from guard.verdict import Kind
from index.embedder import load_embedder
from index.entry import Draft
from index.snapshot import View

MANY: Final = 10_000
BOOK_PASSAGES: Final = 150
SAMPLE: Final = 150
DRESSED: Final = 60
TIMED: Final = 640
CHUNK: Final = 256
ROUNDS: Final = 3

Sets = Mapping[str, Sequence[Answer]]


def main() -> None:
    """Measure, print, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--threads", type=int, default=2, help="cores for the embedder (%(default)s)")
    parser.add_argument("--entries", type=int, default=MANY, help="entries of the large list (%(default)s)")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="answers of each set (%(default)s)")
    arguments = parser.parse_args()
    embedder = RememberedEmbedder(load_embedder(threads=arguments.threads))
    sets = _sets(arguments.data, arguments.sample)
    few = [Draft(Kind.FACT, e.text, e.prompt) for e in Tofu(arguments.data).entries()]
    few += [Draft(Kind.PASSAGE, p.text) for p in passages(arguments.data, BOOK_PASSAGES)]
    lists = {len(few): few, arguments.entries: crowd(arguments.data, arguments.entries)}
    views = {count: build_views({"static": drafts}, embedder)["static"] for count, drafts in lists.items()}
    with Progress() as progress:
        shares = _shares(views, sets, progress)
    costs = _costs(views, sets["benign"])
    print(shares, costs, sep="\n\n")
    if arguments.sample >= SAMPLE and arguments.entries >= MANY:
        body = BODY.format(few=len(few), many=arguments.entries, sample=arguments.sample, shares=shares, costs=costs)
        write_section("static", "The static stage", "make bench-static", body)


def _sets(data: Path, sample: int) -> Sets:
    draw = random.Random(0)
    tofu = Tofu(data)
    rows = read(data, "tofu/retain_perturbed.json")
    held_out = [Answer(row["question"], row["paraphrased_answer"], i // 20) for i, row in enumerate(rows)]
    stretches = [p.stretch for p in passages(data, BOOK_PASSAGES)]
    dresses = list(DRESSES.values())
    sets: dict[str, Sequence[Answer]] = {
        "paraphrases": tofu.paraphrases(),
        "paraphrases, other authors": held_out,
        "leaks": tofu.leaks(),
        "answers word for word": tofu.entries(),
    }
    sets = {name: draw.sample(list(found), min(sample, len(found))) for name, found in sets.items()}
    sets |= {f"{name}, question unknown": [Answer("", a.text) for a in found] for name, found in sets.items()}
    sets["stretches of novels"] = [Answer("", text) for text in stretches[:sample]]
    sets["stretches, dressed"] = [Answer("", draw.choice(dresses)(draw.choice(stretches))) for _ in range(DRESSED)]
    sets["benign"] = draw.sample(benign(data), sample)
    return sets


def _shares(views: Mapping[int, View], sets: Sets, progress: Progress) -> str:
    rows = []
    for name, answers in sets.items():
        for count, view in views.items():
            windows = _windows(view, answers)
            static, deciding = _stage(view, "static"), _stage(view, "embedding")
            told = _asked(deciding, windows, progress, f"{name}, {count} entries")
            quick = _asked(static, windows, progress, f"{name}, {count} entries, static")
            cleared = [static.clears(evidence) for evidence in quick]
            convicted = [any(deciding.convicts(e) for e in evidence) for evidence in told]
            kept = sum(hit and not gone for hit, gone in zip(convicted, cleared, strict=True))
            share = 100 * sum(cleared) / max(1, len(cleared))
            rows.append([name, f"{count:,}", str(len(windows)), f"{share:.1f} %", interval(kept, sum(convicted))])
    return table(["windows of", "entries", "n", "cleared", "let through of those that the transformer convicts"], rows)


def _windows(view: View, answers: Sequence[Answer]) -> list[Window]:
    """The distinct windows of words."""
    found: dict[tuple[str, str, str], Window] = {}
    for answer in answers:
        for window in windows_in(view, answer).windows:
            if not is_lettered(window.view):
                found.setdefault((window.text, window.context, window.view), window)
    return sorted(found.values(), key=lambda window: len(window.text))


def _asked(stage: Stage, windows: Sequence[Window], progress: Progress, title: str) -> list[Sequence[Evidence]]:
    task = progress.add_task(title, total=len(windows))
    told: list[Sequence[Evidence]] = []
    for at in range(0, len(windows), CHUNK):
        told += stage.detector.find(windows[at : at + CHUNK])
        progress.update(task, completed=len(told))
    return told


def _costs(views: Mapping[int, View], answers: Sequence[Answer]) -> str:
    rows = []
    for count, view in views.items():
        static = _stage(view, "static").detector
        windows = [w for a in answers for w in windows_in(view, a).windows if not is_lettered(w.view)][:TIMED]
        cells = [f"{count:,}"]
        for size in (1, 16):
            times = []
            for _ in range(ROUNDS):
                started = time.process_time()
                for at in range(0, len(windows), size):
                    static.find(windows[at : at + size])
                times.append(time.process_time() - started)
            cells.append(f"{1e6 * min(times) / len(windows):.0f}")
        rows.append(cells)
    return table(["entries", "us of CPU per window, one at a time", "sixteen at a time"], rows)


def _stage(view: View, name: str) -> Stage:
    return next(stage for stage in view.answer.stages if stage.detector.name == name)


BODY = """{sample} answers of each set; {few} entries are 400 facts of TOFU and passages of three novels, {many:,} are
`bench/crowd.py`. The constants of `index/clearance.py` were chosen with these results in view, those on *other authors*
too; in the short list they are not forgotten. Benign are ordinary assistant answers.

{shares}

What it costs, embedding and search together, in the order of an answer:

{costs}
"""


if __name__ == "__main__":
    main()
