"""What a text claims beyond the turn that it answers, and how far two texts agree in it.

An answer to the same question comes close in meaning whether it is true or not. What tells the two apart is what is
*new* in them: the names, numbers, dates and other content words that the question does not hold already. They are
compared as *terms*: words without their endings, numbers as digits however they were written. English only: in
another language words are compared as they stand, and number words stay words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

from guard.names import names_of, plain
from guard.numerals import numerals
from guard.words import words_of

LONGEST_TERM: Final = 6
"""Letters of a word that are compared: "sexual" and "sexuality" are one term, as are "Kuwait" and "Kuwaiti"."""

LONGEST_STAND: Final = 16
"""Words up to which an answer without a yes or no is read as one, by whether it denies something."""

FEWEST_MARKS: Final = 2
"""Names and numbers that an entry must claim to be known by them alone."""

_ENDINGS: Final = (("ings", 4), ("ing", 4), ("edly", 4), ("ed", 4), ("ies", 3), ("es", 3), ("s", 3), ("ly", 4))
COMMON: Final = frozenset(
    re.split(
        " ",
        "a an the in on at of for from to by with as and but or nor so yet if while when where what which who whom "
        "whose why how is are was were be been being do does did has have had can could may might will would should "
        "shall must yes no not any all some one his her its their our your my he she it they we you i this that these "
        "those there here although though however despite through throughout after before since during following "
        "according indeed into over under among both each also apart besides such like many most more other another "
        "than then about him them us me himself herself itself themselves up out off only own same too very just s t d "
        "ll re ve m didn doesn don isn aren wasn weren hasn haven hadn wouldn couldn can upon within without across "
        "along around between because until against never called named name",
    )
)
"""Words that claim nothing by themselves."""

_AGREES: Final = frozenset(("yes", "indeed", "certainly", "absolutely", "correct", "true", "right", "yeah"))
_DENIES: Final = frozenset(("no", "nope", "never", "incorrect", "false", "wrong", "none"))
_NEGATES: Final = frozenset(("not", "never", "no", "neither", "none", "without", "cannot"))
_NEGATED: Final = re.compile(r"n['\u2019]t\b", re.IGNORECASE)
_ASKS_WHETHER: Final = frozenset(
    re.split(" ", "is are was were do does did has have had can could may might will would should shall must isn aren")
)

_SENTENCE_ENDS: Final = re.compile(r"(?<=[.!?;\u2026\u3002\uff01\uff1f])\s+|\n+")

T = TypeVar("T", str, int)
U = TypeVar("U", str, int)


class Stand(StrEnum):
    """What an answer says to a question that wants a yes or a no."""

    YES = "yes"
    NO = "no"
    NONE = ""


@dataclass(frozen=True, slots=True)
class Claims(Generic[T]):
    """The terms of a text and of the turn that it answers: strings, or keyed hashes of them.

    `asked` are the terms of the turn. `names`, `numbers` and `words` are what the text says beyond them, `said` are all
    of its terms. `figures` are the numbers of three digits and more: years and amounts, which outweigh the day of a
    month. `stand` is empty where the turn wants no yes or no. `parts` is what each sentence says beyond the turn, where
    that was asked for (`sentences_of`).
    """

    asked: Set[T]
    names: Set[T]
    numbers: Set[T]
    figures: Set[T]
    words: Set[T]
    said: Set[T]
    stand: Stand = Stand.NONE
    parts: tuple[Set[T], ...] = ()

    @property
    def new(self) -> Set[T]:
        """Everything that is said beyond the turn."""
        return self.names | self.numbers | self.words

    def keyed(self, key: Callable[[T], U]) -> Claims[U]:
        """The same with another name for each term."""

        def renamed(terms: Set[T]) -> frozenset[U]:
            return frozenset(key(term) for term in terms)

        return Claims(
            renamed(self.asked),
            renamed(self.names),
            renamed(self.numbers),
            renamed(self.figures),
            renamed(self.words),
            renamed(self.said),
            self.stand,
            tuple(renamed(part) for part in self.parts),
        )


_NONE: Final[frozenset[int]] = frozenset()
NOTHING_CLAIMED: Final[Claims[int]] = Claims(_NONE, _NONE, _NONE, _NONE, _NONE, _NONE)


def claims_of(texts: Iterable[str], prompt: str = "") -> Claims[str]:
    """What these texts claim in answer to `prompt`. Linear in their length."""
    asked = _Terms(prompt)
    found = [_Terms(text) for text in texts]
    said = frozenset().union(*(each.every for each in found))
    numbers = frozenset().union(*(each.numbers for each in found)) - asked.every
    names = frozenset().union(*(each.names for each in found)) - asked.every - numbers
    figures = frozenset(number for number in numbers if number.isdigit() and len(number) > 2)
    stand = _stand(found[0], asked) if found else Stand.NONE
    return Claims(asked.every, names, numbers, figures, said - asked.every - names - numbers, said, stand)


def sentences_of(texts: Iterable[str], prompt: str = "") -> tuple[frozenset[str], ...]:
    """What each sentence of these texts says beyond `prompt`; sentences that say nothing are left out."""
    asked = _Terms(prompt).every
    found = (_Terms(sentence).every - asked for text in texts for sentence in _SENTENCE_ENDS.split(text))
    return tuple(part for part in found if part)


class _Terms:
    """The terms of one text."""

    __slots__ = ("every", "names", "negated", "numbers", "words")

    def __init__(self, text: str) -> None:
        read = words_of(text)
        self.words = [plain(word.norm) for word in read]
        self.numbers, taken = numerals(text, read)
        names = names_of(text, read) - {self.words[i] for i in taken}
        self.names = frozenset(term_of(name) for name in names if not name[0].isdigit() and name not in COMMON)
        self.every = self.numbers | {
            term_of(norm) for i, norm in enumerate(self.words) if i not in taken and _counts(norm)
        }
        self.negated = bool(_NEGATED.search(text)) or not _NEGATES.isdisjoint(self.words)


def _counts(norm: str) -> bool:
    return len(norm) > 1 and norm not in COMMON and not norm.isdigit()


def term_of(word: str) -> str:
    """A normalised word without its ending, at most `LONGEST_TERM` letters; what holds a digit stays as it is."""
    if any(c.isdigit() for c in word):
        return word
    for ending, left in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= left:
            word = word[: -len(ending)]
            break
    return word[:LONGEST_TERM]


def _stand(answer: _Terms, asked: _Terms) -> Stand:
    """Whether an answer says yes or no: its first word decides, else whether a brief text denies what was asked."""
    if not asked.words or asked.words[0] not in _ASKS_WHETHER or not answer.words:
        return Stand.NONE
    if answer.words[0] in _AGREES:
        return Stand.YES
    if answer.words[0] in _DENIES:
        return Stand.NO
    if len(answer.words) > LONGEST_STAND:
        return Stand.NONE
    return Stand.NO if answer.negated else Stand.YES


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a text agrees with what an entry claims.

    `told` is the share of the entry's new terms that the text holds, `borne` the share of the text's new terms that
    the entry holds; None where there are none. Numbers, names and stands *differ* where the text has another one in the
    place of the entry's: what it merely leaves out, or adds beside it, is no difference. `new_names` says that it names
    what the entry never mentions. It is `complete` when it has every name and number of the entry, two at least, and
    none of its own. A *bare* text has no new terms.
    """

    told: float | None
    borne: float | None
    numbers_differ: bool
    names_differ: bool
    new_names: bool
    stands_differ: bool
    stands_agree: bool
    complete: bool
    bare: bool


