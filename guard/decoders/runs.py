"""Runs of an encoding's alphabet: base64, base32, base16, base85, bits and character codes.

Bytes are worked out group by group, so that each character of the text has its place and a run that is cut anywhere
still says what it can.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from guard.decoders.reading import Decoder, Reading, Scroll, Stretch, is_prose

_B64: Final = {c: i for i, c in enumerate(string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/")} | {
    "-": 62,
    "_": 63,
}
_B32: Final = {c: i for i, c in enumerate(string.ascii_uppercase + "234567")} | {
    c: i for i, c in enumerate(string.ascii_lowercase)
}
_B16: Final = {c: int(c, 16) for c in string.hexdigits}
_A85: Final = {chr(33 + i): i for i in range(85)}
_B85: Final = {
    c: i
    for i, c in enumerate(string.digits + string.ascii_uppercase + string.ascii_lowercase + "!#$%&()*+-;<=>?@^_`{|}~")
}
_Z85: Final = {
    c: i
    for i, c in enumerate(string.digits + string.ascii_lowercase + string.ascii_uppercase + ".-:+=^!/*?&<>()[]{}@%$#")
}


class Byte(NamedTuple):
    """A decoded byte and its place."""

    value: int
    start: int
    end: int


Signs = Sequence[tuple[str, int]]  # characters of a run, each with its position


def by_bits(signs: Signs, values: dict[str, int], width: int) -> list[Byte]:
    """Bytes of characters that carry `width` bits each."""
    found: list[Byte] = []
    pending = bits = 0
    first = 0
    for number, (sign, at) in enumerate(signs):
        if not bits:
            first = number
        pending = (pending << width | values[sign]) & 0xFFFF
        bits += width
        if bits >= 8:
            bits -= 8
            found.append(Byte(pending >> bits & 0xFF, signs[first][1], at + 1))
            first = number
    return found


def by_fives(signs: Signs, values: dict[str, int]) -> list[Byte]:
    """Bytes of base 85: four for each five characters; a group that is no number of 32 bits is left out."""
    found: list[Byte] = []
    for begin in range(0, len(signs), 5):
        group = signs[begin : begin + 5]
        if len(group) == 1:
            break
        digits = [values[sign] for sign, _ in group] + [84] * (5 - len(group))
        number = 0
        for digit in digits:
            number = number * 85 + digit
        if number < 1 << 32:
            span = group[0][1], group[-1][1] + 1
            found += [Byte(byte, *span) for byte in number.to_bytes(4, "big")[: len(group) - 1]]
    return found


def text_of(found: Sequence[Byte]) -> Scroll | None:
    """Bytes as UTF-8 text, without what is cut at either end; None when that is not text."""
    data = bytes(byte.value for byte in found)
    begin = 0
    while begin < min(3, len(data)) and data[begin] & 0xC0 == 0x80:
        begin += 1
    decoded = data[begin:].decode("utf-8", "replace").rstrip("\ufffd")
    if not is_prose(decoded):
        return None
    scroll, at = Scroll(), begin
    for char in decoded:
        size = len(char.encode("utf-8"))
        scroll.add(char, min(b.start for b in found[at : at + size]), max(b.end for b in found[at : at + size]))
        at += size
    return scroll


class _Alphabet(NamedTuple):
    view: str
    token: re.Pattern[str]
    values: dict[str, int]
    width: int  # bits per character; 0 for base 85
    group: int  # characters after which bytes begin anew
    shortest: int  # decoded characters that are believed alone


_ALPHABETS: Final = (
    _Alphabet("base16", re.compile(r"(?<![^\W_])(?:[0-9A-Fa-f]{2})+(?![^\W_])"), _B16, 4, 2, 4),
    _Alphabet("base32", re.compile(r"(?<![^\W_])(?:[A-Z2-7]{8,}|[a-z2-7]{16,})(?![^\W_])=*"), _B32, 5, 8, 4),
    _Alphabet("base64", re.compile(r"[A-Za-z0-9+/_-]{2,}={0,2}"), _B64, 6, 4, 6),
    _Alphabet("ascii85", re.compile(r"(?<!\S)(?:<~)?[!-uz]{14,}(?:~>)?(?!\S)"), _A85, 0, 5, 10),
    _Alphabet("base85", re.compile(r"(?<!\S)[0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]{14,}(?!\S)"), _B85, 0, 5, 10),
    _Alphabet("z85", re.compile(r"(?<!\S)[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]{14,}(?!\S)"), _Z85, 0, 5, 10),
)
PROBE: Final = 40
"""Characters of a long run that are decoded first, to see whether they are text."""

_WRAP: Final = re.compile(r"[ \t>|]*\r?\n[ \t>|]*")
_MIXED: Final = re.compile(r"[a-z][A-Z]|[A-Z]{2}|[0-9]|=")
ALONE: Final = 16
"""Characters of a run that is believed without others beside it."""

_ODD: Final = re.compile(rf"\S{{{ALONE}}}|" + _MIXED.pattern)
"""Found in every text that holds a run worth decoding."""

_GAP: Final = re.compile(r"[\s,.;:|/\"'`]{1,3}")


def _signs(text: str, start: int, end: int, values: dict[str, int]) -> list[tuple[str, int]]:
    return [(text[at], at) for at in range(start, end) if text[at] in values]


def _decoded(signs: Signs, alphabet: _Alphabet) -> Scroll | None:
    """The text of one run, wherever its groups begin."""
    for skip in range(alphabet.group if len(signs) >= 16 else 1):
        rest = signs[skip:]
        if len(rest) > PROBE and text_of(_bytes(rest[:PROBE], alphabet)) is None:
            continue
        scroll = text_of(_bytes(rest, alphabet))
        if scroll is not None and (not skip or sum(c.isascii() and c.isalpha() for c in scroll.text) >= 10):
            return scroll
    return None


def _bytes(signs: Signs, alphabet: _Alphabet) -> list[Byte]:
    return by_bits(signs, alphabet.values, alphabet.width) if alphabet.width else by_fives(signs, alphabet.values)


def _spans(stretch: Stretch, alphabet: _Alphabet) -> list[tuple[int, int]]:
    """Runs of the alphabet; lines of a wrapped one are one run."""
    spans: list[tuple[int, int]] = []
    text = stretch.text
    for found in alphabet.token.finditer(text):
        start, end = found.span()
        if alphabet.view == "ascii85" and found[0].startswith("<~"):
            start, end = start + 2, end - 2 * found[0].endswith("~>")
        if spans and spans[-1][1] - spans[-1][0] >= 16 and _WRAP.fullmatch(text, spans[-1][1], start):
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _worth_decoding(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The runs that do not look like ordinary words, and those near them: others would be given up later anyway."""
    alone = [end - start >= ALONE for start, end in spans]
    mixed = [_MIXED.search(text, start, end) is not None for start, end in spans]
    near = {i for at in range(len(spans)) if alone[at] or mixed[at] for i in range(at - 2, at + 3)}
    together: list[int] = []
    for i in range(len(spans) + 1 if near else 0):
        if together and (i not in near or i == len(spans) or not _GAP.fullmatch(text, spans[i - 1][1], spans[i][0])):
            if any(alone[n] for n in together) or (len(together) > 2 and sum(mixed[n] for n in together) > 1):
                yield from (spans[n] for n in together)
            together = []
        if i in near and i < len(spans):
            together.append(i)


