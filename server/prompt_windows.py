"""The windows of a conversation: of each text by itself, and of its last turns together.

```
    user: Tell me of Ada Quill.   assistant: Gladly.   user: Where was she born?
    |---------------------------------------------------------------------------|   the last turns
    |--------------------------|                       |------------------------|   the user's own of them
```
What is split over turns shows only where they are read together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from guard.detector import Window
from guard.lattice import dressed_windows
from guard.segments import WindowRule
from guard.windows import windows_of
from guard.words import words_of

LAST_TURNS: Final = 6
"""Turns that are read together: a question seldom leans on more."""

TURN_WORDS: Final = 96
"""Words that a long turn gives to the turns read together: half of them its first, half its last."""

_WHOLE_TURNS: Final = (2, 3, 4)
_WHOLE_WORDS: Final = 96  # the last turns are also read in one window where they have so few words


def prompt_windows(texts: Sequence[str], together: Sequence[Sequence[str]], rule: WindowRule) -> list[Window]:
    """Every window once, since turns repeat. `together` holds series of turns whose ends are read together."""
    found = [window for text in texts for window in (*windows_of(text, rule), *dressed_windows(text))]
    for turns in together:
        found += _joined([ends for text in turns[-LAST_TURNS:] if words_of(ends := _ends(text))], rule)
    once: dict[tuple[str, str], Window] = {}
    for window in found:
        once.setdefault((window.text.strip(), window.view), window)
    return list(once.values())


def _joined(turns: Sequence[str], rule: WindowRule) -> Iterator[Window]:
    if len(turns) < 2:
        return
    yield from windows_of("\n".join(turns), rule)
    for count in _WHOLE_TURNS:
        whole = "\n".join(turns[-count:])
        if len(whole.split()) <= _WHOLE_WORDS:
            yield Window(whole, 0, len(whole))


def _ends(text: str) -> str:
    """A text without the middle of it where it is long."""
    words = text.split()
    half = TURN_WORDS // 2
    return text if len(words) <= TURN_WORDS else " ".join([*words[:half], *words[-half:]])
