"""The forms in which texts are compared, and what is embedded for each.

An answer is compared as a *statement* (itself alone) and, near its beginning, as an *exchange* (the turn that it
answers, then itself): a short answer says something only together with its question. A prompt is compared with what
is forgotten and with the *turns* that ask for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from guard.segments import WindowRule
from guard.windows import windows_of
from guard.words import words_of

TURN_WORDS: Final = 40
"""Words of the turn that an exchange keeps: a question stands at its end."""

SHORTEST_STATEMENT: Final = 4
"""Words below which a text that answers a turn says nothing by itself."""

SHORTEST_WINDOW: Final = 6
"""Words below which a window of an entry stands for it only when it has none that is longer."""

LONGEST_WHOLE: Final = 96
"""Words up to which an entry's whole text is a window of its own."""


class Form(StrEnum):
    """What stands in a vector."""

    STATEMENT = "statement"
    EXCHANGE = "exchange"
    TURN = "turn"


ANSWER_FORMS: Final = (Form.STATEMENT, Form.EXCHANGE)
PROMPT_FORMS: Final = (Form.STATEMENT, Form.TURN)
"""A prompt may say what is forgotten, or ask for it."""


def exchange(turn: str, answer: str) -> str:
    """A turn and its answer as one text."""
    return " ".join([*turn.split()[-TURN_WORDS:], answer.strip()])


def entry_windows(text: str, rule: WindowRule) -> Iterator[str]:
    """The windows that an entry's text is known by: those of the stream, and a short text as a whole."""
    windows = [window.text.strip() for window in windows_of(text, rule, stretched=False)]
    long = [window for window in windows if len(words_of(window)) >= SHORTEST_WINDOW]
    whole = text.strip()
    if 0 < len(words_of(whole)) <= LONGEST_WHOLE:
        long.append(whole)
    yield from dict.fromkeys(long or windows)
