"""Very common words, and what they become under simple ciphers: one look-up tells how a word is dressed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final


def listed(words: str) -> list[str]:
    """The words of a list written as text."""
    return words.split()


_ENGLISH: Final = listed("""
the of and to in a i is that it was for on with he as be at by this had not are but from or have an they which one you
were her all she there would their we him been has when who will more no if out so said what up its about into than
them can only other new some could time these two may then do first any my now such like our over man me even most
made after also did many before must through back years where much your way well down should because each just those
people how too little good very make world still own see men work long get here between both life being under never
day same another know while last might us great old year off come since against go came right used take three
himself few house use place every found part another once though always away something seemed without nothing again
upon might thought went hand eyes head yes say says let think why tell told asked began looked quite soon having
whom whose shall until among around within however almost enough rather whether perhaps better nor myself themselves
itself saw got give put left night face look room hands knew heart door side end half kind round turned felt water
light things thing father mother voice because word words people young cannot heard done going took set stood white
black during later often called around became following known became used large small different high important
usually help need want find example using include number system during means order state several ever yet far next
name home children women woman certain body fact case point course question reason sort moment towards morning best
along open
""")
_OTHERS: Final = listed("""
der die und das ist nicht den sie mit auf ein eine dem zu von sich des auch es an als im wie war ich er wird bei
noch nach aus einer wenn nur aber man wir oder sind hat kann werden le la les et des est une un du dans que qui pour
pas il elle sur avec ce au ne se plus sont par mais nous vous ont el los las y en que del por con una su para como
se es al lo pero sus fue son este entre cuando muy sin sobre il di che e non per si da con del della sono una al
come anche dei ma le nel gli alla o que e do da em um para com uma os no se na por mais as dos como mas ao das foi
de het een van en dat is op te zijn met voor niet aan er ook als door maar om naar bij uit werd
""")
_NATO: Final = listed("""
alfa alpha bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november oscar papa
quebec romeo sierra tango uniform victor whiskey whisky xray yankee zulu
""")
ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz"

COMMON: Final = frozenset(word for word in (*_ENGLISH, *_OTHERS) if word.isalpha())
"""Words that tell plain text."""

RANK: Final = {word: rank for rank, word in reversed(list(enumerate(_ENGLISH)))}
"""English words, the commonest first."""

NATO: Final = {word: word[0] for word in _NATO} | {"x-ray": "x"}
"""The spelling alphabet."""


def rotated(text: str, by: int) -> str:
    """Each small letter moved `by` places on in the alphabet, each capital in its own."""
    return text.translate(ROTATIONS[by % 26])


def _rotation(by: int) -> dict[int, int]:
    moved = ALPHABET[by:] + ALPHABET[:by]
    return str.maketrans(ALPHABET + ALPHABET.upper(), moved + moved.upper())


ROTATIONS: Final = tuple(_rotation(by) for by in range(26))
"""For `str.translate`: entry n moves letters n places on."""

ATBASH: Final = str.maketrans(ALPHABET + ALPHABET.upper(), ALPHABET[::-1] + ALPHABET[::-1].upper())
"""For `str.translate`: a for z, b for y."""

_TURNED: Final[tuple[tuple[str, Callable[[str], str]], ...]] = (
    *((f"rot{by}", lambda word, by=by: rotated(word, by)) for by in range(1, 26)),
    ("atbash", lambda word: word.translate(ATBASH)),
    ("reversed", lambda word: word[::-1]),
)


def _evidence() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, turn in _TURNED:
        for word in dict.fromkeys(_ENGLISH + _OTHERS):
            turned = turn(word)
            if len(word) > 1 and word.isalpha() and turned != word and turned not in COMMON:
                found[turned] = (*found.get(turned, ()), name)
    for word in NATO:
        found[word] = (*found.get(word, ()), "nato")
    return found


EVIDENCE: Final = _evidence()
"""Common words in disguise: the name of each transform that made the word of a common one."""

KINDS: Final = dict.fromkeys(EVIDENCE, "2") | dict.fromkeys(COMMON, "1")
"""Per known word whether it is plain ("1") or one in disguise ("2")."""
