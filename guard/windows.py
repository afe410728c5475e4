"""The windows of a complete text: the same that the stream machine judges, so that both sides of a comparison match."""

from __future__ import annotations

from guard.detector import Window
from guard.segments import DEFAULT_RULE, Segmenter, WindowRule
from guard.stretches import Stretches
from guard.words import TokenSplitter, words_of_token


def windows_of(text: str, rule: WindowRule = DEFAULT_RULE, context: str = "", stretched: bool = True) -> list[Window]:
    """The windows that end with each segment of `text`, in its order; then, if `stretched`, its stretches.

    ```
        segments:  |--- a ---|--- b ---|--- c ---|
        windows:    a, b, ab, c, bc                      with overlap 1
    ```

    `context` is the turn that the text answers; only windows near the beginning carry it. A text without words has
    no windows.
    """
    splitter, segmenter = TokenSplitter(), Segmenter(rule)
    starts = [0]
    windows: list[Window] = []
    stretches = Stretches(rule)

    def finish(end: int) -> None:
        if not stretches.words:
            return
        last = len(starts) - 1
        for segment in range(last, max(0, last - rule.overlap) - 1, -1):
            near = segment < rule.exchange_segments
            windows.append(Window(text[starts[segment] : end], starts[segment], end, context if near else ""))
        near = last < rule.exchange_segments
        spans = stretches.finish()
        for start, stop in spans if stretched else ():
            windows.append(Window(text[start:stop], start, stop, context if near else "", part=True))

    tokens = [(token, text[token.end : token.end + 1]) for token in splitter.feed(text)]
    tokens += [(token, "\n") for token in splitter.end()]
    for token, following in tokens:
        words = words_of_token(token)
        stretches.push(words)
        if segmenter.push(token, len(words), following):
            finish(token.end)
            starts.append(token.end)
    if starts[-1] < len(text):
        finish(len(text))
    return windows
