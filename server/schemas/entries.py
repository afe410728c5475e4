"""The bodies of calls about entries and imports."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field, StringConstraints, model_validator

from guard.policy import DEFAULT_POLICY
from server.schemas.base import ForgetText, KindName, Name, PublicLine, Schema, without_blanks

MOST_IN_BATCH: Final = 1_000

PromptText = Annotated[str, StringConstraints(max_length=100_000)]
Examples = Annotated[list[ForgetText], Field(max_length=1_000)]


class EntryIn(Schema):
    """One thing to forget. `label` is public: it may be named to the model and to clients."""

    kind: KindName
    text: ForgetText
    prompt: PromptText = ""
    examples: Examples = Field(default_factory=list)
    counterexamples: Examples = Field(default_factory=list)
    label: PublicLine = ""
    policy: Name = DEFAULT_POLICY
    force: bool = False
    retention: Literal["encrypted", "sealed"] = "encrypted"
    reference: PublicLine = ""
    expires_at: datetime | None = None


class BatchIn(Schema):
    """Entries that are added together or not at all."""

    entries: Annotated[list[EntryIn], Field(min_length=1, max_length=MOST_IN_BATCH)]


class EntryPatch(Schema):
    """What shall change; a field that is not given stays. `expires_at: null` lifts the expiry."""

    text: ForgetText | None = None
    prompt: PromptText | None = None
    examples: Examples | None = None
    counterexamples: Examples | None = None
    label: PublicLine | None = None
    policy: Name | None = None
    reference: PublicLine | None = None
    expires_at: datetime | None = None
    force: bool = False


class ContentOut(Schema):
    """The forget text of an entry, for admins who asked for it."""

    text: str
    prompt: str
    examples: list[str]
    counterexamples: list[str]


class EntryOut(Schema):
    """An entry without its text."""

    id: str
    namespace: str
    kind: KindName
    label: str
    policy: str
    retention: Literal["encrypted", "sealed"]
    reference: str
    created_at: datetime
    expires_at: datetime | None
    revision: int
    windows: int
    content: ContentOut | None = None


class ListingQuery(BaseModel):
    """Which page of entries: no bearing on `?namespace=`, which stands beside it."""

    kind: KindName | None = None
    label: Annotated[str, Field(max_length=200)] = ""
    cursor: Annotated[str | None, Field(max_length=200)] = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    reveal: bool = False

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, values: object) -> object:
        return without_blanks(values)


class EntriesOut(Schema):
    """A page of entries, newest first. `?cursor=<next_cursor>` asks for the next one; null on the last."""

    entries: list[EntryOut]
    next_cursor: str | None


class EntryId(Schema):
    """An entry that was added."""

    id: str


class WrittenOut(Schema):
    """One entry was written: it applies from `revision` on."""

    id: str
    revision: int


class BatchOut(Schema):
    """All entries were written."""

    revision: int
    entries: list[EntryId]


class RemovedOut(Schema):
    """The entry stops matching at `revision`, and its data key is destroyed."""

    id: str
    revision: int
    note: str = (
        "the data key is destroyed; a backup of the database made earlier stays readable "
        "until its key-encryption key is destroyed too"
    )


class ScreenedBackground(Schema):
    """Of `n` ordinary exchanges, `matched` would be taken for the entry."""

    n: int
    matched: int
    share: float


class ScreenedRecent(Schema):
    """Of `n` recent answers, the share whose best score against the entries held now reached the new entry's nearest
    benign score: how far up in ordinary traffic that score lies."""

    n: int
    share_at_nearest: float


class LintOut(Schema):
    """What would become of an entry; nothing of it is kept. `reason` says why it is too broad, also when it is forced.

    Scores are on the scale of `threshold`. They are null for an entry that cannot be kept at all (no words, too large).
    """

    accepted: bool
    reason: str
    nearest_benign_score: float | None
    threshold: float | None
    background: ScreenedBackground | None
    recent: ScreenedRecent | None


class JobError(Schema):
    """A line that was not taken, and why; the reason repeats none of it."""

    line: int
    reason: str


class JobOut(Schema):
    """How far an import is: lines added, lines refused. `total` is null until the whole body was dealt with."""

    job: str
    state: Literal["queued", "running", "done", "failed", "interrupted"]
    done: int
    failed: int
    total: int | None
    per_second: float
    errors: list[JobError]


class JobStarted(Schema):
    """The job that works on an import."""

    job: str
