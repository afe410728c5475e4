"""What the lattice costs: time per 100 characters of plain prose, of ordinary answers, and of text in a dress."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from bench.dataset import add_data_option, read
from bench.dresses import DRESSES
from bench.report import table, write_section
from guard.lattice import Lattice
from guard.segments import DEFAULT_RULE, Segmenter
from guard.words import Token, TokenSplitter, Word, words_of_token

PROSE = (
    "The ferry left the island before the fog had lifted, and nobody on deck said a word until the first bell. An old "
    "woman had brought two baskets of pears, which she kept under her coat as if they were cold. When the harbour came "
    "into view the captain asked her whether she would stay this time. She answered that it depended on the price of "
    "bread, on the weather, and on whom she met at the corner of the market. He laughed, but not for long. "
)
"""Plain prose, written for this benchmark."""


def cost(texts: Sequence[str]) -> tuple[float, int]:
    """What the lattice adds to reading `texts`: microseconds of processor time per 100 characters, and its windows.

    Splitting, words and segments are needed without it too, and are done before the clock starts.
    """
    spent, windows = 0.0, 0
    for text in texts:
        calls = _calls(text)
        lattice = Lattice(DEFAULT_RULE)
        begun = time.process_time()
        for token, words, segment in calls:
            lattice.push(token, words)
            if segment is not None:
                windows += len(lattice.windows(*segment, ""))
        spent += time.process_time() - begun
    return spent * 1e8 / sum(map(len, texts)), windows


Call = tuple[Token, Sequence[Word], tuple[str, list[int]] | None]


def _calls(text: str) -> list[Call]:
    """What a stream does, in order: a token with its words, and the text and segments where one ends."""
    splitter, segmenter, starts = TokenSplitter(), Segmenter(DEFAULT_RULE), [0]
    calls: list[Call] = []
    for token in [*splitter.feed(text), *splitter.end()]:
        words = words_of_token(token)
        ends = segmenter.push(token, len(words), text[token.end : token.end + 1] or "\n")
        calls.append((token, words, (text[: token.end], list(starts)) if ends else None))
        if ends:
            starts.append(token.end)
    return calls


def rows(data: Path | None) -> list[tuple[str, float, int]]:
    """Name, microseconds per 100 characters (the best of five runs) and windows for each kind of text."""
    kinds = {"plain prose": [PROSE * 10]}
    if data is not None:
        answers = read(data, "benign/alpaca_eval_gpt4_1106_preview.jsonl")
        kinds["ordinary answers"] = [row["output"] for row in answers[:100]]
    for name in ("base64", "rot13", "spaced", "one letter per line", "html tag per letter", "json escapes"):
        kinds[name] = [DRESSES[name](PROSE * 2)]
    return [(name, *min(cost(texts) for _ in range(5))) for name, texts in kinds.items()]


BODY = """What looking for dresses adds to reading a text, in microseconds of processor time per 100 characters (the
best of five runs). Splitting into words and segments is not counted, since it is needed without it. *Windows* are those
that must be judged besides the plain ones. The aim for plain prose is 20; what looks dressed is decoded and costs more.

{table}
"""


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    data: Path = parser.parse_args().data
    found = [[n, f"{us:.1f}", str(windows)] for n, us, windows in rows(data if data.is_dir() else None)]
    shown = table(["text", "\u00b5s per 100 characters", "windows"], found)
    write_section("lattice", "Cost of the lattice", "make bench-lattice", BODY.format(table=shown))
    print(shown)


if __name__ == "__main__":
    main()
