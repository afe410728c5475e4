"""A large forget list for measurements of speed: invented authors and pieces of novels, in a mixed order."""

from __future__ import annotations

import random
from pathlib import Path

from bench.dataset import Tofu, read
from guard.verdict import Kind
from guard.words import words_of
from index.entry import Draft

_WORDS = 16
"""Words of a piece of a novel."""


def crowd(data: Path, count: int, seed: int = 0) -> list[Draft]:
    """The first `count` of some 10,000 entries: 4,400 facts with their questions (TOFU: 220 authors), and the text of
    three novels in pieces of 16 words (passages)."""
    tofu = Tofu(data)
    facts = [Draft(Kind.FACT, answer.text, answer.prompt) for answer in (*tofu.entries(), *tofu.retain())]
    facts += [Draft(Kind.FACT, row["answer"], row["question"]) for row in read(data, "tofu/holdout10.json")]
    pieces: list[Draft] = []
    for path in sorted((data / "books").glob("*.md")):
        if path.name != "SOURCE.md":
            words = path.read_text("utf-8").split()
            cut = (" ".join(words[at : at + _WORDS]) for at in range(0, len(words) - _WORDS, _WORDS))
            pieces += [Draft(Kind.PASSAGE, piece) for piece in cut if words_of(piece)]
    found = [*facts, *pieces]
    random.Random(seed).shuffle(found)
    if len(found) < count:
        raise SystemExit(f"the evaluation data gives {len(found)} entries, fewer than {count}")
    return found[:count]