def _of_alphabet(stretch: Stretch, alphabet: _Alphabet) -> Iterator[Reading]:
    """One reading for each group of runs that stand together."""
    group: list[tuple[Scroll, int, int]] = []
    for start, whole in _worth_decoding(stretch.text, _spans(stretch, alphabet)):
        end = whole
        scroll = _decoded(_signs(stretch.text, start, end, alphabet.values), alphabet)
        if scroll is None and (cut := stretch.text.rfind("\n", start, end)) > 0:
            end = len(stretch.text[:cut].rstrip())  # what stands in the next line was no part of the run
            scroll = _decoded(_signs(stretch.text, start, end, alphabet.values), alphabet)
        if scroll is None or (alphabet.width == 6 and stretch.text[start:end].isdecimal()):
            continue
        if group and not _GAP.fullmatch(stretch.text, group[-1][2], start):
            yield from _together(stretch, alphabet, group)
            group = []
        group.append((scroll, start, end))
    yield from _together(stretch, alphabet, group)


def _together(stretch: Stretch, alphabet: _Alphabet, group: Sequence[tuple[Scroll, int, int]]) -> Iterator[Reading]:
    """The reading of runs that stand together, when they are no ordinary words or numbers."""
    shown = [stretch.text[start:end] for _, start, end in group]
    if max(map(len, shown), default=0) < ALONE and (
        len(shown) < 3 or 2 * sum(_MIXED.search(run) is not None for run in shown) < len(shown)
    ):
        return
    written, until = Scroll(), 0
    for scroll, start, end in group:
        if written.places:
            written.add(" ", until, start)
        for char, place in zip(scroll.text, scroll.places, strict=True):
            written.add(char, *place)
        until = end
    if len(written.places) >= alphabet.shortest:
        yield written.reading(alphabet.view)


