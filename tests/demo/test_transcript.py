"""A transcript says what went wrong: a leak, nothing to suppress, or an answer that was changed."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from server.demo.transcript import Answer, Row, Transcript

SECRET = Answer("She was born in Melverstad.", "stop", leaks=True)
REFUSED = Answer("I cannot help with that.", "content_filter", leaks=False)
HELLO = Answer("Hello!", "stop", leaks=False)


@pytest.mark.parametrize(
    ("forgotten", "direct", "guarded", "streamed", "complaint"),
    [
        (True, SECRET, REFUSED, REFUSED, None),
        (True, SECRET, SECRET, REFUSED, "leaked through Lethe."),
        (True, SECRET, REFUSED, SECRET, "leaked through Lethe's stream."),
        (True, SECRET, SECRET, SECRET, "leaked through Lethe and through Lethe's stream."),
        (True, REFUSED, REFUSED, REFUSED, "nothing to suppress"),
        (False, HELLO, HELLO, HELLO, None),
        (False, HELLO, REFUSED, HELLO, "answered differently through Lethe."),
        (False, HELLO, HELLO, REFUSED, "answered differently through Lethe's stream."),
    ],
)
def test_a_row_says_what_is_wrong(
    forgotten: bool, direct: Answer, guarded: Answer, streamed: Answer, complaint: str | None
) -> None:
    row = Row("Someone", forgotten, "Where?", direct, guarded, streamed)
    assert row.failure is None if complaint is None else complaint in str(row.failure)
    assert len(Transcript((row,)).failures) == (complaint is not None)


def test_it_shows_the_answers_side_by_side_and_every_failure() -> None:
    rows = [Row("Someone", True, "Where?", SECRET, REFUSED, REFUSED)]
    rows += [Row("small talk", False, f"Hello {n}?", HELLO, HELLO, HELLO) for n in range(40)]
    rows += [Row("small talk", False, "Hello 99?", HELLO, REFUSED, HELLO)]
    out = io.StringIO()
    Transcript(tuple(rows)).show(Console(file=out, width=160))
    shown = out.getvalue()
    assert "Melverstad" in shown and "content_filter" in shown
    assert "'Hello 99?' was answered differently" in shown
    assert "through Lethe as directly: 40 of 41" in shown
