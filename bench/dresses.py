"""Dresses: functions that write a passage in another way, for tests and benchmarks. Written apart from the decoders.

Each takes a text and answers it dressed, the same each time: what is drawn at random is seeded by the text.
"""

from __future__ import annotations

import base64
import html
import json
import random
import re
import unicodedata
import urllib.parse
from collections.abc import Callable
from typing import Final

Dress = Callable[[str], str]

_COVER: Final = (
    "apples arrive before breakfast bring caution carefully during each even fresh friends gather garden help home "
    "ideas instead jam keep kind late leave make morning neighbours never open often people plan quick quiet rest "
    "rivers slowly some take tea under useful visit voices walk warm xylophones yellow young zebras zones"
)
_NATO: Final = (
    "Alfa Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliett Kilo Lima Mike November Oscar Papa Quebec Romeo "
    "Sierra Tango Uniform Victor Whiskey X-ray Yankee Zulu"
)
_MORSE: Final = (
    "A.- B-... C-.-. D-.. E. F..-. G--. H.... I.. J.--- K-.- L.-.. M-- N-. O--- P.--. Q--.- R.-. S... T- U..- V...- "
    "W.-- X-..- Y-.-- Z--.. 0----- 1.---- 2..--- 3...-- 4....- 5..... 6-.... 7--... 8---.. 9----."
)
_CODE_OF: Final = {entry[0]: entry[1:] for entry in _MORSE.split(" ")}
_SPOKEN: Final = {word[0]: word for word in _NATO.split(" ")}
_TWINS: Final = str.maketrans(
    "aceopxyisjhABCEHKMOPTX",
    "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456\u0455\u0458\u04bb\u0410\u0412\u0421\u0415\u041d\u041a\u041c\u041e\u0420\u0422\u0425",
)
_SMALL_CAPITALS: Final = str.maketrans(
    "abcdefghijklmnopqrstuvwyz",
    "\u1d00\u0299\u1d04\u1d05\u1d07\ua730\u0262\u029c\u026a\u1d0a\u1d0b\u029f\u1d0d\u0274\u1d0f\u1d18\ua7af\u0280\ua731"
    "\u1d1b\u1d1c\u1d20\u1d21\u028f\u1d22",
)
_LETTER: Final = re.compile("[A-Za-z]")


def _chance(text: str) -> random.Random:
    return random.Random(text)


def _letters(text: str) -> list[str]:
    return [c for c in unicodedata.normalize("NFKD", text) if c.isascii() and c.isalpha()]


def _between(mark: str) -> Dress:
    return lambda text: " ".join(mark.join(word) for word in text.split())


def _per_word(dress: Dress) -> Dress:
    return lambda text: " ".join(dress(word) for word in text.split())


def _wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def _styled(first_capital: int, first_small: int) -> Dress:
    def dress(text: str) -> str:
        return "".join(
            chr(first_capital + ord(c) - 65)
            if "A" <= c <= "Z"
            else chr(first_small + ord(c) - 97)
            if "a" <= c <= "z"
            else c
            for c in text
        )

    return dress


def _accents(text: str) -> str:
    chance = _chance(text)
    return "".join(
        c + chance.choice("\u0300\u0301\u0302\u0303\u0308\u030a") if c.lower() in "aeioucnsz" else c for c in text
    )


def _zalgo(text: str) -> str:
    chance = _chance(text)
    return "".join(
        c + "".join(chr(chance.randrange(0x300, 0x34F)) for _ in range(chance.randrange(2, 6))) for c in text
    )


def _shift(by: int) -> Dress:
    def turn(found: re.Match[str]) -> str:
        base = 65 if found[0].isupper() else 97
        return chr((ord(found[0]) - base + by) % 26 + base)

    return lambda text: _LETTER.sub(turn, text)


def _any_rotation(text: str) -> str:
    return _shift(_chance(text).randrange(1, 26))(text)