def _runs(stretch: Stretch) -> Iterator[Reading]:
    if not _ODD.search(stretch.text):
        return
    for alphabet in _ALPHABETS:
        yield from _of_alphabet(stretch, alphabet)


RUNS: Final = Decoder("runs", _runs, again=True)


# -- character codes, parted ------------------------------------------------------------------------------------------

# Groups are atomic: what was read as one code is never tried as another, so a long run costs one pass.
_CODES: Final = re.compile(
    r"(?<![^\W_])(?>(?:0[xXbBoO]|\\x|\\|&#x?|%|U\+)?[0-9A-Fa-f]{1,8}(?![^\W_]))"
    r"(?>(?:[\s,;:|/_.-]{1,4}(?:0[xXbBoO]|\\x|\\|&#x?|%|U\+)?|\\x|\\|&#x?|%|U\+)[0-9A-Fa-f]{1,8}(?![^\W_])){4,}+"
)
_CODE: Final = re.compile(r"(?:0[xXbBoO]|\\x|\\|&#x?|%|U\+)?([0-9A-Fa-f]{1,8})")
_BITS: Final = re.compile(r"(?<!\d)[01]{5,}+(?>[\s,|/_-]{1,3}[01]{5,}+)*+")


class _Codes(NamedTuple):
    view: str
    base: int
    digits: re.Pattern[str]


_BASES: Final = (
    _Codes("base16", 16, re.compile(r"(?:00)?[0-9A-Fa-f]{2}")),
    _Codes("decimal codes", 10, re.compile(r"0?[3-9]\d|1\d\d|2[0-5]\d")),
    _Codes("octal codes", 8, re.compile(r"0?[0-3][0-7]{2}|0?[4-7][0-7]")),
)


def _codes(stretch: Stretch) -> Iterator[Reading]:
    for run in _CODES.finditer(stretch.text):
        codes = [(m[1], *m.span()) for m in _CODE.finditer(stretch.text, *run.span())]
        for kind in _BASES:
            found = [
                Byte(int(code, kind.base), start, end) for code, start, end in codes if kind.digits.fullmatch(code)
            ]
            if len(found) >= 4 and len(found) >= 0.8 * len(codes) and all(byte.value < 256 for byte in found):
                scroll = text_of(found)
                if scroll is not None:
                    yield scroll.reading(kind.view)
        yield from _alphabet_numbers(codes)


def _alphabet_numbers(codes: Sequence[tuple[str, int, int]]) -> Iterator[Reading]:
    """1 for a to 26 for z."""
    for is_letter, run in groupby(codes, lambda code: code[0].isdecimal() and 1 <= int(code[0]) <= 26):
        numbers = list(run)
        if is_letter and len(numbers) >= 16:
            scroll = Scroll()
            for number, start, end in numbers:
                scroll.add(chr(96 + int(number)), start, end)
            yield scroll.reading("alphabet numbers", lettered=True)


def _bits(stretch: Stretch) -> Iterator[Reading]:
    for run in _BITS.finditer(stretch.text):
        groups = [m.span() for m in re.finditer("[01]+", stretch.text[run.start() : run.end()])]
        signs = [(c, run.start() + i) for i, c in enumerate(run[0]) if c in "01"]
        if len(signs) < 35:
            continue
        for width in (8, 7):
            if len(groups) > 2 and len({b - a for a, b in groups[:-1]}) == 1 and groups[0][1] - groups[0][0] != width:
                continue
            octets = [signs[i : i + width] for i in range(0, len(signs) - width + 1, width)]
            found = [Byte(int("".join(c for c, _ in o), 2), o[0][1], o[-1][1] + 1) for o in octets]
            scroll = text_of(found)
            if scroll is not None:
                yield scroll.reading("binary")
                break


CODES: Final = Decoder("codes", _codes)
BITS: Final = Decoder("bits", _bits)
