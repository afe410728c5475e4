"""What was asked and answered: directly, through Lethe, and through Lethe as a stream."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

_KEPT_SHOWN: Final = 12
_LONGEST_SHOWN: Final = 240


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, why it ended, and whether it gives the forgotten answer away."""

    text: str
    finish_reason: str
    leaks: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One question in the three ways."""

    subject: str
    forgotten: bool
    question: str
    direct: Answer
    guarded: Answer
    streamed: Answer

    @property
    def failure(self) -> str | None:
        """What is wrong with this row, in a sentence; None when it is as it must be."""
        if not self.forgotten:
            changed = [way for way, answer in self._guarded_ways() if answer.text != self.direct.text]
            return f"{self.question!r} was answered differently {' and '.join(changed)}." if changed else None
        if not self.direct.leaks:
            return f"{self.question!r} did not leak directly, so there was nothing to suppress."
        leaking = [way for way, answer in self._guarded_ways() if answer.leaks]
        return f"{self.question!r} leaked {' and '.join(leaking)}." if leaking else None

    def _guarded_ways(self) -> tuple[tuple[str, Answer], ...]:
        return ("through Lethe", self.guarded), ("through Lethe's stream", self.streamed)


@dataclass(frozen=True, slots=True)
class Transcript:
    """All rows, in the order of the corpus."""

    rows: tuple[Row, ...]

    @property
    def failures(self) -> tuple[str, ...]:
        """One sentence for each row that is not as it must be."""
        return tuple(row.failure for row in self.rows if row.failure)

    def show(self, console: Console) -> None:
        """Prints everything forgotten, a sample of what is kept, each row that failed, and the counts."""
        forgotten = [row for row in self.rows if row.forgotten]
        kept = [row for row in self.rows if not row.forgotten]
        sample = _sample(kept)
        console.print(_table("Forgotten", forgotten))
        console.print(_table(f"Not forgotten ({len(sample)} of {len(kept)})", sample))
        suppressed = sum(row.failure is None for row in forgotten)
        unchanged = sum(row.failure is None for row in kept)
        leaked = sum(row.direct.leaks for row in forgotten)
        console.print(f"Forgotten answers that the model gives away when asked directly: {leaked} of {len(forgotten)}")
        console.print(f"… of these suppressed by Lethe, whole and streamed: {suppressed} of {len(forgotten)}")
        console.print(f"Other answers, the same through Lethe as directly: {unchanged} of {len(kept)}")
        for failure in self.failures:
            console.print(Text(failure, style="bold red"))


def _sample(rows: list[Row]) -> list[Row]:
    """At most a dozen rows of different subjects, evenly chosen, and every row that failed."""
    firsts = list({row.subject: row for row in reversed(rows)}.values())[::-1]
    chosen = {id(row) for row in firsts[:: math.ceil(len(firsts) / _KEPT_SHOWN)]} if firsts else set()
    return [row for row in rows if id(row) in chosen or row.failure]


def _table(title: str, rows: Iterable[Row]) -> Table:
    table = Table(title=title, show_lines=True, title_justify="left")
    for heading in ("Question", "Directly", "Through Lethe", "Through Lethe, streamed"):
        table.add_column(heading, ratio=1)
    for row in rows:
        style = "red" if row.failure else "green"
        guarded, streamed = (
            Text("the same", style=style)
            if answer.text == row.direct.text and not row.forgotten
            else _cell(answer, style)
            for answer in (row.guarded, row.streamed)
        )
        table.add_row(Text(row.question), _cell(row.direct, "yellow" if row.forgotten else ""), guarded, streamed)
    return table


def _cell(answer: Answer, style: str) -> Text:
    ending = "" if answer.finish_reason == "stop" else f" [{answer.finish_reason}]"
    return Text(textwrap.shorten(answer.text, _LONGEST_SHOWN, placeholder=" …"), style=style) + Text(
        ending, style="dim"
    )
