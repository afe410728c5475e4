"""Marks of a document language or a program, and lines: what stands between and inside words without being said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from guard.decoders.reading import Decoder, Reading, Scroll, Stretch, replaced

_BLOCK: Final = r"</?(?:br|p|div|td|tr|th|li|ul|ol|table|tbody|thead|h[1-6]|hr|pre|blockquote|section)\b[^<>]{0,200}>"
_TAG: Final = r"<!--.{0,400}?-->|</?[A-Za-z][^<>]{0,200}>"
_LATEX: Final = (
    r"\\(?:begin|end)\{[^{}]{0,40}\}|\\[a-zA-Z]+\*?(?:\[[^\[\]]{0,40}\])?(?=\{)|\\[\"'`^~=.][ ]?(?=[{a-zA-Z])"
    r"|\\\\|\\[,;:! ]|\\[a-zA-Z]+ ?|[{}$]"
)
_INWORD: Final = r"(?<=[^\W_])(?:\*{1,3}|~~?|`{1,3}|\|{1,2}|=={1,2}|\^)(?=[^\W_])"
_HYPHEN: Final = r"(?<=[^\W\d_])[-\u2010\u00ac][ \t]*\r?\n[ \t>*|#/]*(?=[^\W\d_])"
_COMMENT: Final = r"(?:(?<=\n)|^)[ \t]*(?://+|#+|--+|;+|%+|\*+|>+|/\*+|\"\"\"|'''|\d{1,3}[.):]|[-\u2022+])[ \t]*"
_CONCAT: Final = r"[\"'`][ \t]{0,8}(?:\+|\.|,|\|\||&|\\?\r?\n)\s{0,16}[fr]?[\"'`]"
_MARK: Final = re.compile("|".join((_BLOCK, _TAG, _INWORD, _HYPHEN, _CONCAT)), re.IGNORECASE | re.DOTALL)
_MARK_LATEX: Final = re.compile("|".join((_LATEX, _INWORD, _HYPHEN)), re.DOTALL)
_WIDE: Final = re.compile(_BLOCK, re.IGNORECASE)
_UNDERLINED: Final = re.compile(r"(?<=[^\W_])_{1,2}(?=[^\W_])")
_BETWEEN: Final = re.compile(r"[^\W_]_{1,2}[^\W_]{1,3}_{1,2}[^\W_]")
_COMMAND: Final = re.compile(r"\\[A-Za-z]+\*?\{[^{}]*[A-Za-z]{2}")
_HUMPED: Final = re.compile(r"(?<![^\W_])[A-Z]?[a-z]*(?:[A-Z][a-z]*){4,}(?![^\W_])")
_HUMP: Final = re.compile("[A-Z]?[a-z]+|[A-Z]")
_BREAKS: Final = re.compile(rf"{_COMMENT}|[ \t]{{0,16}}\|[ \t|:-]*|[ \t]{{0,16}}\n\s*", re.MULTILINE)
_ITEM: Final = re.compile(r"[-*+>\u2022]|\d{1,4}[.):]?")
_SAID: Final = re.compile(r"(?:\n[ \t]*(?://|#|--|;|%)[ \t]*[A-Za-z][^\n]{0,40}){3}")


def _unmarked(found: re.Match[str]) -> str:
    mark = found[0]
    if _WIDE.fullmatch(mark) or mark == "\\\\" or (mark.startswith("\\") and mark.endswith(" ")):
        return " "
    return ""


def _unmark(stretch: Stretch) -> Iterator[Reading]:
    text = stretch.text
    reading = replaced(stretch, _MARK, _unmarked, "without marks")
    if reading is not None:
        yield reading
    if len(_COMMAND.findall(text)) > 1:
        reading = replaced(stretch, _MARK_LATEX, _unmarked, "without latex")
        if reading is not None:
            yield reading
    if len(_BETWEEN.findall(text)) > 1:
        reading = replaced(stretch, _UNDERLINED, lambda found: "", "without underlining")
        if reading is not None:
            yield reading


def _humps(stretch: Stretch) -> Iterator[Reading]:
    """CamelCase: words that stand together, parted at their capitals."""
    for run in _HUMPED.finditer(stretch.text):
        words = list(_HUMP.finditer(stretch.text, run.start(), run.end()))
        if len(words) < 5 or len(run[0]) < 2.5 * len(words):
            continue
        scroll = Scroll()
        for word in words:
            scroll.keep(word[0], word.start())
            scroll.add(" ", word.end() - 1, word.end())
        yield scroll.reading("camel case")


def _lines(stretch: Stretch) -> Iterator[Reading]:
    """Lines, list items, comment lines and table cells as running text."""
    text = stretch.text
    if not _words_in_lines(text) and not _SAID.search(text):
        return
    reading = replaced(stretch, _BREAKS, lambda found: " ", "lines")
    if reading is not None:
        yield reading


def _words_in_lines(text: str) -> bool:
    """True when five lines in a row hold one or two words each, and not just letters."""
    lines = size = 0
    for line in text.split("\n"):
        pieces = line.split()
        if pieces and _ITEM.fullmatch(pieces[0]):
            del pieces[0]
        if len(pieces) > 2:
            lines = size = 0
        elif pieces:
            lines += 1
            size += sum(map(len, pieces))
            if lines >= 5 and size >= 3 * lines:
                return True
    return False


UNMARK: Final = Decoder("marks", _unmark)
HUMPS: Final = Decoder("humps", _humps)
LINES: Final = Decoder("lines", _lines)