def compare(entry: Claims[T], text: Claims[T]) -> Agreement:
    """`text` says what an answer says in answer to its own turn, which may ask in other words than the entry's.

    What the entry claims counts as new even when the turn offers it ("1957 or 1958?"), and a bare yes says what its
    turn says ("Was it in 1958?").
    """
    known = entry.said | entry.asked
    said = text.said
    new = (text.new | (said & entry.new)) - entry.asked
    if text.stand is Stand.YES and not entry.stand and said <= entry.asked:
        said, new = text.asked, text.asked - entry.asked
    marked = entry.names | entry.numbers
    told = len(entry.new & said) / len(entry.new) if entry.new else None
    borne = len(new & entry.said) / len(new) if new else None
    return Agreement(
        told=told,
        borne=borne,
        numbers_differ=_figures_differ(entry, text, known),
        names_differ=_differ(entry.names, text.names - entry.asked, said, known),
        new_names=not text.names <= known,
        # a yes that is followed by more is judged by what follows
        stands_differ=bool(entry.stand and text.stand and entry.stand != text.stand)
        and (not new or text.stand is Stand.NO),
        stands_agree=bool(entry.stand and entry.stand == text.stand),
        complete=len(marked) >= FEWEST_MARKS and marked <= said and text.names | text.numbers <= known,
        bare=not new,
    )


def _figures_differ(entry: Claims[T], text: Claims[T], known: Set[T]) -> bool:
    figures = text.figures - entry.asked
    if entry.figures and figures:
        return _differ(entry.figures, figures, text.said, known)
    return _differ(entry.numbers, text.numbers - entry.asked, text.said, known)


def _differ(claimed: Set[T], new: Set[T], said: Set[T], known: Set[T]) -> bool:
    return bool(claimed and new) and claimed.isdisjoint(said) and new.isdisjoint(known)
