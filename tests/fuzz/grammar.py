"""Streams that a model server might send, and should not: a grammar of legal events, and what is done to them.

```
    events of an answer --edit--> other values, other order, forgotten text anywhere
        --spell--> JSON, spaced, escaped, with keys twice  --frame--> CRLF, comments, lines, names
        --break--> bytes lost, doubled, changed            --cut--> pieces of the network
```
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from random import Random
from typing import Any

from tests.planted.answers import FINE, Answers, Json
from tests.planted.canary import ANYTHING, FACT, FORGOTTEN, TOKEN, WORDS

_ODD_VALUES: Sequence[Any] = (
    *(None, True, False, 0, -1, 1, 3, 7, 1 << 53, 1 << 63, 1 << 64, 10**40, 1.5, -0.0, 1e308, 1e-300),
    *("", " ", "\x00", "\u2028", "\ud83d\ude00", "[DONE]", "data: ", "stop", "tool_use", "text", "error"),
    *([], {}, [[]], [{}], {"": ""}, [None], [1, 2], {"type": None}, {"index": -1}),
)
_ODD_KEYS = ("error", "index", "type", "choices", "delta", "usage", "", "content", "text", "unheard", "finish_reason")
_ODD_TEXTS = ("\u2003", "\n", "\t", "\U0001f600", "e\u0301", "\u200b", '"', "\\", "\x7f", "<b>")
_ODD_BYTES = (
    *(b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n\r\n", b"\n\n", b"\x85"),
    *(b"\\ud800", b"\\", b'"', b"{", b"}", b"[", b"]", b",", b"NaN", b"-Infinity", b"1e999", b"data:", b":"),
)


def text_of(draw: Random) -> str:
    """Words of every kind: harmless, and runs of a passage that end anywhere."""
    parts: list[str] = []
    for _ in range(draw.randint(1, 4)):
        kind = draw.randrange(8)
        if kind == 7:
            parts.append(FACT)
        elif kind < 3:
            start = draw.randrange(len(WORDS))
            parts += WORDS[start : start + draw.randint(1, 9)]
        elif kind == 3:
            parts.append(
                draw.choice(("\u2003", "\n", "\t", "\U0001f600", "e\u0301", "\u200b", '"', "\\", "\x7f", "<b>"))
            )
        else:
            parts += draw.sample(FINE.split(), draw.randint(1, 4))
    return draw.choice((" ", " ", " ", "", "-", "\n")).join(parts) + draw.choice(("", " ", ". "))


def _places(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [at] if at else []
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += _places(item, (*at, key))
    return found


def _edited(event: Json, draw: Random) -> Json:
    """An event with one thing in it changed."""
    event = copy.deepcopy(event)
    places = [place for place in _places(event) if place[-1] != "model"]  # what it is called is the operator's word
    if not places:
        return event
    *before, last = draw.choice(places)
    holder: Any = event
    for step in before:
        holder = holder[step]
    kind, old = draw.randrange(8), holder[last]
    if kind < 4 and isinstance(old, str):
        holder[last] = text_of(draw)
    elif kind == 4:
        holder[last] = draw.choice(_ODD_VALUES)
    elif kind == 5:
        # what a tool is asked for may hold numbers, which the guard does not take for letters
        holder[last] = copy.deepcopy(draw.choice(FORGOTTEN[:4] if "input" in (*before, last) else FORGOTTEN))
    elif kind == 6 and isinstance(holder, dict):
        del holder[last]
    elif isinstance(holder, dict):
        if "input" not in before:  # what a tool is asked for may have any name
            holder["unheard"] = copy.deepcopy(draw.choice(tuple(ANYTHING.values())))
        told = FORGOTTEN[:4] if "input" in before else FORGOTTEN
        holder[draw.choice(_ODD_KEYS)] = copy.deepcopy(draw.choice((*told, *_ODD_VALUES)))
    return event


def events_of(answers: Answers, draw: Random, choices: int) -> list[Json]:
    """The events of an answer: some again, some never, some elsewhere, some other than they were."""
    events = answers.stream(choices)
    for _ in range(draw.choice((0, 0, 1, 2, 6))):
        number, other = draw.randrange(len(events)), draw.randrange(len(events))
        kind = draw.randrange(4)
        if kind == 0 and len(events) > 1:
            del events[number]
        elif kind == 1:
            events.insert(other, copy.deepcopy(events[number]))
        elif kind == 2:
            events[number], events[other] = events[other], events[number]
        else:
            again = [_edited(events[number], draw) for _ in range(draw.randint(1, 5))]
            events[number:number] = again
    rate = draw.choice((0.0, 0.1, 0.5, 0.9))
    return [_edited(event, draw) if draw.random() < rate else event for event in events]


def _spelled(event: Json, draw: Random) -> bytes:
    kind = draw.randrange(12)
    if kind == 0:
        text = json.dumps(event)
    elif kind == 1:
        text = json.dumps(event, indent=draw.choice((0, 1)))
    elif kind == 2:
        inner = json.dumps(event, separators=(",", ":"))
        text = f"{{{json.dumps(draw.choice(tuple(event) or ('a',)))}:{json.dumps(TOKEN)},{inner[1:]}"
    elif kind == 3:
        text = json.dumps({**event, "unheard": 0}).replace('"unheard": 0', '"unheard":' + "[" * 600 + "]" * 600)
    else:
        text = json.dumps(event, separators=(",", ":"), ensure_ascii=kind == 4)
    return text.encode("utf-8", "surrogatepass")


def _framed(data: bytes, name: bytes, draw: Random) -> bytes:
    end = draw.choice((b"\n", b"\n", b"\n", b"\n", b"\r\n", b"\r"))
    lines = [b"data: " + part for part in data.split(b"\n")] if b"\n" in data else [b"data: " + data]
    if name:
        lines.insert(0, b"event: " + name)
    kind = draw.randrange(16)
    if kind == 0:
        lines.insert(draw.randint(0, len(lines)), b": " + TOKEN.encode())
    elif kind == 1:
        lines.insert(0, draw.choice((b"id: ", b"retry: ", b"event: ", b"event:", b"x", b"id")) + TOKEN.encode())
    elif kind == 2 and len(data) > 4:
        places = [m + 1 for m, byte in enumerate(data) if byte == ord(",")]
        if places:
            place = draw.choice(places)
            lines[-1:] = [b"data: " + data[:place], b"data:" + data[place:]]
    elif kind == 3:
        lines[-1] = b"data:" + lines[-1][len(b"data: ") :]
    elif kind == 4:
        return end.join(lines) + end + draw.choice((b"", end, end * 3))
    return end.join(lines) + end * 2


def _broken(data: bytes, draw: Random) -> bytes:
    for _ in range(draw.randint(1, 4)):
        place, other = sorted((draw.randint(0, len(data)), draw.randint(0, len(data))))
        kind = draw.randrange(6)
        if kind == 0:
            data = data[:place] + draw.choice(_ODD_BYTES) + data[place:]
        elif kind == 1:
            data = data[:place] + data[place + draw.randint(1, 40) :]
        elif kind == 2:
            data = data[:other]
        elif kind == 3:
            data = data[:place] + data[place : place + 80] + data[place:]
        elif data:
            at = min(place, len(data) - 1)
            data = data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
    return data


def stream_of(answers: Answers, draw: Random, choices: int) -> bytes:
    """The bytes of a stream."""
    odd = draw.random() < 0.5
    out: list[bytes] = []
    for event in events_of(answers, draw, choices):
        name = str(event.get("type", "")).encode("utf-8", "replace")[:80] if answers.named else b""
        name = name.replace(b"\n", b"").replace(b"\r", b"")
        if odd:
            out.append(_framed(_spelled(event, draw), name, draw))
        else:
            told = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
            out.append((b"event: " + name + b"\n" if name else b"") + b"data: " + told + b"\n\n")
    last = draw.choice((b"data: [DONE]\n\n", b"data: [DONE]\n\n", b"", b"data: [DONE]", b"data:[DONE]\r\n\r\n"))
    data = b"".join(out) + (last if not answers.named or draw.random() < 0.2 else b"")
    return _broken(data, draw) if draw.random() < 0.3 else data


def body_of(answers: Answers, draw: Random, choices: int) -> bytes:
    """The bytes of a whole answer."""
    body = answers.whole(choices)
    for _ in range(draw.choice((0, 1, 2, 8))):
        body = _edited(body, draw)
    data = _spelled(body, draw)
    return _broken(data, draw) if draw.random() < 0.2 else data


def cuts_of(data: bytes, draw: Random) -> list[int]:
    """Where the network cuts."""
    kind = draw.randrange(4)
    if kind == 0 or not data:
        return []
    if kind == 1:
        return list(range(1, len(data)))
    if kind == 2:
        return list(range(1, len(data), draw.randint(2, 300)))
    return [draw.randrange(1, len(data) + 1) for _ in range(draw.randint(1, 12))]
