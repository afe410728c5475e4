"""The bodies of check."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from server.schemas.base import LONGEST_TEXT, ActionName, Schema


class CheckIn(Schema):
    """A text to judge as if the model had said it (or, on side `prompt`, as if a client had asked it)."""

    text: Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]
    prompt: Annotated[str, StringConstraints(max_length=LONGEST_TEXT)] = ""
    side: Literal["answer", "prompt"] = "answer"


class MatchOut(Schema):
    """text[start:end] resembles an entry. Score and threshold are on the detector's own scale.

    `view` names the reading of the text that it was found in: `plain`, or the dress that was taken off.
    """

    entry_id: str
    detector: str
    score: float
    threshold: float
    start: int
    end: int
    view: str = "plain"


class StageOut(Schema):
    """What one stage did: its milliseconds, and the strongest outcome among the windows it judged.

    A stage that was not reached, since those before it had decided, took no time and is `undecided`.
    """

    stage: str
    ms: float
    outcome: Literal["convict", "clear", "undecided", "error"]


class CheckOut(Schema):
    """The verdict. `shadowed` is what policies in shadow mode would have done."""

    action: ActionName
    shadowed: ActionName
    matches: list[MatchOut]
    revision: int
    stages: list[StageOut]
