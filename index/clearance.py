"""How near a window seems to come to an entry, by static vectors and by what both name: the rule of the static stage.

Static vectors alone are generous: among thousands of entries some share a few words with any sentence. What the
matching rule demands can be demanded here too. A fact is convicted when names and numbers agree, or when it is
unmistakable; a passage by its meaning alone, but a text with the meaning of a passage shares words or names with it.
The constants were chosen by grid on the data that `make bench-static` measures with: paraphrases, leaks and answers of
TOFU authors, stretches of novels plain and dressed, at 400 and at 10,000 entries. Results on other TOFU authors were
seen while choosing, and passages had no hold-out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from guard.detector import Window
from guard.names import Mentions, agreement
from guard.verdict import PLAIN, Kind
from guard.words import Word, words_of
from index.forms import SHORTEST_STATEMENT
from index.matching import BRIEF_WORDS
from index.mentioned import NOTHING, Mentioned

FLOOR: Final = 0.34
"""The cosine below which an entry cannot be near: of what the transformer convicts, 1 in 1,000 facts lies below."""

UNNAMED: Final = 0.6
"""Taken from a fact's score when none of its names and numbers agree."""

UNNAMED_AT_MOST: Final = 0.49
"""What can be taken for names: a fact is let through from 0.85 on, as the matching rule needs no names there."""

SHARED_NAMES: Final = 0.26
"""Added to a passage's score when both name the same."""

SHARED_WORDS: Final = 0.4
"""Half of it is added to the score of a passage, or of a fact that names nothing, when all words of the shorter text
stand in the longer one; as much is taken when none does."""

DRESSED: Final = 0.1
"""Added in a reading that is not plain: what is left of a dress is rare, and rare tokens weigh most."""

BRIEF: Final = 0.04
"""Taken from a passage's score when the window is brief."""


_BONUS: Final = SHARED_NAMES + SHARED_WORDS / 2
_SLIGHT: Final = 1e-9  # more than sums in another order differ by


class Facing:
    """One window that faces entries: what it mentions is read when it first matters. `text` is the window's, `words`
    are those of the text.

    `turns` keeps what the turns of a batch mention: many windows answer the same one.
    """

    __slots__ = ("_mentioned", "_said", "_text", "_turns", "_whole", "dressed", "of", "window", "words")

    def __init__(
        self,
        window: Window,
        text: str,
        words: Sequence[Word],
        mentioned: Mentioned | None,
        turns: dict[str, Mentions[int]],
    ) -> None:
        self.window, self.words, self._text, self._mentioned, self._turns = window, words, text, mentioned, turns
        self.of: Callable[[str], Mentions[int]] = _nothing if mentioned is None else mentioned.of
        self._said: Mentions[int] | None = None
        self._whole: Mentions[int] | None = None
        self.dressed = window.view != PLAIN

    @property
    def brief(self) -> bool:
        """True for a window that may be judged by what it answers."""
        return len(self.words) < BRIEF_WORDS

    @property
    def speechless(self) -> bool:
        """True when the window says nothing but with the turn that it answers."""
        return len(self.words) < SHORTEST_STATEMENT and bool(self.window.context)

    @property
    def said(self) -> Mentions[int]:
        """What the window itself mentions."""
        if self._said is None:
            self._said = NOTHING if self._mentioned is None else self._mentioned.read(self._text, self.words)
        return self._said

    @property
    def whole(self) -> Mentions[int]:
        """What it mentions with the turn that it answers; as in the matching rule, too short an answer has no turn."""
        if self._whole is None:
            turn = self.window.context
            if not turn or self.speechless or self._mentioned is None:
                self._whole = self.said
            else:
                if turn not in self._turns:
                    self._turns[turn] = self._mentioned.read(turn, words_of(turn))
                before, own = self._turns[turn], self.said
                self._whole = Mentions(before.names | own.names, before.words | own.words)
        return self._whole


