"""From drafts to records and back: embeds, fingerprints, seals."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from index.calibration import rule_id
from index.entry import Content, Draft, Retention
from index.errors import EntrySealed, WrongKey
from index.imprint import Imprint, Imprinter
from index.records import EntryRecord
from index.sealing import Sealer

CONTENT, VECTORS, FINGERPRINTS = "content", "vectors", "fingerprints"


def _content_bytes(content: Content) -> bytes:
    body = {
        "text": content.text,
        "prompt": content.prompt,
        "examples": content.examples,
        "counterexamples": content.counterexamples,
    }
    return json.dumps(body, ensure_ascii=False).encode()


def imprint_of(record: EntryRecord, sealer: Sealer) -> Imprint:
    """What the index knows the entry by. Raises `WrongKey`."""
    try:
        key = sealer.unwrap(record.id, record.wrapped_key)
        return Imprint.from_bytes(key.open(record.vectors, VECTORS), key.open(record.fingerprints, FINGERPRINTS))
    except WrongKey as cause:
        raise WrongKey(f"entry {record.id}: {cause}") from None


def content_of(record: EntryRecord, sealer: Sealer) -> Content:
    """The text of an entry. Raises `EntrySealed` when it keeps none, `WrongKey`."""
    if record.content is None:
        raise EntrySealed(record.id)
    key = sealer.unwrap(record.id, record.wrapped_key)
    body = json.loads(key.open(record.content, CONTENT))
    return Content(body["text"], body["prompt"], tuple(body["examples"]), tuple(body["counterexamples"]))


def _pass(drafts: Sequence[Draft], imprints: Sequence[Imprint]) -> None:
    return None


class Recorder:
    """Makes records. `basis` names what their vectors and hashes depend on: those of another basis are made again."""

    def __init__(self, imprinter: Imprinter, sealer: Sealer) -> None:
        self._imprinter, self._sealer = imprinter, sealer
        self.basis = f"{imprinter.embedder.hash}:{rule_id(imprinter.rule)}:{imprinter.format}"

    def record(
        self,
        namespace: str,
        drafts: Sequence[Draft],
        now: float,
        screen: Callable[[Sequence[Draft], Sequence[Imprint]], None] = _pass,
    ) -> list[EntryRecord]:
        """New records, embedded together. `screen` sees what they are known by and may raise."""
        imprints = self._imprinter.imprint([(draft.kind, draft.content) for draft in drafts])
        screen(drafts, imprints)
        return [self._new(namespace, d, i, now) for d, i in zip(drafts, imprints, strict=True)]

    def _new(self, namespace: str, draft: Draft, imprint: Imprint, now: float) -> EntryRecord:
        blank = EntryRecord(
            id=f"ent_{uuid.uuid4().hex}",
            namespace=namespace,
            kind=draft.kind,
            label=draft.label,
            policy=draft.policy,
            retention=draft.retention,
            reference=draft.reference,
            created_at=now,
            expires_at=draft.expires_at,
            windows=0,
            basis=self.basis,
            content=None,
            vectors=b"",
            fingerprints=b"",
            wrapped_key=b"",
        )
        return self._sealed(blank, draft.content, imprint)

    def _sealed(self, record: EntryRecord, content: Content, imprint: Imprint) -> EntryRecord:
        """The record with this content, under a new data key."""
        key, wrapped = self._sealer.new_key(record.id)
        kept = record.retention is Retention.ENCRYPTED
        return replace(
            record,
            windows=len(imprint.marks),
            basis=self.basis,
            content=key.seal(_content_bytes(content), CONTENT) if kept else None,
            vectors=key.seal(imprint.vector_bytes(), VECTORS),
            fingerprints=key.seal(imprint.fingerprint_bytes(), FINGERPRINTS),
            wrapped_key=wrapped,
        )

    def again(
        self,
        records: Sequence[EntryRecord],
        contents: Sequence[Content],
        screen: Callable[[Sequence[Imprint]], None] | None = None,
    ) -> list[EntryRecord]:
        """The records with these contents, embedded anew. `screen` sees what they are known by and may raise."""
        imprints = self._imprinter.imprint([(r.kind, c) for r, c in zip(records, contents, strict=True)])
        if screen is not None:
            screen(imprints)
        return [self._sealed(r, c, i) for r, c, i in zip(records, contents, imprints, strict=True)]

    def content(self, record: EntryRecord) -> Content:
        """The text of an entry. Raises `EntrySealed` when it keeps none, `WrongKey`."""
        return content_of(record, self._sealer)
