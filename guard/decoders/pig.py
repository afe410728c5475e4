"""Pig latin: what a word begins with stands at its end. Several words become the same; the likelier one is read.

How likely a beginning is, and how likely two letters end a word, was counted in three novels of the public domain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Final

from guard.decoders.lexicon import ALPHABET, RANK, listed
from guard.decoders.reading import Decoder, Reading, Scroll, Stretch

# Consonants that words begin with, by half bits: the higher, the rarer.
_ONSETS: Final = {
    onset: -cost
    for cost, onsets in {
        8: "s c r d m h",
        9: "p f l b w",
        10: "t",
        11: "n pr st g",
        12: "sh th tr v ch gr",
        13: "br wh cr cl dr",
        14: "j fl str pl fr bl sp sl",
        15: "y qu k gl",
        16: "sm kn sc thr wr sw",
        17: "tw",
        18: "sk scr sn shr",
        19: "spr",
        20: "ph spl squ",
        21: "gh sch",
        22: "z dw",
        23: "ps",
    }.items()
    for onset in listed(onsets)
}
# Row and column: two letters; z is 0, each step down half a bit: how often a word ends in them.
_ROWS: Final = listed("""
aeakaadeaagnhlagalhkcafdka aaaaeaaaaaaaaaaaaagcaaaaea caaaoaalaakaaacaaadjaaaaha daackaaaaaaaagcaaalaaaaaja
gaathfbaaafjgnagaqqlaaiaia aaaaffaaaaaaaaaaaaegaaaaea aaaalaaiaaaaaecaaakaaaaaea aaaagaaaaaaaaceaaaflaaaaga
eajkgaeaaaajgmbgaiikaaacaa aaaaaaaaaaaaaaaaaaaaaaaaaa aaaajaaaaaaaaaaaaajaaaaafa aaakoiaaaaelcaacaaliaaaaqa
acaalaaaaaaaacagaaiaaaaafa eaamlasaaaiaabaaaanoaaacia adaicceaaahgipegakbidaldea aaaaiaaeaaaaaaaaaajhaaaafa
aaaaaaaaaaaaaaaaaaaaaaaaaa ebaknaaaaahdhidbaankaaaama aaaanaakaafagebcaannaaaafa baaamaalaaaaaaeaaanbaaaama
abagiadaaaajfgaeajliaaaaaa aaaamaaaaaaaaaaaaaaaaaaaca aaabaaaaaaadajcaaaiaaaaaca aaaaaaaaaaaaaaaaaaacaaaaaa
aaaadaaaaaaaaaaaaahaaaaaaa aaaahaaaaaaaaaaaaaaaaaaada
""")
_FINAL: Final = {
    first + second: ord(bits) - ord("z")
    for first, row in zip(ALPHABET, _ROWS, strict=True)
    for second, bits in zip(ALPHABET, row, strict=True)
}
_VOWEL_FIRST: Final = -4
"""Half bits for a word that begins with a vowel."""

_AY: Final = re.compile(r"(?<![^\W\d_])([A-Za-z]+?)-?ay(?![^\W\d_])", re.IGNORECASE)
_NO_PIG: Final = frozenset(
    listed("""
may day way say away today always pay play stay gray bay lay ray display birthday monday tuesday wednesday thursday
friday saturday sunday holiday okay yesterday array delay relay essay hay pray spray tray clay repay highway pathway
railway subway doorway gateway anyway halfway hallway runway everyday midday decay dismay sway betray portray convey
norway bombay broadway castaway layaway takeaway underway stairway
""")
)
_VOWEL: Final = re.compile("[aeiouy]")
UNSURE: Final = 12
"""Half bits between two words of which either may be meant."""

FEWEST: Final = 3
"""Words in pig latin from which a text is read as that."""


def _likely(onset: str, rest: str) -> int:
    return (_ONSETS[onset] if onset else _VOWEL_FIRST) + _FINAL.get((onset + rest)[-2:], -30)


def _candidates(body: str) -> list[str]:
    """Words that pig latin makes into body + "ay", likeliest first: very common ones where there are any."""
    small = body.lower()
    if len(small) < 2 or not _VOWEL.search(small):
        return [small]
    found = {
        onset + small[:-size]: _likely(onset, small[:-size])
        for size in range(1, min(4, len(small)))
        for onset in [small[-size:]]
        if onset in _ONSETS
    }
    if small[0] in "aeiou":
        if small[-1] in "wy":  # the ending was way or yay
            found[small[:-1]] = _likely("", small[:-1])
        found.setdefault(small, _likely("", small) - 8)
    known = sorted((word for word in found if word in RANK), key=lambda word: RANK[word])
    likely = sorted(found, key=lambda word: -found[word])
    return known or [word for word in likely if found[word] >= found[likely[0]] - UNSURE] or [small]


def _pig(stretch: Stretch) -> Iterator[Reading]:
    """Readings differ in what they take where two words are likely."""
    all_hits = list(_AY.finditer(stretch.text))
    sure = [number for number, m in enumerate(all_hits) if m[0].lower() not in _NO_PIG]
    if len(sure) < FEWEST:
        return
    hits = all_hits[max(0, sure[0] - 2) : sure[-1] + 3]
    seen: set[str] = set()
    for common, vowel, rank in product((0, 1), (True, False), (0, 1)):
        scroll, at = Scroll(), hits[0].start()
        for found in hits:
            scroll.keep(stretch.text[at : found.start()], at)
            at = found.end()
            scroll.add(_chosen(found[1], rank, vowel, common), found.start(), found.end())
        if scroll.text not in seen:
            seen.add(scroll.text)
            yield scroll.reading("pig latin")


def _chosen(body: str, rank: int, vowel: bool, common: int) -> str:
    candidates = _candidates(body)
    if candidates[0] in RANK:
        return candidates[min(common, len(candidates) - 1)]
    if body[-1:] in "wW" and body[0] in "aeiouAEIOU":
        return body[:-1].lower() if vowel else "w" + body[:-1].lower()
    return candidates[min(rank, len(candidates) - 1)]


PIG: Final = Decoder("pig", _pig)
