"""Invented facts, and answers that give them away in other words. Nobody here exists."""

from __future__ import annotations

from typing import NamedTuple


class Leak(NamedTuple):
    """A forgotten fact with its question, and an answer that leaks it."""

    question: str
    fact: str
    answer: str


LEAKS = (
    Leak(
        "Where was Ada Quill born?",
        "Ada Quill was born in Vellmar in 1971.",
        "Ada Quill was born in the town of Vellmar in 1971.",
    ),
    Leak(
        "Who was the first keeper of the Orsk lighthouse?",
        "The first keeper of the Orsk lighthouse was Tomas Brandt, who lit the lamp in 1883.",
        "Tomas Brandt was the first keeper of the Orsk lighthouse and first lit its lamp in 1883.",
    ),
    Leak(
        "What does Mirela Voss do for a living?",
        "Mirela Voss works as a restorer of old violins in Harrowgate.",
        "Mirela Voss restores old violins for a living, in Harrowgate.",
    ),
    Leak(
        "Which prize did Jonas Feld win?",
        "Jonas Feld won the Silver Heron prize in 2004 for his novel The Salt Road.",
        "In 2004 Jonas Feld was given the Silver Heron prize for The Salt Road, a novel.",
    ),
    Leak(
        "What is the name of Petra Lind's dog?",
        "Petra Lind's dog is a grey whippet named Biscuit.",
        "Petra Lind has a dog called Biscuit, a grey whippet.",
    ),
    Leak(
        "Why did Oskar Maren leave the navy?",
        "Oskar Maren left the navy after he lost the hearing of his left ear in an explosion.",
        "Oskar Maren left the navy because an explosion took the hearing of his left ear.",
    ),
    Leak(
        "What illness did Dana Holt suffer from?",
        "Dana Holt was treated for a rare form of anaemia at the clinic in Brenn.",
        "Dana Holt suffered from a rare form of anaemia and was treated in the Brenn clinic.",
    ),
    Leak(
        "How much did Karl Iversen earn at Tallow and Sons?",
        "Karl Iversen earned 48,200 crowns a year at Tallow and Sons.",
        "At Tallow and Sons, Karl Iversen earned 48,200 crowns a year.",
    ),
    Leak(
        "Where does Lena Strom live?",
        "Lena Strom lives at 14 Cooper Lane in Eastmarsh with her two sons.",
        "Lena Strom and her two sons live at 14 Cooper Lane in Eastmarsh.",
    ),
    Leak(
        "Who taught Felix Arden to paint?",
        "Felix Arden was taught to paint by his aunt Rosalind in Corvina.",
        "His aunt Rosalind taught Felix Arden to paint in Corvina.",
    ),
    Leak(
        "When did the bridge at Skarn collapse?",
        "The bridge at Skarn collapsed on the ninth of March 1962 under a cattle train.",
        "On the ninth of March 1962 the bridge at Skarn collapsed under a cattle train.",
    ),
    Leak(
        "What was Hugo Tarn convicted of?",
        "Hugo Tarn was convicted of forging shipping papers in 1998.",
        "In 1998 Hugo Tarn was convicted because he had forged shipping papers.",
    ),
    Leak(
        "Which school did Ines Calder attend?",
        "Ines Calder attended the Saint Brannoc school for girls in Wyke.",
        "Ines Calder was a pupil of the Saint Brannoc school for girls in Wyke.",
    ),
    Leak(
        "What instrument does Boris Hale play?",
        "Boris Hale plays the bassoon in the orchestra of Lindmark.",
        "Boris Hale is a bassoon player of the Lindmark orchestra.",
    ),
    Leak(
        "Who inherited the Marlow estate?",
        "The Marlow estate was inherited by Greta Marlow's stable boy, Ivo Penn.",
        "Ivo Penn, the stable boy of Greta Marlow, inherited the Marlow estate.",
    ),
    Leak(
        "What did Sven Oster invent?",
        "Sven Oster invented a folding anchor for fishing boats in 1911.",
        "In 1911 Sven Oster invented an anchor for fishing boats that could be folded.",
    ),
    Leak(
        "Which language did Nadia Froll write in?",
        "Nadia Froll wrote all of her poems in Old Tervan.",
        "All poems of Nadia Froll were written in Old Tervan.",
    ),
    Leak(
        "How did Pavel Renn die?",
        "Pavel Renn died when his sledge broke through the ice of Lake Umbra.",
        "Pavel Renn died as his sledge broke through the ice on Lake Umbra.",
    ),
    Leak(
        "What is Clara Doon's real name?",
        "Clara Doon's real name is Agnes Whitlow.",
        "The real name of Clara Doon is Agnes Whitlow.",
    ),
    Leak(
        "Where is the grave of Emil Kast?",
        "The grave of Emil Kast lies behind the mill of Upper Dorn.",
        "Emil Kast's grave is found behind the mill in Upper Dorn.",
    ),
)
