"""What Lethe adds to a real model server: time to first token and total time, direct and through Lethe in turn.

The demonstration's model is served by the real vLLM; Lethe stands in front with the demonstration's forget index. Each
question is asked both ways, one right after the other, in an order that alternates.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openai import OpenAI
from rich.console import Console
from rich.progress import track

from bench.pace import STREAMS, Paced, Way, paced, period_that_holds
from bench.report import table, write_section
from server.demo.command import default_cache, start_model_server
from server.demo.corpus import load_corpus
from server.demo.demonstration import forget
from server.demo.lethe_server import start_lethe


@dataclass(frozen=True, slots=True)
class Timing:
    """One answer: seconds to the first text (of a stream) and in all, and its length in characters."""

    first: float
    total: float
    characters: int


def ask(client: OpenAI, model: str, question: str, stream: bool) -> Timing:
    """Ask once."""
    messages = [{"role": "user", "content": question}]
    began = time.perf_counter()
    if not stream:
        answer = client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=160)
        total = time.perf_counter() - began
        return Timing(total, total, len(answer.choices[0].message.content or ""))
    first = None
    characters = 0
    for chunk in client.chat.completions.create(
        model=model, messages=messages, temperature=0, max_tokens=160, stream=True
    ):
        text = chunk.choices[0].delta.content if chunk.choices else None
        if text:
            first = first or time.perf_counter() - began
            characters += len(text)
    total = time.perf_counter() - began
    return Timing(first or total, total, characters)


def compare(
    direct: OpenAI, guarded: OpenAI, model: str, questions: Sequence[str], stream: bool
) -> tuple[list[Timing], list[Timing]]:
    """The same questions both ways, in alternating order."""
    pairs: tuple[list[Timing], list[Timing]] = ([], [])
    for number, question in enumerate(track(questions, "streams" if stream else "whole answers")):
        order = ((0, direct), (1, guarded)) if number % 2 else ((1, guarded), (0, direct))
        for side, client in order:
            pairs[side].append(ask(client, model, question, stream))
    return pairs


def row(name: str, one: Sequence[float], two: Sequence[float]) -> list[str]:
    """Medians in milliseconds, the median difference, and the median ratio of pairs."""
    added = [b - a for a, b in zip(one, two, strict=True)]
    ratio = statistics.median(b / a for a, b in zip(one, two, strict=True))
    tail = statistics.quantiles(added, n=20)[-1]
    figures = [
        f"{1000 * v:.1f}" for v in (statistics.median(one), statistics.median(two), statistics.median(added), tail)
    ]
    return [name, *figures, f"{ratio:.2f}"]


def held(rates: Sequence[tuple[Paced, Paced]], period: float) -> str:
    """Completed tokens per second at a rate that both ways hold."""
    ratios = sorted(guarded.tokens_per_s / direct.tokens_per_s for direct, guarded in rates)
    rows = [
        [
            f"{one.tokens_per_s:.1f}",
            f"{two.tokens_per_s:.1f}",
            f"{two.tokens_per_s / one.tokens_per_s:.3f}",
            str(two.late),
        ]
        for one, two in rates
    ]
    measured = table(["direct, tokens/s", "Lethe, tokens/s", "ratio", "answers that began late"], rows)
    met = "met" if statistics.median(ratios) >= 0.97 else "**not met**"
    return PACED.format(streams=STREAMS, period=period, measured=measured, ratio=statistics.median(ratios), met=met)


def main() -> None:
    """Measure, print, and write the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="times that every question is asked (%(default)s)")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where the demo's model is kept")
    arguments = parser.parse_args()
    console, corpus = Console(), load_corpus()
    questions = [exchange.question for subject in corpus.kept for exchange in subject.exchanges] * arguments.rounds
    with (
        tempfile.TemporaryDirectory(prefix="lethe-bench-") as directory,
        start_model_server("auto", arguments.cache, console) as upstream,
        start_lethe(upstream.base_url, Path(directory), arguments.cache / "logs", 8080, console) as lethe,
    ):
        entries = forget(corpus, lethe, console)
        direct = OpenAI(base_url=f"{upstream.base_url}/v1", api_key="none", max_retries=0)
        guarded = OpenAI(base_url=f"{lethe.base_url}/v1", api_key=lethe.admin_key, max_retries=0)
        compare(direct, guarded, upstream.model, questions[:10], True)  # warm both ways up
        streams = compare(direct, guarded, upstream.model, questions, True)
        whole = compare(direct, guarded, upstream.model, questions, False)
        ways = (
            Way(f"{upstream.base_url}/v1", "none", upstream.model),
            Way(f"{lethe.base_url}/v1", lethe.admin_key, upstream.model),
        )
        period = max(period_that_holds(way, questions[: 4 * STREAMS]) for way in ways)
        rates = [(paced(ways[0], questions, period), paced(ways[1], questions, period)) for _ in range(3)]
    rows = [
        row("stream, time to first text", *([t.first for t in side] for side in streams)),
        row("stream, total", *([t.total for t in side] for side in streams)),
        row("whole answer", *([t.total for t in side] for side in whole)),
    ]
    measured = table(["", "direct, ms", "Lethe, ms", "added, median ms", "added, 95 % ms", "ratio"], rows)
    mean = statistics.mean(t.characters for t in streams[0])
    body = BODY.format(kind=upstream.kind, entries=entries, n=len(questions), mean=mean, measured=measured)
    body += held(rates, period)
    write_section("latency", "Added time on a real vLLM", "make bench-latency", body)
    print(measured)


BODY = """The demonstration's model (about two million parameters) on {kind}, {entries} entries in the index, the
default policy (adaptive), one request at a time. {n} benign answers each way, of {mean:.0f} characters in the mean,
direct and through Lethe in turn. The model, Lethe and its embedder share the machine's cores, and a model of this size
answers within tens of milliseconds: the added milliseconds are what carries over to a larger model, the ratio is not.

{measured}
"""

PACED = """
{streams} streams at once, each of which begins an answer every {period:.2f} s (half of the work that the slower way can
do):

{measured}

At least 0.97 of direct in the median is the aim: {ratio:.3f}, {met}.
"""


if __name__ == "__main__":
    main()
