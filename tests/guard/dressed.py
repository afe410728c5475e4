"""What the tests of readings share: passages and ordinary text of our own, and whether a reading shows a passage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from guard.reading import is_lettered
from guard.words import words_of

PASSAGES = (
    "The keeper of the lamp had not spoken to anybody in the harbour since the winter, and when the "
    "last boat came in from the islands he was the only man on the iron stair.",
    "She said that it was not for her to know what had become of the letters, but that the old house "
    "by the river would still be there when all of them were gone.",
)
BEFORE = "Here is a short answer to what you asked about the town. It has a market and two bridges. "
AFTER = " That is all there is to say about it for now. Ask again if you would like to hear more of it."

PROSE = {
    "English": (
        "The ferry left before the fog had lifted. Nobody on deck said a word until the first bell. An "
        "old woman had brought two baskets of pears, which she kept under her coat. Her son, who didn't "
        "like the sea, stayed at home."
    ),
    "German": (
        "Der Dampfer legte ab, bevor sich der Nebel gehoben hatte. Niemand an Deck sagte ein Wort, bis "
        "die erste Glocke schlug. Eine alte Frau hatte zwei Körbe Birnen dabei, die sie unter ihrem "
        "Mantel verbarg."
    ),
    "French": (
        "Le bateau quitta l’île avant que la brume ne se lève. Personne sur le pont ne dit un mot. Une "
        "vieille femme avait apporté deux paniers de poires qu’elle gardait sous son manteau."
    ),
    "Spanish": (
        "El barco salió antes de que se levantara la niebla. Nadie en la cubierta dijo una palabra. Una "
        "anciana había traído dos cestas de peras y las guardaba debajo de su abrigo."
    ),
    "Italian": (
        "Il battello partì prima che si alzasse la nebbia. Nessuno sul ponte disse una parola. Una "
        "vecchia aveva portato due cesti di pere e li teneva sotto il cappotto."
    ),
    "Russian": ("Паром отошёл до того, как поднялся туман. Никто на палубе не сказал ни слова."),
    "Japanese": ("今日は天気がいいです。海は静かで、船はもう出ました。"),
}


def letters(text: str) -> str:
    """The letters of a text, as letter runs know them."""
    return "".join(c for word in words_of(text) for c in word.norm if c.isalpha()).replace("l", "i")


def runs(text: str, length: int = 8) -> set[tuple[str, ...]]:
    """All runs of words of a text."""
    norms = [word.norm for word in words_of(text)]
    return {tuple(norms[i : i + length]) for i in range(len(norms) - length + 1)}


def shows(passage: str, view: str, text: str) -> bool:
    """True when a fingerprint would find the passage in this reading: eight words, or 35 letters when lettered."""
    if runs(passage) & runs(text):
        return True
    wanted = letters(passage)
    shown = letters(text)
    return is_lettered(view) and any(wanted[i : i + 35] in shown for i in range(len(wanted) - 34))


def span(places: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """From the first to the last character that these places stand for."""
    return min(a for a, _ in places), max(b for _, b in places)


def any_shows(passage: str, pairs: Iterable[tuple[str, str]]) -> bool:
    """True when one of these (view, text) shows the passage."""
    return any(shows(passage, view, text) for view, text in pairs)
