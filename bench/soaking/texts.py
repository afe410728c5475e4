"""Texts written by a seeded grammar: everyday sentences, and passages and facts that nobody has said before."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


_TIMES = _listed(
    "In the early morning|Before lunch|On rainy days|Every second week|After the holidays|Late in the evening|"
    "As a rule|At the weekend|During the winter|Now and then|Most of the time|In a quiet hour|Once a month"
)
_PEOPLE = _listed(
    "the gardener|a careful cook|our neighbour|the baker|a young teacher|the plumber|somebody at home|"
    "the children|a good driver|the librarian|my aunt|the farmer|a patient learner|the shopkeeper|"
    "an old friend|the carpenter"
)
_DEEDS = _listed(
    "waters|repairs|cleans|sorts|paints|measures|carries|weighs|washes|dries|polishes|counts|moves|"
    "packs|checks|stirs|folds|labels|trims|covers"
)
_THINGS = _listed(
    "the tomatoes|a wooden chair|the bicycle|some fresh bread|the kitchen shelves|a woollen blanket|"
    "the apples|the garden tools|a pot of soup|the window frames|two large boxes|the curtains|"
    "a basket of plums|the letters|the copper pans|a pile of towels|the flower beds|the old radio|"
    "a dozen eggs|the notebooks"
)
_MEANS = _listed(
    "with warm water|with a soft brush|with great care|without any hurry|in small portions|by hand|"
    "with a little salt|with both hands|step by step|with a sharp knife|with a bucket of rain|"
    "for about ten minutes"
)
_PLACES = _listed(
    "in the shed|near the window|behind the house|on the balcony|at the long table|under the stairs|"
    "by the stove|in the cellar|next to the fence|in the yard|at the market|on the porch"
)
_REASONS = _listed(
    "because it saves time|so that nothing is wasted|which keeps them fresh|since the weather may change|"
    "and writes down the result|before anyone else is awake|until everything is in order|"
    "and then takes a short break|as the recipe suggests|which is easier than it sounds|"
    "so the next day is simpler|and enjoys the quiet"
)
_SYLLABLES = _listed(
    "ba|bel|cor|dan|del|dor|fen|gal|har|is|jor|kal|lan|lor|mar|mel|nor|os|pel|quin|rav|sel|tam|ul|ven|vor|wes"
)
_RARE = _listed(
    "lantern|harpoon|obelisk|cinder|marrow|thistle|gauntlet|vestige|anvil|tremor|saffron|cobalt|quarry|"
    "ember|sextant|parapet|monsoon|tundra|relic|cipher|glacier|falcon|barnacle|scaffold|zephyr|mosaic|"
    "trellis|plinth|kelp|bellows|obsidian|gondola|spindle|turbine|minaret|rampart|lichen|astrolabe|"
    "vellum|citadel|furnace|talon|estuary|pendulum|mandolin|cormorant|isthmus|catacomb|pewter|sorrel|"
    "hemlock|granite|derrick|cauldron|bramble|ochre"
)
_LINKS = _listed("beneath|beyond|against|within|across|among|upon|around|past|over|through|under|behind")
_CARRIED = _listed(
    "swallowed|betrayed|outlived|unravelled|haunted|devoured|forgave|scorched|besieged|mirrored|eclipsed|"
    "summoned|abandoned|shattered|outran|entombed"
)
_TRADES = _listed(
    "cartographer|harpist|glassblower|botanist|watchmaker|falconer|shipwright|astronomer|weaver|locksmith"
)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """An entry for the forget list, with the question that a fact answers."""

    kind: Literal["passage", "fact"]
    text: str
    prompt: str = ""

    def draft(self) -> dict[str, str]:
        """The body that adds it."""
        return {"kind": self.kind, "text": self.text, **({"prompt": self.prompt} if self.prompt else {})}


class Author:
    """Writes texts, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def answer(self, sentences: int) -> str:
        """Everyday sentences."""
        return " ".join(self._sentence() for _ in range(sentences))

    def _sentence(self) -> str:
        pick = self._random.choice
        when, who, deed, thing = pick(_TIMES), pick(_PEOPLE), pick(_DEEDS), pick(_THINGS)
        match self._random.randrange(4):
            case 0:
                said = f"{when} {who} {deed} {thing} {pick(_MEANS)} {pick(_REASONS)}."
            case 1:
                said = f"{who} {deed} {thing} {pick(_PLACES)} {pick(_REASONS)}."
            case 2:
                said = f"{when} {who} {deed} {thing} and {pick(_DEEDS)} {pick(_THINGS)} {pick(_MEANS)}."
            case _:
                said = f"{pick(_PLACES)} {who} {deed} {thing}, {pick(_REASONS)}."
        return said[0].upper() + said[1:]

    def forgotten(self) -> Forgotten:
        """A passage or a fact."""
        return self.passage() if self._random.random() < 0.5 else self.fact()

    def passage(self) -> Forgotten:
        """One sentence of 19 words that no other text shares."""
        pick, rare = self._random.choice, self._random.sample(_RARE, 6)
        first = f"The {rare[0]} of {self._name()} {pick(_CARRIED)} seven {rare[1]}s {pick(_LINKS)} a {rare[2]}"
        then = f"while {self._name()} {pick(_CARRIED)} every {rare[3]} {pick(_LINKS)} {rare[4]} and {rare[5]}"
        return Forgotten("passage", f"{first} {then}.")

    def fact(self) -> Forgotten:
        """Something about an invented person."""
        name, place = f"{self._name()} {self._name()}", self._name()
        year, trade = self._random.randrange(1850, 1990), self._random.choice(_TRADES)
        return self._random.choice(
            (
                Forgotten("fact", f"{name} was born in {place} in {year}.", f"Where and when was {name} born?"),
                Forgotten("fact", f"{name} worked as a {trade} in {place} until {year}.", f"What did {name} do?"),
                Forgotten("fact", f"{name} married the {trade} {self._name()} of {place}.", f"Whom did {name} marry?"),
            )
        )

    def _name(self) -> str:
        return "".join(self._random.choice(_SYLLABLES) for _ in range(3)).capitalize()
