"""What is put together from what was read before reads as if it were read whole."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.windows import windows_of
from guard.words import words_of
from index.forms import exchange
from index.static import StaticModel
from index.static_reader import StaticReader, unit

PIECES = ["It rained.", "In 1648", "the old man", "didn't go", "on.", "Na\u00efve caf\u00e9s!", "\n1. **Set** goals:"]
PIECES += ["well-known", "\u4e16\u754c", "(see below)", "Orsk, they said;", "...", "e-mail: a@b.c", "3.14"]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=30), st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_windows_read_the_same_in_any_order_and_put_together(
    static_model: StaticModel, pieces: list[str], one_by_one: bool
) -> None:
    windows = windows_of(" ".join(pieces), context="What happened in Orsk?")
    texts = [window.text.strip() for window in windows]
    reader = StaticReader(static_model)
    reads = [reader.windows([text])[0] for text in texts] if one_by_one else reader.windows(texts)
    turns = [window.context for window in windows]
    asked = reader.exchanges(turns, texts)
    for text, read, turn, pair in zip(texts, reads, turns, asked, strict=True):
        total, tokens, known = static_model.read(text)
        assert (read.tokens, read.known) == (tokens, known)
        assert np.allclose(read.total, total, atol=1e-4)
        assert list(read.words) == words_of(text)
        assert np.allclose(pair.total, static_model.read(exchange(turn, text))[0], atol=1e-4)
    if reads:
        assert np.allclose(unit(reads), static_model.encode(texts), atol=1e-5)
