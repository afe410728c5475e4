"""Decoders: each takes one family of dresses off a stretch of text. A new family is a file and a line here."""

from typing import Final

from guard.decoders.cipher import CIPHERS
from guard.decoders.escapes import ESCAPES
from guard.decoders.folded import FOLDED
from guard.decoders.hidden import HIDDEN
from guard.decoders.leet import LEET
from guard.decoders.letters import MORSE, NARROW, SPACED, SPELLING
from guard.decoders.marks import HUMPS, LINES, UNMARK
from guard.decoders.order import INTERLEAVED, LAST_FIRST
from guard.decoders.pig import PIG
from guard.decoders.reading import Decoder
from guard.decoders.runs import BITS, CODES, RUNS

DECODERS: Final[tuple[Decoder, ...]] = (
    HIDDEN,
    FOLDED,
    ESCAPES,
    UNMARK,
    LINES,
    HUMPS,
    RUNS,
    CODES,
    BITS,
    CIPHERS,
    LEET,
    PIG,
    SPACED,
    MORSE,
    SPELLING,
    NARROW,
    INTERLEAVED,
    LAST_FIRST,
)
