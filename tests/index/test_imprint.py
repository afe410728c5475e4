"""What the index knows an entry by covers all of its texts, and survives being kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.fingerprint import Fingerprint
from guard.names import Mentions, mentions
from guard.segments import DEFAULT_RULE
from guard.verdict import Kind
from index.entry import Content
from index.forms import Form, entry_windows
from index.imprint import Imprint, Imprinter, Mark
from index.mentioned import hashed

TWO = "Basil Orsk was born in the village of Tern. He kept the northern lamp for thirty years."
ASKED = "Where was Basil Orsk born?"
HASHES = st.frozensets(st.integers(0, 2**64 - 1), max_size=20)
MARKS = st.builds(Mark, st.sampled_from(Form), st.booleans())
PRINTS = st.lists(st.builds(Fingerprint, st.integers(1, 8), HASHES, HASHES), max_size=3)


@given(st.lists(MARKS, max_size=9), PRINTS, st.builds(Mentions, HASHES, HASHES))
def test_an_imprint_survives_its_bytes(marks, prints, mentioned) -> None:
    vectors = np.random.default_rng(1).standard_normal((len(marks), 5)).astype(np.float32)
    made = Imprint(tuple(marks), vectors, tuple(prints), mentioned)
    again = Imprint.from_bytes(made.vector_bytes(), made.fingerprint_bytes())
    assert (again.marks, again.fingerprints, again.mentions) == (made.marks, made.fingerprints, made.mentions)
    np.testing.assert_array_equal(again.vectors, vectors)


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
    np.testing.assert_allclose(made.vectors, embedder.encode(texts), atol=1e-5)
    assert made.fingerprints == ()


def test_with_a_prompt_each_window_stands_as_an_exchange_too(embedder, shingler) -> None:
    (made,) = Imprinter(embedder, shingler).imprint([(Kind.FACT, Content("In Tern.", ASKED))])
    assert made.marks == (Mark(Form.TURN), Mark(Form.STATEMENT), Mark(Form.EXCHANGE))
    expected = embedder.encode([ASKED, "In Tern.", f"{ASKED} In Tern."])
    np.testing.assert_allclose(made.vectors, expected, atol=1e-5)


def test_passages_have_a_fingerprint_per_text(embedder, shingler) -> None:
    content = Content(TWO, examples=("amber falcon",), counterexamples=("green falcon",))
    (made,) = Imprinter(embedder, shingler).imprint([(Kind.PASSAGE, content)])
    assert [known.length for known in made.fingerprints] == [8, 2]


def test_a_fact_is_known_by_the_names_it_mentions_hashed(embedder, shingler) -> None:
    content = Content("In Tern, of course.", "Where was Basil Orsk born?", ("The village of Tern.",), ("On Mars.",))
    (made,) = Imprinter(embedder, shingler).imprint([(Kind.FACT, content)])
    assert made.mentions == hashed(mentions(content.prompt, content.text, *content.examples), shingler)
    assert len(made.mentions.names) == 3


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
        np.testing.assert_allclose(together.vectors, alone.vectors, atol=1e-5)
