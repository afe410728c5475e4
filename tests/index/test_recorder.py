"""What was made by older code is made again, from the text that is kept."""

from __future__ import annotations

import pytest

from guard.verdict import Kind
from index import imprint
from index.entry import Draft, Retention
from index.errors import EmbedderRefused
from index.recorder import imprint_of
from index.sealing import Sealer
from tests.index.conftest import KEK

PASSAGE = "The lamp keeper of Orsk climbs the iron stair when the green light fails."


def test_entries_of_another_format_are_made_again_at_start(opened, monkeypatch) -> None:
    index = opened("before")
    written = index.add("ns", [Draft(Kind.PASSAGE, PASSAGE)])
    before = index.store.entry("ns", written.ids[0])
    index.close()
    monkeypatch.setattr(imprint, "READING", imprint.READING + 1)
    after = opened("after").store.entry("ns", written.ids[0])
    assert after.basis != before.basis
    assert after.wrapped_key != before.wrapped_key
    made, again = (imprint_of(record, Sealer(KEK)) for record in (before, after))
    assert (again.fingerprints, again.letters, again.marks) == (made.fingerprints, made.letters, made.marks)


def test_sealed_entries_of_another_format_are_refused(opened, monkeypatch) -> None:
    index = opened("before")
    index.add("ns", [Draft(Kind.PASSAGE, PASSAGE, retention=Retention.SEALED)])
    index.close()
    monkeypatch.setattr(imprint, "READING", imprint.READING + 1)
    with pytest.raises(EmbedderRefused, match="1 sealed entries"):
        opened("after")
