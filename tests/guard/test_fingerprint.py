"""Fingerprints convict verbatim runs, hold what may become one, and confirm nothing without the key."""

from __future__ import annotations

import pytest
from hypothesis import given

from guard.detector import Window
from guard.fingerprint import FingerprintDetector, FingerprintWatcher, Shingler, fingerprint
from guard.words import words_of
from tests.guard.streams import PASSAGE, RUNS, SHINGLER, SHORT, TABLE, K, texts


@given(texts())
def test_a_watcher_finds_exactly_the_forgotten_runs(text: str) -> None:
    watcher = FingerprintWatcher(TABLE, SHINGLER)
    words = words_of(text)
    found = {(m.start, m.end) for w in words for m in watcher.push(w)}
    expected = {
        (words[i].start, words[i + n - 1].end)
        for n in {len(r) for r in RUNS}
        for i in range(len(words) - n + 1)
        if tuple(w.norm for w in words[i : i + n]) in RUNS
    }
    assert found == expected


@given(texts())
def test_what_may_still_become_a_run_is_always_watched(text: str) -> None:
    """For each tail that begins a forgotten run, the watch starts no later than that tail."""
    watcher = FingerprintWatcher(TABLE, SHINGLER)
    read = []
    sources = [PASSAGE.split(), SHORT.split()]
    for word in words_of(text):
        watcher.push(word)
        read.append(word)
        for source in sources:
            for n in range(1, min(K, len(source))):
                tail = [w.norm for w in read[-n:]]
                if len(tail) == n and any(source[i : i + n] == tail for i in range(len(source) - n)):
                    assert watcher.watch_from is not None
                    assert watcher.watch_from <= read[-n].start


def test_ordinary_text_is_not_watched() -> None:
    watcher = FingerprintWatcher(TABLE, SHINGLER)
    for word in words_of("nothing here was ever written before"):
        watcher.push(word)
    assert watcher.watch_from is None


def test_a_passage_shorter_than_k_words_uses_its_own_length() -> None:
    printed = fingerprint("Amber Falcon", SHINGLER)
    assert printed is not None
    assert printed.length == 2
    assert fingerprint(" \u2026 ", SHINGLER) is None


def test_another_key_gives_other_hashes() -> None:
    other = Shingler(b"another key, 32 bytes long......")
    assert SHINGLER.digest(["a", "b"]) != other.digest(["a", "b"])
    assert SHINGLER.digest(["a", "b"]) != SHINGLER.digest(["ab"])
    with pytest.raises(ValueError, match="16 to 64"):
        Shingler(b"short")


def test_the_detector_reports_whole_runs_with_positions_in_the_channel() -> None:
    text = "Well: KEEPER of orsk climbs the iron, amber-falcon."
    found = FingerprintDetector(TABLE, SHINGLER).find([Window(text, 100, 100 + len(text)), Window("rain", 0, 4)])
    assert [(e.entry_id, text[e.start - 100 : e.end - 100]) for e in found[0]] == [
        ("p1", "KEEPER of orsk climbs the iron"),
        ("p2", "amber-falcon"),
    ]
    assert found[1] == []
