"""Operations on a running server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from server.client import Client
from server.commands.operations import Listing, Seen
from server.schemas.check import CheckIn, CheckOut
from server.schemas.entries import EntriesOut, EntryIn, EntryOut, JobOut, RemovedOut, WrittenOut

_CHUNK: Final = 1 << 16
_POLL_S: Final = 0.3
_OVER: Final = ("done", "failed", "interrupted")


class Remote:
    """Implements `Operations` with a client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def add(self, entry: EntryIn, wait: bool) -> WrittenOut:
        """POST /entries."""
        body = entry.model_dump(mode="json")
        return WrittenOut.model_validate(self._client.call("POST", "/entries", _waiting(wait), body))

    def entries(self, listing: Listing) -> EntriesOut:
        """GET /entries."""
        query = {
            "kind": listing.kind,
            "label": listing.label,
            "cursor": listing.cursor,
            "limit": listing.limit,
            "reveal": "true" if listing.reveal else None,
        }
        return EntriesOut.model_validate(self._client.call("GET", "/entries", query))

    def show(self, entry_id: str, reveal: bool) -> EntryOut:
        """GET /entries/{id}."""
        query = {"reveal": "true" if reveal else None}
        return EntryOut.model_validate(self._client.call("GET", f"/entries/{entry_id}", query))

    def remove(self, entry_id: str, wait: bool) -> RemovedOut:
        """DELETE /entries/{id}."""
        return RemovedOut.model_validate(self._client.call("DELETE", f"/entries/{entry_id}", _waiting(wait)))

    def import_file(self, path: Path, sent: Seen, added: Seen) -> JobOut:
        """POST /imports, then follow the job to its end."""
        job = self._client.upload("/imports", _chunks(path, sent))["job"]
        while True:
            state = JobOut.model_validate(self._client.call("GET", f"/jobs/{job}"))
            added(state.done + state.failed, state.total)
            if state.state in _OVER:
                return state
            time.sleep(_POLL_S)

    def check(self, asked: CheckIn) -> CheckOut:
        """POST /check."""
        return CheckOut.model_validate(self._client.call("POST", "/check", body=asked.model_dump()))


def _waiting(wait: bool) -> dict[str, object]:
    return {"wait": "applied"} if wait else {}


def _chunks(path: Path, sent: Seen) -> Iterator[bytes]:
    total, done = path.stat().st_size, 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
            done += len(chunk)
            sent(done, total)
