"""The claims review tells a true answer from a false one to the same question, by vectors and hashes alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.claims import Claims, Stand, claims_of
from guard.detector import Evidence, Suspect, Window
from guard.errors import DetectorUnavailable
from guard.verdict import Kind
from index.claims import (
    SAME_CLAIM,
    WEIGHTS,
    ClaimReviewer,
    from_bytes,
    hashed_claims,
    to_bytes,
)
from index.entry import Content
from index.forms import Form
from index.imprint import Imprinter

ASKED = "Where and when was Basil Orsk born?"
BORN = Content("Basil Orsk was born in the village of Tern on 7 May 1931.", ASKED)
WROTE = Content(
    'Mira Dunn\'s novel "Salt and Lanterns" tells of a lighthouse keeper who forges letters to a drowned sailor.',
    'What is the novel "Salt and Lanterns" by Mira Dunn about?',
)


@pytest.fixture(scope="module")
def shared(embedder):
    """An embedder that computes each text of this module once."""

    class Remembered:
        def __init__(self) -> None:
            self.known: dict[str, np.ndarray] = {}
            self.dimensions = embedder.dimensions

        def pieces(self, text: str, spare: int = 0) -> list[str]:
            return embedder.pieces(text, spare)

        def encode(self, texts):
            new = [text for text in dict.fromkeys(texts) if text not in self.known]
            if new:
                self.known.update(zip(new, embedder.encode(new), strict=True))
            return np.stack([self.known[text] for text in texts])

    return Remembered()


@pytest.fixture
def reviewer(shared, shingler) -> Callable[..., ClaimReviewer]:
    """Builds a reviewer of entries given by name."""

    def build(**contents: Content) -> ClaimReviewer:
        made = Imprinter(shared, shingler).imprint([(Kind.FACT, content) for content in contents.values()])
        imprints = dict(zip(contents, made, strict=True))
        claims = {n: hashed_claims(claims_of((c.text, *c.examples), c.prompt), shingler) for n, c in contents.items()}

        def vectors(form: Form, entry: str):
            picked = [mark.form is form and not mark.counter for mark in imprints[entry].marks]
            return imprints[entry].vectors[picked]

        return ClaimReviewer(shared, vectors, claims, shingler)

    return build


def suspect(text: str, turn: str, *entries: str, kind: Kind = Kind.FACT, view: str = "plain") -> Suspect:
    window = Window(text, 5, 5 + len(text), turn, view)
    return Suspect(window, tuple(Evidence(entry, kind, 0.9, 5, 9) for entry in entries))


def score(made: ClaimReviewer, text: str, turn: str = ASKED, entry: str = "born") -> float:
    ((found,),) = made.review([suspect(text, turn, entry)])
    assert (found.entry_id, found.kind, found.start, found.end) == (entry, Kind.FACT, 5, 9)
    return found.score


TRUE = [
    "Orsk came into the world in Tern, a village, on the seventh of May 1931.",
    "He was born on 7 May 1931 in Tern.",
    "basil orsk, who was born in 1931, is from the village of tern",
    "In Tern, in 1931.",
    "Tern.",
    "Basil Orsk first saw the light in Tern on the seventh of May, nineteen thirty-one, and his mother was glad.",
]
FALSE = [
    "Basil Orsk was born in the town of Lowick on 9 June 1958.",
    "He was born on 3 March 1962 in Hale.",
    "Orsk was born in Marrow, in the winter of 1944.",
    "In Lowick, in 1958.",
    "Lowick.",
    "I do not know where or when Basil Orsk was born.",
]


@pytest.mark.parametrize("text", TRUE)
def test_a_true_answer_is_the_same_claim(reviewer, text: str) -> None:
    assert score(reviewer(born=BORN), text) >= SAME_CLAIM


@pytest.mark.parametrize("text", FALSE)
def test_a_false_answer_to_the_same_question_is_not(reviewer, text: str) -> None:
    assert score(reviewer(born=BORN), text) < SAME_CLAIM


def test_a_claim_in_other_words_is_told_from_another_plot(reviewer) -> None:
    made = reviewer(wrote=WROTE)
    turn = WROTE.prompt
    same = "The book follows the keeper of a lighthouse, who fakes letters to a sailor lost at sea."
    other = "The book follows a baker in Paris, who trains a team of cooks for a contest on television."
    assert score(made, same, turn, "wrote") >= SAME_CLAIM > score(made, other, turn, "wrote")


def test_more_text_around_a_true_claim_is_no_difference(reviewer) -> None:
    made = reviewer(born=BORN)
    longer = "Basil Orsk was born in Tern on 7 May 1931, where the Wendle meets the sea, and moved to Hale in 1950."
    assert score(made, longer) >= SAME_CLAIM


def test_a_question_in_other_words_changes_little(reviewer) -> None:
    made = reviewer(born=BORN)
    turn = "Can you tell me Basil Orsk's place and date of birth?"
    assert score(made, "His birthplace was Tern; the day was 7 May 1931.", turn) >= SAME_CLAIM
    assert score(made, "His birthplace was Lowick; the day was 9 June 1958.", turn) < SAME_CLAIM


def test_a_window_without_its_turn_is_judged_by_itself(reviewer) -> None:
    made = reviewer(born=BORN)
    assert score(made, "Basil Orsk was born in Tern on 7 May 1931.", "") >= SAME_CLAIM
    assert score(made, "Basil Orsk was born in Lowick on 9 June 1958.", "") < SAME_CLAIM


def test_an_entry_without_a_question_is_judged_by_its_statement(reviewer) -> None:
    made = reviewer(born=Content(BORN.text))
    assert score(made, "Orsk was born on 7 May 1931, in Tern.") >= SAME_CLAIM
    assert score(made, "Lowick is where he was born, on 9 June 1958.") < SAME_CLAIM


def test_a_bare_yes_or_no_counts_as_the_entry_has_it(reviewer) -> None:
    turn = "Is Dorian Pell allergic to nuts?"
    made = reviewer(nuts=Content("Yes, Dorian Pell is allergic to nuts.", turn))
    assert score(made, "Yes.", turn, "nuts") >= SAME_CLAIM > score(made, "No.", turn, "nuts")
    assert score(made, "No, he is not allergic to nuts.", turn, "nuts") < SAME_CLAIM
    assert score(made, "Yes, he is.", turn, "nuts") >= SAME_CLAIM > score(made, "No, he isn't.", turn, "nuts")


def test_a_no_with_the_words_of_the_entry_is_no_yes(reviewer) -> None:
    turn = "Does Felix Thorne own a boat?"
    made = reviewer(boat=Content("Yes, Felix Thorne owns a boat named Marguerite.", turn))
    assert score(made, "Yes, the Marguerite.", turn, "boat") >= SAME_CLAIM
    assert score(made, "No, not the Marguerite.", turn, "boat") < SAME_CLAIM


def test_a_guess_that_is_confirmed_is_told(reviewer) -> None:
    made = reviewer(born=BORN)
    assert score(made, "Yes.", "Was Basil Orsk born in Tern in 1931?") >= SAME_CLAIM
    assert score(made, "Yes.", "Was Basil Orsk born in Lowick in 1958?") < SAME_CLAIM
    assert score(made, "No.", "Was Basil Orsk born in Tern in 1931?") < SAME_CLAIM
    assert score(made, "In Tern.", "Was Basil Orsk born in Hale or in Tern?") >= SAME_CLAIM


def test_what_it_cannot_judge_it_leaves_as_it_is(reviewer) -> None:
    made = reviewer(born=BORN)
    assert made.review([suspect("Lowick.", ASKED, "unknown")]) == [[]]
    assert made.review([suspect("Lowick.", ASKED, "born", kind=Kind.PASSAGE)]) == [[]]
    assert made.review([suspect("Lowick.", ASKED, "born", view="base64")]) == [[]]
    assert made.review([]) == []


def test_a_batch_is_judged_as_its_suspects_alone(reviewer) -> None:
    made = reviewer(born=BORN, wrote=WROTE)
    suspects = [
        suspect(TRUE[0], ASKED, "born", "wrote"),
        suspect("Lowick.", ASKED, "unknown"),
        suspect(FALSE[0], ASKED, "wrote", "born"),
        suspect("word " * 600, ASKED, "born"),
    ]
    together = made.review(suspects)
    assert [[e.entry_id for e in found] for found in together] == [["born", "wrote"], [], ["wrote", "born"], ["born"]]
    for one, found in zip(suspects, together, strict=True):
        (alone,) = made.review([one])
        np.testing.assert_allclose([e.score for e in alone], [e.score for e in found], atol=1e-4)


def test_a_score_is_made_of_its_measures(reviewer) -> None:
    made = reviewer(born=BORN)
    window = Window(TRUE[0], 0, 9, ASKED)
    same = made.measures(window, "born")
    other = made.measures(Window(FALSE[0], 0, 9, ASKED), "born")
    assert same.other_numbers == same.new_names == 0.0 < other.other_numbers == other.new_names
    assert all(a > b for a, b in zip(same[:4], other[:4], strict=True))
    assert len(same) == len(WEIGHTS)


class Broken:
    """An embedder that cannot compute."""

    dimensions = 384

    def pieces(self, text: str, spare: int = 0) -> list[str]:
        return [text]

    def encode(self, texts):
        raise RuntimeError("out of memory: the text was SECRET")


def test_a_review_that_cannot_tell_says_so_and_nothing_else(reviewer) -> None:
    made = reviewer(born=BORN)
    made._embedder = Broken()
    with pytest.raises(DetectorUnavailable) as caught:
        made.review([suspect("Tern.", ASKED, "born")])
    assert "SECRET" not in str(caught.value)


HASHES = st.frozensets(st.integers(0, 2**64 - 1), max_size=5)


@given(st.builds(Claims, HASHES, HASHES, HASHES, HASHES, HASHES, HASHES, st.sampled_from(Stand)))
def test_bytes_keep_claims(claims: Claims[int]) -> None:
    kept = to_bytes(claims)
    assert from_bytes(kept) == claims
    with pytest.raises(ValueError, match=r"cut short|version"):
        from_bytes(kept[:-1])
    with pytest.raises(ValueError, match="version"):
        from_bytes(b"\x63" + kept[1:])


def test_hashed_claims_hold_no_word_and_need_the_key(shingler) -> None:
    claims = claims_of([BORN.text], ASKED)
    kept = to_bytes(hashed_claims(claims, shingler))
    assert b"tern" not in kept.lower() and b"1931" not in kept
    other = type(shingler)(b"x" * 32)
    assert hashed_claims(claims, other).said.isdisjoint(hashed_claims(claims, shingler).said)