def _atbash(text: str) -> str:
    return _LETTER.sub(lambda found: chr((155 if found[0].isupper() else 219) - ord(found[0])), text)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(text[at : at + width] for at in range(0, len(text), width))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _base64_url(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _numbers(form: str, gap: str) -> Dress:
    return lambda text: gap.join(form.format(byte) for byte in text.encode())


def _morse(word_gap: str) -> Dress:
    return lambda text: word_gap.join(
        " ".join(_CODE_OF[c] for c in word.upper() if c in _CODE_OF)
        for word in text.split()
        if re.search("[A-Za-z0-9]", word)
    )


def _spoken(word_gap: str) -> Dress:
    return lambda text: word_gap.join(
        " ".join(_SPOKEN[c] for c in word.upper() if c in _SPOKEN) for word in text.split() if _LETTER.search(word)
    )


def _leet(table: str) -> Dress:
    source, target = table.split(" ")
    return lambda text: text.lower().translate(str.maketrans(source, target))


def _pig_word(found: re.Match[str]) -> str:
    word = found[0]
    small = word.lower()
    onset = re.match("(?:qu|[^aeiouy]qu|y(?=[aeiou])|[^aeiouy])*", small)
    lead = onset[0] if onset else ""
    turned = small + "way" if not lead else small[len(lead) :] + lead + "ay"
    return turned.capitalize() if word[0].isupper() else turned


def _pig_latin(text: str) -> str:
    return re.sub("[A-Za-z]+", _pig_word, text)


def _cover_word(chance: random.Random, letter: str) -> str:
    words = [word for word in _COVER.split(" ") if word[0] == letter.lower()]
    return chance.choice(words) if words else letter.lower() + "ne"


def _acrostic_lines(text: str) -> str:
    chance = _chance(text)
    lines = []
    for letter in _letters(text):
        rest = " ".join(chance.choice(_COVER.split(" ")) for _ in range(2))
        lines.append(f"{_cover_word(chance, letter).capitalize()} {rest}")
    return "\n".join(lines)


def _acrostic_words(text: str) -> str:
    chance = _chance(text)
    return " ".join(_cover_word(chance, letter) for letter in _letters(text))


def _acrostic_sentences(text: str) -> str:
    chance = _chance(text)
    return " ".join(
        f"{_cover_word(chance, letter).capitalize()} {' '.join(chance.sample(_COVER.split(' '), 4))}."
        for letter in _letters(text)
    )


def _filled(text: str) -> str:
    chance = _chance(text)
    return "".join(c + chance.choice("abcdefghijklmnopqrstuvwxyz") for c in text)


def _tags(text: str) -> str:
    return "Look closely:" + "".join(chr(0xE0000 + ord(c)) for c in text if " " <= c <= "~") + "!"


def _selectors(text: str) -> str:
    return "\U0001f600" + "".join(chr(0xFE00 + b if b < 16 else 0xE0100 + b - 16) for b in text.encode())


def _between_at_random(marks: str) -> Dress:
    def dress(text: str) -> str:
        chance = _chance(text)
        return "".join(c + chance.choice(marks) if c.isalpha() else c for c in text)

    return dress


def _hyphenated(text: str) -> str:
    return " ".join(
        f"{word[: len(word) // 2]}-\n{word[len(word) // 2 :]}" if len(word) > 4 else word for word in text.split()
    )


def _emphasised(mark: str) -> Dress:
    return lambda text: " ".join(
        f"{word[:1]}{mark}{word[1:2]}{mark}{word[2:]}" if len(word) > 2 else word for word in text.split()
    )


def _camel(text: str) -> str:
    return "".join(word.capitalize() for word in re.findall("[A-Za-z]+", text))


def _entities(form: str) -> Dress:
    return lambda text: "".join(form.format(ord(c)) for c in text)


def _half_escaped(text: str) -> str:
    chance = _chance(text)
    return "".join(f"%{ord(c):02X}" if c.isascii() and chance.random() < 0.5 else urllib.parse.quote(c) for c in text)


def _lines_of_code(text: str) -> str:
    words = text.split()
    lines = [f'    "{" ".join(words[at : at + 3])} "' for at in range(0, len(words), 3)]
    return "```python\ntext = (\n" + "\n".join(lines).replace('\\"', "'") + "\n)\n```"


def _comments(text: str) -> str:
    words = text.split()
    return "```python\n" + "\n".join(f"# {' '.join(words[at : at + 3])}" for at in range(0, len(words), 3)) + "\n```"


def _concatenated(text: str) -> str:
    return " + ".join(json.dumps(piece) for piece in re.findall("(?s).{1,3}", text))


def _table(text: str) -> str:
    words = text.split()
    rows = ["| " + " | ".join(words[at : at + 3]) + " |" for at in range(0, len(words), 3)]
    return "\n".join(["| a | b | c |", "|---|---|---|", *rows])


def _numbered(text: str) -> str:
    return "\n".join(f"{number}. {word}" for number, word in enumerate(text.split(), 1))


def _latex(text: str) -> str:
    return " ".join(f"\\textbf{{{word[:2]}}}\\emph{{{word[2:]}}}" for word in text.split())


def _letters_only(gap: str) -> Dress:
    return lambda text: gap.join(_letters(text))


def _spaced_wide(text: str) -> str:
    return "  ".join(" ".join(word) for word in text.split())


def _octets(text: str) -> str:
    return "".join(f"{byte:08b}" for byte in text.encode())


DRESSES: Final[dict[str, Dress]] = {
    # read as words at once
    "plain": str,
    "capitals": str.upper,
    "full width": _wide,
    "mathematical": _styled(0x1D400, 0x1D41A),
    "circled": _styled(0x24B6, 0x24D0),
    "negative circled": _styled(0x1F150, 0x1F150),
    "small capitals": lambda text: text.lower().translate(_SMALL_CAPITALS),
    "homoglyphs": lambda text: text.translate(_TWINS),
    "zero width": _between_at_random("\u200b\u200c\u200d\u2060\ufeff"),
    "variation selectors between": _between_at_random("\ufe00\ufe0e\ufe0f\U000e0100"),
    "tags between": _between_at_random("\U000e0041\U000e0062\U000e007f"),
    "bidi controls": _between_at_random("\u202a\u202c\u202e\u2066\u2069\u200e\u200f"),
    "soft hyphens": _between("\u00ad"),
    "diacritics": _accents,
    "zalgo": _zalgo,
    # letters spelled out
    "spaced": _letters_only(" "),
    "spaced, words apart": _spaced_wide,
    "dots between letters": _between("."),
    "hyphens between letters": _between("-"),
    "one letter per line": _letters_only("\n"),
    "leet": _leet("aeiost 431057"),
    "leet light": _leet("eo 30"),
    "leet hard": _leet("abegilostz 4836!|0$72"),
    "spelling alphabet": _spoken("  "),
    "spelling alphabet, words unknown": _spoken(" "),
    "morse": _morse(" / "),
    "morse, words unknown": _morse(" "),
    # lines and marks
    "hyphenated": _hyphenated,
    "narrow column": lambda text: _wrapped(text, 7),
    "one word per line": lambda text: "\n".join(text.split()),
    "numbered words": _numbered,
    "emphasis in words": _emphasised("**"),
    "strikes in words": _emphasised("~~"),
    "underlines in words": _emphasised("_"),
    "html tags": lambda text: " ".join(f"<b>{word[:1]}</b><i class='x'>{word[1:]}</i>" for word in text.split()),
    "html tag per letter": lambda text: "".join(f"<span>{html.escape(c)}</span>" for c in text),
    "html comments": lambda text: " ".join(f"{word[:2]}<!-- no -->{word[2:]}" for word in text.split()),
    "latex": _latex,
    "camel case": _camel,
    "snake case": lambda text: "_".join(re.findall("[A-Za-z]+", text)).lower(),
    "code strings": _lines_of_code,
    "code comments": _comments,
    "concatenation": _concatenated,
    "table": _table,
    # escapes
    "html entities": _entities("&#{};"),
    "html hex entities": _entities("&#x{:x};"),
    "json escapes": _entities("\\u{:04x}"),
    "json string": lambda text: json.dumps("\n".join(text.split())),
    "hex escapes": _numbers("\\x{:02x}", ""),
    "octal escapes": _numbers("\\{:03o}", ""),
    "url escapes": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "url escapes, some": _half_escaped,
    "url plus": urllib.parse.quote_plus,
    # encodings
    "base64": _base64,
    "base64 url": _base64_url,
    "base64 wrapped": lambda text: _wrapped(_base64(text), 20),
    "base64 per word": _per_word(_base64),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "base32 lower": lambda text: base64.b32encode(text.encode()).decode().lower().rstrip("="),
    "hex": lambda text: text.encode().hex(),
    "hex capitals": lambda text: text.encode().hex().upper(),
    "hex spaced": _numbers("{:02x}", " "),
    "hex colons": _numbers("{:02X}", ":"),
    "hex 0x": _numbers("0x{:02x}", ", "),
    "hex per word": _per_word(lambda word: word.encode().hex()),
    "base85": lambda text: base64.b85encode(text.encode()).decode(),
    "ascii85": lambda text: base64.a85encode(text.encode()).decode(),
    "ascii85 framed": lambda text: base64.a85encode(text.encode(), adobe=True).decode(),
    "binary": _numbers("{:08b}", " "),
    "binary unbroken": _octets,
    "binary seven bits": lambda text: " ".join(f"{ord(c):07b}" for c in text if c.isascii()),
    "decimal codes": _numbers("{}", " "),
    "decimal codes with commas": _numbers("{}", ", "),
    "octal codes": _numbers("{:o}", " "),
    "alphabet numbers": lambda text: " ".join(str(ord(c.lower()) - 96) for c in _letters(text)),
    "tag message": _tags,
    "selector message": _selectors,
    # ciphers and order
    "rot13": _shift(13),
    "rotation": _any_rotation,
    "atbash": _atbash,
    "pig latin": _pig_latin,
    "reversed characters": lambda text: text[::-1],
    "reversed letters": _per_word(lambda word: word[::-1]),
    "reversed words": lambda text: " ".join(reversed(text.split())),
    "interleaved": _filled,
    "interleaved letters": _per_word(_filled),
    "acrostic of lines": _acrostic_lines,
    "acrostic of words": _acrostic_words,
    "acrostic of sentences": _acrostic_sentences,
    # one inside another
    "base64 of base64": lambda text: _base64(_base64(text)),
    "base64 of rot13": lambda text: _base64(_shift(13)(text)),
    "hex of reversed": lambda text: text[::-1].encode().hex(),
    "url escapes of base64": lambda text: "".join(f"%{byte:02X}" for byte in _base64(text).encode()),
    "json escapes of spaced": lambda text: _entities("\\u{:04x}")(" ".join(text)),
    "binary of pig latin": lambda text: _numbers("{:08b}", " ")(_pig_latin(text)),
}
"""Every dress by name."""
