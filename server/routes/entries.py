"""Entries: lint, add, list, show, change, remove."""

from __future__ import annotations

import time
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Response

from guard.verdict import Kind, Side
from index.entry import UNSET, Change, Content, Draft, Entry, Retention
from index.errors import EntryRefused, PolicyUnknown
from index.lint import Lint
from index.records import Once, Written
from index.score_histogram import ScoreFilter, score_basis
from server.access import Right, RoleWrong
from server.errors import BadBody
from server.routes.calls import Call, Operating, StrictRoute, Waiting, answered
from server.schemas.base import seconds_of
from server.schemas.entries import (
    BatchIn,
    BatchOut,
    EntriesOut,
    EntryId,
    EntryIn,
    EntryOut,
    EntryPatch,
    LintOut,
    ListingQuery,
    RemovedOut,
    ScreenedBackground,
    ScreenedRecent,
    WrittenOut,
)
from server.translation import draft_of, entry_out

router = APIRouter(route_class=StrictRoute, tags=["entries"])

RECENT_S: Final = 7 * 86_400.0
"""How far back the traffic goes that an entry is linted against."""

EntryIdPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


def _one_written(written: Written) -> str:
    return WrittenOut(id=written.ids[0], revision=written.revision).model_dump_json()


def _batch_written(written: Written) -> str:
    entries = [EntryId(id=entry_id) for entry_id in written.ids]
    return BatchOut(revision=written.revision, entries=entries).model_dump_json()


@router.post("/entries/lint", response_model=LintOut)
async def lint_entry(body: EntryIn, call: Operating) -> Response:
    """What an entry would match among ordinary exchanges, and whether it would be kept. Nothing is added."""
    index, store, namespace = call.service.index, call.service.store, call.namespace
    basis = score_basis(index.embedder.hash, index.embedder.backend, index.calibration.rule)

    def linted() -> str:
        now = time.time()
        recent = store.score_sample(ScoreFilter(basis, namespace, Side.ANSWER, now - RECENT_S))
        return _linted(index.lint(draft_of(body), recent.histograms)).model_dump_json()

    return await call.answered_once("entries/lint", linted)


def _linted(lint: Lint) -> LintOut:
    found = lint.screening
    if found is None:
        nearest = threshold = background = recent = None
    else:
        nearest, threshold = round(found.nearest, 4), found.threshold
        background = ScreenedBackground(n=found.n, matched=found.matched, share=round(found.share, 6))
        seen = found.recent
        recent = None if seen is None else ScreenedRecent(n=seen.n, share_at_nearest=round(seen.share, 6))
    return LintOut(
        accepted=lint.accepted,
        reason=lint.reason,
        nearest_benign_score=nearest,
        threshold=threshold,
        background=background,
        recent=recent,
    )


@router.post("/entries", status_code=201, response_model=WrittenOut)
async def add_entry(body: EntryIn, call: Operating, wait: Waiting) -> Response:
    """Add one thing to forget."""
    once = await call.once("entries", _one_written)
    written = await _add(call, [draft_of(body)], once)
    return await call.written(written, wait, _one_written, 201)


@router.post("/entries/batch", status_code=201, response_model=BatchOut)
async def add_entries(body: BatchIn, call: Operating, wait: Waiting) -> Response:
    """Add up to 1,000 entries, all or nothing."""
    once = await call.once("entries/batch", _batch_written)
    written = await _add(call, [draft_of(entry) for entry in body.entries], once)
    return await call.written(written, wait, _batch_written, 201)


async def _add(call: Call, drafts: list[Draft], once: Once | None) -> Written:
    try:
        written = await call.service.run(call.service.index.add, call.namespace, drafts, once)
    except PolicyUnknown as fault:  # here the policy is part of the entry, not the thing asked for
        raise EntryRefused(str(fault)) from None
    if not written.replayed:
        call.noted("entries_added", count=len(drafts), revision=written.revision)
    return written


@router.get("/entries", response_model=EntriesOut)
async def list_entries(call: Operating, asked: Annotated[ListingQuery, Query()]) -> Response:
    """A page of entries, newest first; the text only for admins who ask for it."""
    if asked.reveal:
        _may_reveal(call)
    kind = None if asked.kind is None else Kind(asked.kind)
    index = call.service.index
    try:
        page = await call.service.run(index.entries, call.namespace, kind, asked.label, asked.cursor, asked.limit)
    except ValueError:
        raise BadBody("the cursor belongs to no page") from None
    contents = [await _revealed(call, entry) if asked.reveal else None for entry in page.entries]
    entries = [entry_out(entry, content) for entry, content in zip(page.entries, contents, strict=True)]
    return answered(EntriesOut(entries=entries, next_cursor=page.next_cursor))


@router.get("/entries/{entry_id}", response_model=EntryOut)
async def show_entry(entry_id: EntryIdPath, call: Operating, reveal: bool = False) -> Response:
    """One entry; the text only for admins who ask for it."""
    if reveal:
        _may_reveal(call)
    entry = await call.service.run(call.service.index.entry, call.namespace, entry_id)
    return answered(entry_out(entry, await _revealed(call, entry, strict=True) if reveal else None))


def _may_reveal(call: Call) -> None:
    if not call.principal.may(Right.ADMINISTER):
        raise RoleWrong("only an admin may see the text of an entry")


async def _revealed(call: Call, entry: Entry, strict: bool = False) -> Content | None:
    """The text of an entry, and a line in the log that it was seen. A sealed entry in a list shows none."""
    if entry.retention is Retention.SEALED and not strict:
        return None
    content: Content = await call.service.run(call.service.index.reveal, call.namespace, entry.id)
    call.noted("entry_revealed", entry_id=entry.id)
    return content


@router.patch("/entries/{entry_id}", response_model=WrittenOut)
async def change_entry(entry_id: EntryIdPath, body: EntryPatch, call: Operating, wait: Waiting) -> Response:
    """Change what is given and leave the rest."""
    change = Change(
        label=body.label,
        policy=body.policy,
        reference=body.reference,
        expires_at=seconds_of(body.expires_at) if "expires_at" in body.model_fields_set else UNSET,
        text=body.text,
        prompt=body.prompt,
        examples=None if body.examples is None else tuple(body.examples),
        counterexamples=None if body.counterexamples is None else tuple(body.counterexamples),
        force=body.force,
    )
    try:
        written = await call.service.run(call.service.index.change, call.namespace, entry_id, change)
    except PolicyUnknown as fault:
        raise EntryRefused(str(fault)) from None
    call.noted("entry_changed", entry_id=entry_id, revision=written.revision)
    answer = WrittenOut(id=entry_id, revision=written.revision).model_dump_json()
    return await call.written(written, wait, lambda _: answer, 200)


@router.delete("/entries/{entry_id}", response_model=RemovedOut)
async def remove_entry(entry_id: EntryIdPath, call: Operating, wait: Waiting) -> Response:
    """Destroy the data key of an entry: its text and vectors are unrecoverable and it stops matching."""
    written = await call.service.run(call.service.index.remove, call.namespace, entry_id)
    call.noted("entry_removed", entry_id=entry_id, revision=written.revision)
    answer = RemovedOut(id=entry_id, revision=written.revision).model_dump_json()
    return await call.written(written, wait, lambda _: answer, 200)
