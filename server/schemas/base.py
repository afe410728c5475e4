"""What all bodies of the operator API share. Unknown fields are refused; values are never repeated."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal, cast

from pydantic import BaseModel, ConfigDict, StringConstraints

from guard.verdict import Action

LONGEST_TEXT: Final = 1_000_000

ForgetText = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TEXT)]
PublicLine = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
KindName = Literal["passage", "fact", "concept"]
ActionName = Literal["allow", "flag", "redact", "rewrite", "block"]


class Schema(BaseModel):
    """A body of ours: strict about names, silent about values."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def without_blanks(values: object) -> object:
    """Query parameters without those that were given as nothing: `?kind=` means any kind."""
    return {k: v for k, v in values.items() if v != ""} if isinstance(values, dict) else values


def moment(seconds: float) -> datetime:
    """Unix seconds as the time that answers show."""
    return datetime.fromtimestamp(seconds, UTC)


def action_name(action: Action) -> ActionName:
    """The name of an action."""
    return cast(ActionName, action.label)


def seconds_of(at: datetime | None) -> float | None:
    """The other way; a time without a zone is UTC."""
    if at is None:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
