"""Bytes come out of encodings with the span of each, wherever a run is cut."""

from __future__ import annotations

import base64
import random

import pytest

from guard.decoders.reading import Stretch
from guard.decoders.runs import RUNS
from guard.reading import readings
from tests.guard.dressed import PASSAGES


@pytest.mark.parametrize("cut", range(0, 9))
def test_a_run_that_lost_its_beginning_is_read_from_the_next_group(cut: int) -> None:
    run = base64.b64encode(PASSAGES[0].encode()).decode()[cut:]
    texts = [reading.text for reading in RUNS.decode(Stretch(run)) if reading.view == "base64"]
    assert any(PASSAGES[0][10:] in text for text in texts)


def test_each_character_has_the_place_of_its_own_group() -> None:
    run = base64.b64encode(PASSAGES[0].encode()).decode()
    (reading,) = (reading for reading in RUNS.decode(Stretch(run)) if reading.view == "base64")
    for at, (start, end) in enumerate(reading.places):
        assert (start, end) == (8 * at // 6, (8 * at + 7) // 6 + 1)


def test_characters_of_several_bytes_stand_for_all_of_them() -> None:
    word = "caf\u00e9 \u2014 na\u00efve caf\u00e9 \u4eca"
    run = word.encode().hex()
    (reading,) = (reading for reading in RUNS.decode(Stretch(run)) if reading.view == "base16")
    assert reading.text == word
    assert reading.places[3] == (6, 10)


ENCODINGS = {"base16", "base32", "base64", "base85", "ascii85", "z85", "binary", "decimal codes", "octal codes"}


@pytest.mark.parametrize("data", [bytes(range(128, 228)), random.Random(3).randbytes(120), b"\x89PNG\r\n" * 20])
def test_bytes_that_are_no_text_have_no_reading(data: bytes) -> None:
    for run in (base64.b64encode(data).decode(), data.hex(), " ".join(map(str, data)), base64.b85encode(data).decode()):
        assert not {reading.view.split("+")[0] for reading in readings(run)} & ENCODINGS
