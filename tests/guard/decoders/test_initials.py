"""Only letters that run on as inside words are an acrostic."""

from __future__ import annotations

from bench.dresses import DRESSES
from guard.decoders.initials import LONGEST, Initials
from guard.lattice import _WORD_START
from tests.guard.dressed import PASSAGES, PROSE, letters


def test_first_letters_of_prose_are_no_message() -> None:
    stream = Initials("word acrostic", _WORD_START)
    text = PROSE["English"] * 20
    assert not stream.look(text, 0, len(text))


def test_a_message_is_told_once_with_its_places() -> None:
    stream = Initials("word acrostic", _WORD_START)
    text = PROSE["English"] + " " + DRESSES["acrostic of words"](PASSAGES[0])
    assert stream.look(text, 0, len(text))
    reading = stream.reading(text)
    assert reading is not None and reading.lettered
    assert letters(PASSAGES[0]) in letters(reading.text)
    assert [text[start:end].lower() for start, end in reading.places] == list(reading.text)


def test_a_long_stream_keeps_a_bounded_part() -> None:
    stream = Initials("word acrostic", _WORD_START)
    text = DRESSES["acrostic of words"](" ".join(PASSAGES)) + " "
    for _ in range(40):
        stream.look(text, 0, len(text))
    reading = stream.reading(text)
    assert reading is not None and len(reading.text) <= 3 * LONGEST
