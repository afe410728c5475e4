"""Numbers in a text, as digits, however they are written: 1,958 and 1958, nineteen fifty-eight, the 7th, 1958-05-07."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from guard.words import Word

_SMALL: Final = {
    word: value
    for value, word in enumerate(
        re.split(
            " ",
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen",
        )
    )
}
_TENS: Final = {
    word: 10 * value
    for value, word in enumerate(re.split(" ", "twenty thirty forty fifty sixty seventy eighty ninety"), start=2)
}
_ORDINALS: Final = {
    "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10,
    "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14, "fifteenth": 15, "sixteenth": 16,
    "seventeenth": 17, "eighteenth": 18, "nineteenth": 19, "twentieth": 20, "thirtieth": 30,
}  # fmt: skip  # one entry per line is a page of its own
_SCALES: Final = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_MONTHS: Final = {
    name: f"month{number}"
    for number, names in enumerate(
        re.split(
            " ",
            "january,jan february,feb march april,apr may june,jun july,jul august,aug september,sept,sep october,oct "
            "november,nov december,dec",
        ),
        start=1,
    )
    for name in names.split(",")
}
_AMBIGUOUS_MONTHS: Final = frozenset(("may", "march", "jan", "jun", "mar", "august"))
_ORDINAL_DIGITS: Final = re.compile(r"(\d+)(?:st|nd|rd|th)")
_DATE: Final = re.compile(r"(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_GROUPED: Final = re.compile(
    r"(?<!\d)\d{1,3}(?:[,'\u2019\u00a0\u202f]\d{3})+(?!\d)"  # 250,000
    r"|(?<![\d-])\d+(?: \d+){2,}(?!\d)|(?<![\d-])\d{2,}(?:-\d{2,}){2,}(?!\d)"  # a telephone number
)


def numerals(text: str, words: Sequence[Word]) -> tuple[frozenset[str], set[int]]:
    """The numbers of a text, and the places in `words` (its words) that they were read from.

    Groups of digits that are one number are given joined. A month is a number when it stands beside one.
    """
    found: set[str] = set()
    taken: set[int] = set()
    dates = list(_DATE.finditer(text))
    joined = [m for m in _GROUPED.finditer(text) if not any(d.start() <= m.start() < d.end() for d in dates)]
    found.update(_bare("".join(c for c in match[0] if c.isdigit())) for match in joined)
    found.update(f"month{int(match[2])}" for match in dates if 1 <= int(match[2]) <= 12)
    skipped = [match.span() for match in joined] + [match.span(2) for match in dates]
    for i, word in enumerate(words):
        digits = _digits(word.norm)
        if digits is not None:
            taken.add(i)
            if not any(start <= word.start < end for start, end in skipped):
                found.add(digits)
    _spelt(words, found, taken)
    _months(words, found, taken)
    return frozenset(found), taken


def _bare(digits: str) -> str:
    return digits.lstrip("0") or "0"


def _digits(norm: str) -> str | None:
    """A word that is a number in digits, without leading zeros; what mixes digits with letters stays as it is."""
    if norm.isdecimal():
        return _bare(norm)
    if match := _ORDINAL_DIGITS.fullmatch(norm):
        return _bare(match[1])
    return norm if any(c.isdigit() for c in norm) else None


def _spelt(words: Sequence[Word], found: set[str], taken: set[int]) -> None:
    """Number words: "four", "eighty-three", "one hundred and seventeen", "nineteen fifty-eight"."""
    at = 0
    while at < len(words):
        end, value = _number_at([word.norm for word in words[at : at + 12]])
        if not end:
            at += 1
            continue
        if (end, value) != (1, 1):  # "one" mostly counts nothing
            found.add(str(value))
            taken.update(range(at, at + end))
        at += end


def _number_at(norms: Sequence[str]) -> tuple[int, int]:
    """How many words from the first on are one number, and which."""
    total, part, end, last = 0, 0, 0, 0
    for i, norm in enumerate(norms):
        if norm == "and" and end == i and part and part % 100 == 0 and i + 1 < len(norms):
            continue
        unit = _SMALL.get(norm, _TENS.get(norm, _ORDINALS.get(norm, -1)))
        if unit >= 0:
            if part == 0 or part % 100 == 0 or (part % 10 == 0 and part % 100 >= 20 and 0 < unit < 10 and last >= 20):
                part += unit
            elif 10 <= part <= 99 and unit >= 10 and not total:  # a year: nineteen fifty(-eight)
                part = 100 * part + unit
            else:
                break
            last = unit
        elif norm in _SCALES and (part or total):
            part, total = (part * 100, total) if norm == "hundred" else (0, (total + part) * _SCALES[norm])
            last = 0
        else:
            break
        end = i + 1
        if norm in _ORDINALS:
            break
    return end, total + part


def _months(words: Sequence[Word], found: set[str], taken: set[int]) -> None:
    for i, word in enumerate(words):
        month = _MONTHS.get(word.norm)
        if month is None:
            continue
        beside = any(j in taken for j in (i - 2, i - 1, i + 1, i + 2))
        if beside or word.norm not in _AMBIGUOUS_MONTHS:
            found.add(month)
            taken.add(i)
