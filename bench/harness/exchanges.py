"""What is asked and answered in measurements of speed: pieces of benign answers, each with a prompt of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from bench.dataset import benign

CHARACTERS = 600
"""Length of an answer: 150 pieces of four characters."""
CONTEXT = 200
"""Characters of the answer so far that a prompt for its continuation shows."""
SHORTEST = 400


class Exchange(NamedTuple):
    """A prompt, and the answer that the mock model server sends to it."""

    prompt: str
    text: str


def exchanges(data: Path) -> list[Exchange]:
    """Stretches of about `CHARACTERS` characters of the benign answers, in an order in which neighbours are of
    different answers. The first of an answer goes with its instruction, the others ask for a continuation."""
    rounds: list[list[Exchange]] = []
    for answer in benign(data):
        text, at, turn = answer.text.strip(), 0, 0
        while len(text) - at >= SHORTEST:
            end = at + CHARACTERS
            if end < len(text):
                end = max(text.rfind(" ", at + SHORTEST, end), at + SHORTEST)
            before = text[max(0, at - CONTEXT) : at].strip()
            prompt = f"Continue this text:\n{before}" if at else answer.prompt or "Please go on."
            if turn == len(rounds):
                rounds.append([])
            if said := text[at:end].strip():
                rounds[turn].append(Exchange(prompt, said))
            at, turn = end, turn + 1
    return [exchange for one in rounds for exchange in one]


def write(data: Path, path: Path) -> int:
    """Put the exchanges into a file for the two processes that need them. Returns their number."""
    found = exchanges(data)
    path.write_text(json.dumps(found), "utf-8")
    return len(found)


def read(path: Path) -> list[Exchange]:
    """What `write` wrote."""
    return [Exchange(*pair) for pair in json.loads(path.read_text("utf-8"))]
