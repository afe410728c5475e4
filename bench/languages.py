"""Which languages the bundled embedder reads: English sentences are forgotten, their translations are said.

The data is the STS benchmark with its machine translations; the same line is the same pair in every language.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Final

from rich.progress import Progress

from bench.dataset import Answer, add_data_option
from bench.report import interval, table, write_section
from bench.trial import RememberedEmbedder, build_views, stops
from guard.verdict import Kind
from guard.words import words_of
from index.embedder import load_embedder
from index.entry import Draft

SENTENCES: Final = 200
FEWEST_WORDS: Final = 8
SAME: Final = 4.8
"""Score of a pair (0 to 5) from which on its two sentences are taken to say the same."""

LANGUAGES: Final = {"de": "German", "fr": "French", "es": "Spanish"}


def rows(data: Path, language: str) -> list[list[str]]:
    """The pairs of the test part in one language."""
    with (data / "stsb" / f"stsb-{language}-test.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--threads", type=int, default=1, help="cores for the embedder (%(default)s)")
    options = parser.parse_args()
    english = rows(options.data, "en")
    chosen: dict[str, int] = {}
    for at, (first, _, score) in enumerate(english):
        if float(score) >= SAME and len(words_of(first)) >= FEWEST_WORDS and len(chosen) < SENTENCES:
            chosen.setdefault(first, at)
    lines = list(chosen.values())
    said = {"English, in other words": [english[at][1] for at in lines]}
    for code, name in LANGUAGES.items():
        translated = rows(options.data, code)
        said[f"{name}, translated"] = [translated[at][0] for at in lines]
    other = [first for at, (first, _, score) in enumerate(english) if float(score) <= 1.0 and first not in chosen]
    said["English, about something else"] = other[:SENTENCES]
    drafts = {
        kind.value: [Draft(kind=kind, text=english[at][0], force=True) for at in lines]
        for kind in (Kind.FACT, Kind.PASSAGE)
    }
    views = build_views(drafts, RememberedEmbedder(load_embedder(threads=options.threads)))
    measured = []
    with Progress() as progress:
        for name, texts in progress.track(said.items(), description="languages"):
            found = [sum(stops(view, Answer("", text)) for text in texts) for view in views.values()]
            measured.append([name, *(interval(hits, len(texts)) for hits in found)])
    shown = table(["what is said", "as facts", "as passages"], measured)
    write_section("languages", "Other languages", "make bench-languages", BODY.format(n=len(lines), table=shown))
    print(shown)


BODY = """{n} English sentences are forgotten, as facts without a question and as passages; the bundled embedder reads
English. A translation that is not stopped is what it misses: with a multilingual sentence-transformers model as
`--embedder`, calibrated with `lethe calibrate`, the same machinery compares across languages (not measured here).

{table}
"""


if __name__ == "__main__":
    main()
