"""Acrostics: letters that are picked from their places (the first of each word, line or sentence, the last of a line).

Any text has first letters; only an acrostic's run on like the letters inside English words. Each pair of neighbours
votes for the one or the other, the votes are summed, and the sum starts anew where it falls below zero (Page,
Continuous inspection schemes, Biometrika 1954), so a message is found wherever it begins, in one step per letter.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final

from guard.decoders.lexicon import ALPHABET, listed
from guard.decoders.reading import LETTERED_SUFFIX, Place, Reading

# Row: first letter, column: second; m is 0, each step half a bit. The logarithm of how much likelier the pair is inside
# running English letters than in the first letters of English words; counted in three novels of the public domain.
_ROWS: Final = listed("""
almoaimelhooltclhqnlmpiiom klaevaaajnarccnaaqjesfcara malbtcapjcwpaaoajpbjnaaaka lmlotmnmmmmnmlnmlqmlnnkala
lknqpknkjjnomrinnunjjqkqmh ljljromjmmiokjpkeqjmpjiala mijisknpmjenklmjiqlkmkiaje ncefvedgofdfifneckekldfaka
gjnnplpgafnomunjgommhoflao jaglvadccahhdgrebgccugacha kjkhvmikojhnjqjhijljlghama khhptlghoiprjgniejjillhasc
nkffthhgmhdhjjnofkjiqghasa khmqpjsjlimkhkmijilmlljlnj hkkmiplijgrnmulmjskiuqnlji mgfftfaklafqgfnrarkjojfaja
bcggjbgfcadeefecbgbdxhdcda lilovjmjmjsolnnljnmjnmiaqa ljmjskknmkpllmmnmjmmpkkald mhihqigrnhglhjpggmjkohjald
glpopireijpsltfrcvpkejgdfn laaaxaaaoaaaaalaadaagaaaja offitgfoncgkinofgkhhhggaid mgqgricjnadfffktnhennchbia
mnlkqmlknkfljlrnkkmmnklala lbcfwbeemafqbhkdbjfcgfbdpy
""")
VOTES: Final = {
    first + second: ord(vote) - ord("m")
    for first, row in zip(ALPHABET, _ROWS, strict=True)
    for second, vote in zip(ALPHABET, row, strict=True)
}
"""Half bits for running letters, per pair."""

ALARM: Final = 30
"""Half bits from which letters are read as a message. First letters of ordinary answers reach it once in 16,000."""

LONGEST: Final = 512
"""Letters of a message that are kept."""


SHORTEST: Final = 24
"""Letters that a reading has at least."""

OVERLAP: Final = 48
"""Letters that were told before and are told again before new ones: a run of letters may begin there."""


class Initials:
    """One stream of picked letters. `pick` finds them (its last group is the letter), `alarm` is in half bits, and
    `view` names the readings."""

    def __init__(self, view: str, pick: re.Pattern[str], alarm: int = ALARM) -> None:
        self.view, self.pick, self._alarm = view + LETTERED_SUFFIX, pick, alarm
        self._letters = ""
        self._spans: deque[tuple[int, int, int]] = deque()  # how many letters a span of the text gave
        self._votes = 0
        self._begin = 0  # where the message would begin
        self._told = 0  # letters that are in a reading already

    def look(self, text: str, start: int, end: int) -> bool:
        """Pick letters from text[start:end]; True when a message goes on that has not been told."""
        return self.take("".join(self.pick.findall(text, start, end)).lower(), start, end)

    def take(self, letters: str, start: int, end: int) -> bool:
        """Take the letters that text[start:end] gives, in lower case."""
        if not letters:
            return False
        votes, known = self._votes, VOTES
        number = len(self._letters)
        last = self._letters[-1:]
        for letter in letters:
            pair = last + letter
            if pair in known:
                votes += known[pair]
            if votes <= 0:
                votes, self._begin = 0, number
            number += 1
            last = letter
        self._letters += letters
        self._spans.append((len(letters), start, end))
        self._votes = min(votes, 2 * self._alarm)
        if len(self._letters) > 2 * LONGEST:
            self._forget()
        return votes >= self._alarm

    def _forget(self) -> None:
        count = 0
        while len(self._letters) - count > LONGEST and len(self._spans) > 1:
            count += self._spans.popleft()[0]
        self._letters = self._letters[count:]
        self._begin, self._told = max(0, self._begin - count), max(0, self._told - count)

    def reading(self, text: str) -> Reading | None:
        """What is new of the message, with some letters before it; None when it is too short to say anything."""
        begin = max(0, self._begin - 8, self._told - OVERLAP)
        self._told = len(self._letters)
        letters: list[str] = []
        places: list[Place] = []
        at = 0
        for count, start, end in self._spans:
            at += count
            if at > begin:
                for found in self.pick.finditer(text, start, end):
                    letters.append(found[found.re.groups].lower()[:1])
                    places.append((found.start(found.re.groups), found.start(found.re.groups) + 1))
        skip = max(0, len(letters) - (len(self._letters) - begin))
        if len(letters) - skip < SHORTEST:
            return None
        return Reading(self.view, "".join(letters[skip:]), places[skip:], lettered=True)