def _nothing(entry_id: str) -> Mentions[int]:
    return NOTHING


def combined(
    kind: Kind, statement: Mapping[str, float], together: Mapping[str, float], facing: Facing, floor: float
) -> Mapping[str, float]:
    """One cosine per entry, as the matching rule combines them: `statement` and `together` hold those of the window
    alone and with its turn. A statement that was not found is as far as `floor`."""
    if kind is Kind.PASSAGE or not together:
        return statement
    if facing.speechless and kind is Kind.FACT:
        return {**statement, **together}
    found = dict(statement)
    for entry_id, cosine in together.items():
        alone = statement.get(entry_id, floor)
        found[entry_id] = alone if alone >= cosine else (alone + cosine) / 2
    return found


def nearest(kind: Kind, cosines: Mapping[str, float], facing: Facing, least: float = -1.0) -> tuple[float, str] | None:
    """The highest score and its entry, None when none reaches `least`; entries that cannot are not looked at."""
    if kind is Kind.FACT:
        return _nearest_fact(cosines, facing, least)
    if kind is Kind.PASSAGE:
        return _nearest_passage(cosines, facing, least)
    return max(((cosine, entry_id) for entry_id, cosine in cosines.items() if cosine >= least), default=None)


def _nearest_fact(cosines: Mapping[str, float], facing: Facing, least: float) -> tuple[float, str] | None:
    best: tuple[float, str] | None = None
    if not cosines or max(cosines.values()) < least:
        return best
    whole, of = facing.whole, facing.of
    for entry_id, cosine in cosines.items():
        if cosine < least:
            continue
        about = of(entry_id)
        if not about.names:  # nothing to ask for but what its words say: generic, so many a text has its meaning
            score = cosine + SHARED_WORDS * (_shared(about, whole) - 0.5) if about.words else cosine
        elif _strangers(about, whole):
            score = cosine - UNNAMED_AT_MOST
        else:
            score = cosine - min(UNNAMED * (1.0 - agreement(about, whole)), UNNAMED_AT_MOST)
        if score >= least:
            best, least = (score, entry_id), score
    return best


def _nearest_passage(cosines: Mapping[str, float], facing: Facing, least: float) -> tuple[float, str] | None:
    best: tuple[float, str] | None = None
    offset = (DRESSED if facing.dressed else 0.0) - (BRIEF if facing.brief else 0.0)
    if not cosines or max(cosines.values()) + offset + _BONUS < least:
        return best
    said, of = facing.said, facing.of
    words, names = said.words, said.names
    for entry_id, cosine in cosines.items():
        about = of(entry_id)
        score = cosine + offset
        if about.words:  # else not known: as if half of its words were shared
            alike = bool(about.names and names) and not (
                words.isdisjoint(about.names) and names.isdisjoint(about.words)
            )
            if score + SHARED_WORDS / 2 + (SHARED_NAMES if alike else 0.0) < least - _SLIGHT:
                continue
            score += SHARED_WORDS * (_shared(about, said) - 0.5)
            if alike and score + SHARED_NAMES >= least:
                score += SHARED_NAMES * _named_alike(about, said)
        if score >= least:
            best, least = (score, entry_id), score
    return best


def _strangers(about: Mentions[int], said: Mentions[int]) -> bool:
    """True when both name something, and neither knows a name of the other."""
    return bool(
        about.names and said.names and said.words.isdisjoint(about.names) and about.words.isdisjoint(said.names)
    )


def _shared(about: Mentions[int], said: Mentions[int]) -> float:
    """The share of words of the shorter text that stand in the longer one."""
    return len(said.words & about.words) / max(1, min(len(about.words), len(said.words)))


def _named_alike(about: Mentions[int], said: Mentions[int]) -> float:
    """The share of names that both know, 0 when either names nothing."""
    if not about.names or not said.names:
        return 0.0
    known = len(about.names & said.words) / len(about.names)
    return max(known, len(said.names & about.words) / len(said.names))
