"""What the index knows an entry by covers all of its texts, and survives being kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.fingerprint import Fingerprint
from guard.letters import LetterPrint, letter_print
from guard.names import Mentions, mentions
from guard.segments import DEFAULT_RULE
from guard.verdict import Kind
from index.embedder import Vectors
from index.entry import Content
from index.forms import Form, entry_windows
from index.imprint import HASH_BYTES, Imprint, Imprinter, Mark, static_key
from index.mentioned import hashed
from index.recorder import Recorder
from index.sealing import Sealer

TWO = "Basil Orsk was born in the village of Tern. He kept the northern lamp for thirty years."
ASKED = "Where was Basil Orsk born?"
HASHES = st.frozensets(st.integers(0, 2**64 - 1), max_size=20)
MARKS = st.builds(Mark, st.sampled_from(Form), st.booleans())
PRINTS = st.lists(st.builds(Fingerprint, st.integers(1, 8), HASHES, HASHES), max_size=3)
LETTERS = st.lists(st.builds(LetterPrint, st.integers(1, 40), HASHES), max_size=3)
SETS = st.builds(Mentions, *[HASHES] * len(fields(Mentions)))


def floats(rows: int, dimensions: int) -> Vectors:
    return np.random.default_rng(dimensions).standard_normal((rows, dimensions)).astype(np.float32)


def alike(mine: Vectors, theirs: Vectors) -> bool:
    """True when the rows of unit vectors are the same, however they were batched and at whatever precision."""
    return mine.shape == theirs.shape and bool(((mine * theirs).sum(axis=1) > 0.999).all())


@given(st.lists(MARKS, max_size=9), PRINTS, LETTERS, SETS, st.sampled_from([0, 3]), st.binary(max_size=20))
def test_an_imprint_survives_its_bytes(marks, prints, letters, mentioned, dimensions, head) -> None:
    static = floats(len(marks), dimensions) if dimensions else floats(0, 0)
    made = Imprint(tuple(marks), floats(len(marks), 5), tuple(prints), mentioned, tuple(letters), static, head)
    again = Imprint.from_bytes(made.vector_bytes(), made.fingerprint_bytes())
    for part in ("marks", "fingerprints", "mentions", "letters", "head"):
        assert getattr(again, part) == getattr(made, part)
    np.testing.assert_array_equal(again.vectors, made.vectors)
    np.testing.assert_array_equal(again.static, static)
    assert again.static.shape == static.shape


def test_bytes_of_another_version_are_refused() -> None:
    made = Imprint((Mark(Form.STATEMENT),), np.zeros((1, 2), dtype=np.float32))
    with pytest.raises(ValueError, match="vectors of version 9"):
        Imprint.from_bytes(b"\x09" + made.vector_bytes()[1:], made.fingerprint_bytes())
    with pytest.raises(ValueError, match="fingerprints of version 9"):
        Imprint.from_bytes(made.vector_bytes(), b"\x09" + made.fingerprint_bytes()[1:])


def test_every_window_of_every_text_has_a_vector(embedder, shingler) -> None:
    content = Content(TWO, "", ("The keeper came from Tern, people say.",), ("Basil is a herb that grows in pots.",))
    (made,) = Imprinter(embedder, shingler).imprint([(Kind.FACT, content)])
    assert made.marks == (Mark(Form.STATEMENT),) * 4 + (Mark(Form.STATEMENT, counter=True),)
    texts = [w for t in (TWO, *content.examples, *content.counterexamples) for w in entry_windows(t, DEFAULT_RULE)]
    assert alike(made.vectors, embedder.encode(texts))
    assert made.fingerprints == ()


def test_with_a_prompt_each_window_stands_as_an_exchange_too(embedder, shingler) -> None:
    (made,) = Imprinter(embedder, shingler).imprint([(Kind.FACT, Content("In Tern.", ASKED))])
    assert made.marks == (Mark(Form.TURN), Mark(Form.STATEMENT), Mark(Form.EXCHANGE))
    expected = embedder.encode([ASKED, "In Tern.", f"{ASKED} In Tern."])
    assert alike(made.vectors, expected)


def test_passages_have_a_fingerprint_per_text(embedder, shingler) -> None:
    content = Content(TWO, examples=("amber falcon",), counterexamples=("green falcon",))
    (made,) = Imprinter(embedder, shingler).imprint([(Kind.PASSAGE, content)])
    assert [known.length for known in made.fingerprints] == [8, 2]
    assert made.letters == (letter_print(TWO, shingler),), "the second text has too few letters"


def test_a_fact_is_known_by_the_names_it_mentions_hashed(embedder, shingler) -> None:
    content = Content("In Tern, of course.", "Where was Basil Orsk born?", ("The village of Tern.",), ("On Mars.",))
    (made,) = Imprinter(embedder, shingler).imprint([(Kind.FACT, content)])
    assert made.mentions == hashed(mentions(content.prompt, content.text, *content.examples), shingler)
    assert len(made.mentions.names) == 3


class Lengths:
    """A model that knows of a text how long it is."""

    dimensions = 1
    hash = "5a" * 32

    def encode(self, texts: Sequence[str]) -> Vectors:
        return np.array([[len(text)] for text in texts], dtype=np.float32)


def test_a_static_model_sees_the_same_texts_in_the_same_order(embedder, shingler) -> None:
    contents = [(Kind.FACT, Content("In Tern.", ASKED)), (Kind.PASSAGE, Content(TWO))]
    first, second = Imprinter(embedder, shingler, static=Lengths()).imprint(contents)
    assert first.static_hash == second.static_hash == static_key(Lengths()) != bytes(HASH_BYTES)
    assert first.static.tolist() == [[len(ASKED)], [len("In Tern.")], [len(f"{ASKED} In Tern.")]]
    assert len(second.static) == len(second.marks)
    assert Imprinter(embedder, shingler).imprint(contents)[0].static.shape == (0, 0)


def test_openings_are_kept_and_imprints_made_before_there_were_any_have_none(embedder, shingler) -> None:
    (made,) = Imprinter(embedder, shingler, static=Lengths()).imprint([(Kind.FACT, Content(TWO, ASKED))])
    assert made.openings.dtype == np.int8 and len(made.openings) > 2
    data, prints = made.vector_bytes(), made.fingerprint_bytes()
    np.testing.assert_array_equal(Imprint.from_bytes(data, prints).openings, made.openings)
    older = replace(made, openings=Imprint((), made.vectors).openings).vector_bytes()
    assert Imprint.from_bytes(older, prints).openings.shape == (0, 0) and data.startswith(older)
    assert Imprinter(embedder, shingler).imprint([(Kind.FACT, Content(TWO))])[0].openings.shape == (0, 0)


def test_only_a_concept_has_a_head_and_it_is_made_of_its_own_vectors(embedder, shingler) -> None:
    def head(marks: Sequence[Mark], vectors: Vectors) -> bytes:
        return bytes([len(marks), len(vectors), sum(mark.counter for mark in marks)])

    contents = [(Kind.FACT, Content(TWO)), (Kind.CONCEPT, Content("Nine lamps of the harbour", "", (), ("A herb.",)))]
    heads = [made.head for made in Imprinter(embedder, shingler, head_maker=head).imprint(contents)]
    assert heads == [b"", bytes([2, 2, 1])]
    assert Imprinter(embedder, shingler).imprint(contents)[1].head == b""


def test_what_imprints_depend_on_is_named(embedder, shingler) -> None:
    plain = Imprinter(embedder, shingler)
    assert plain.format == replace(plain, static=Lengths()).format, "sealed entries outlive a static model"
    assert Recorder(plain, Sealer(bytes(32))).basis.endswith(plain.format)


def test_a_long_text_is_embedded_to_its_end(embedder, shingler) -> None:
    secret = "Basil Orsk was born in the village of Tern."
    text = "wind and rain without any full stop " * 200 + secret
    (made,) = Imprinter(embedder, shingler).imprint([(Kind.PASSAGE, Content(text))])
    assert (made.vectors @ embedder.encode([secret]).T).max() > 0.6


def test_entries_imprinted_together_are_as_if_imprinted_alone(embedder, shingler) -> None:
    both = [(Kind.FACT, Content(TWO, "Who was Basil Orsk?")), (Kind.CONCEPT, Content("The nine lamps of the harbour"))]
    maker = Imprinter(embedder, shingler)
    for together, alone in zip(maker.imprint(both), (maker.imprint([one])[0] for one in both), strict=True):
        assert (together.marks, together.mentions) == (alone.marks, alone.mentions)
        assert alike(together.vectors, alone.vectors)
