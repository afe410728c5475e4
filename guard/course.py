"""The course of a growing text: what must be judged, and how far it may leave, word by word. The reading half of the
stream machine (`guard.stream`), which decides what is done about it.

```
    strict:     | a segment that was judged | the next one: its window still covers the one before |
                                  may leave ^
    adaptive:   | judged | words that nothing comes near to     the la|st 12 characters|
                                                            may leave ^
                | judged | words that seem to become something … held, looked at closely every few words
                         ^ may leave
```
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from guard.detector import Watcher, Window
from guard.glance import Glance
from guard.lattice import Lattice
from guard.plan import StreamPlan
from guard.policy import Streaming
from guard.segments import Segmenter
from guard.spans import Span, merge, shown
from guard.stretches import Stretches
from guard.verdict import Action, Match, Verdict
from guard.words import Token, TokenSplitter, Word, words_of_token

Decide = Callable[[Sequence[Match]], Verdict]


@dataclass(slots=True)
class Step:
    """One moment in the text: judge `windows`, then text may leave up to `limit`.

    `verdict` is a watcher's and needs no check. A `look` is about a segment that is not finished: it may only let text
    go. A step that `closes` is about a finished one, which begins at `since`. The `final` step ends the text.
    """

    windows: tuple[Window, ...]
    limit: int
    verdict: Verdict | None = None
    look: bool = False
    closes: bool = False
    since: int = 0
    final: bool = False


class Course:
    """Reads one channel. Everything follows from the text alone, never from how it arrived."""

    def __init__(self, plan: StreamPlan, watcher: Watcher, decide: Decide, glance: Glance | None = None) -> None:
        self._plan, self._watcher, self._decide = plan, watcher, decide
        self._adaptive = plan.streaming is Streaming.ADAPTIVE and not plan.hold_whole
        self._glance = glance if self._adaptive else None
        self._splitter = TokenSplitter()
        self._segmenter = Segmenter(plan.rule)
        self._lattice = Lattice(plan.rule)
        self._stretches = Stretches(plan.rule)
        self._text = ""
        self._segments: list[int] = [0]  # where each segment begins; the last one is unfinished
        self._unseen = 0  # words of the unfinished segment since the last look at it, as far as they are held
        self._watched: list[Span] = []  # redacted by the watcher: known while reading
        self._held: int | None = None  # where the tail begins that may still become a match, in any dress
        self._stale = False  # more was read since that was found out
        self._waiting = False  # something that was judged is held by it
        self._cleared = 0  # adaptive: where what may leave ends, but for what is always held back
        self._limit = 0
        self._brink = (0, 0)  # the token that ended the last tail which might have become a match
        self._steps: deque[Step] = deque()
        self._free = 0  # how far text may leave before the first step
        self._reading = True  # false once a watcher's verdict stops the text, or the text ended

    def _take_in(self, text: str) -> None:
        """More text."""
        self._text += text
        for token in self._splitter.feed(text):
            if not self._read(token, self._text[token.end : token.end + 1]):
                return
        if self._glance is not None:
            self._let_go(len(self._text))

    def _finish(self) -> None:
        """No more text comes."""
        for token in self._splitter.end():
            if not self._read(token, "\n"):
                return
        self._reading = False
        windows: tuple[Window, ...] = ()
        if self._segments[-1] < len(self._text):
            self._segments.append(len(self._text))
            windows = self._segment_windows()
        self._steps.append(Step(windows, len(self._text), closes=True, final=True))

    def _read(self, token: Token, following: str) -> bool:
        """Read one token; `following` is the character after it. False when the text stops here."""
        if self._glance is not None:
            self._let_go(token.end)
        words = words_of_token(token)
        self._stretches.push(words)
        self._lattice.push(token, words)
        before = self._watcher.watch_from if words else None
        for word in words:
            matches = self._watcher.push(word)
            if matches and self._convict(self._decide(matches)):
                return False
        if before is not None and before != self._watcher.watch_from:
            self._brink = (token.start, token.end)
        self._stale = True
        if self._segmenter.push(token, len(words), following):
            self._cut(token.end)
        elif self._glance is not None:
            self._look_on(self._glance, words, token.end)
        elif self._adaptive and words and self._segmenter.words - self._unseen >= self._plan.rule.opening_words:
            self._unseen = self._segmenter.words
            self._look(token.end, token.end)
        elif self._waiting:
            self._let_go(token.end)
        return True

    def _hold(self) -> None:
        watched, dressed = self._watcher.watch_from, self._lattice.watch_from
        if watched is None or (dressed is not None and dressed < watched):
            watched = dressed
        self._held = watched

    def _cut(self, end: int) -> None:
        """The segment is finished."""
        self._segments.append(end)
        self._unseen = 0
        until = end
        if self._glance is not None:
            self._glance.cut()
            until = self._back_from(end)  # judged, and still held: else the next words would come after a gap
        windows = self._segment_windows()
        self._steps.append(Step(windows, self._limit_now(until), closes=True, since=self._segments[-2]))
        self._cleared = end

    def _look_on(self, glance: Glance, words: Sequence[Word], end: int) -> None:
        """Let the unfinished segment go up to here, or hold it and look at it closely every few words."""
        if words and glance.push(words):
            if not self._unseen:  # what was about to leave stays: it may be the first half of a name
                self._cleared = min(self._cleared, max(self._segments[-1], end - self._plan.adaptive.hold_back))
            self._unseen += len(words)
            if self._unseen >= self._plan.adaptive.look_words:
                self._unseen = 0
                self._look(end, self._back_from(end))
                self._cleared = end
        elif words or not self._unseen:
            self._unseen = 0
            self._cleared = end

    def _look(self, end: int, until: int) -> None:
        window = replace(self._window(self._segments[-1], end, len(self._segments) - 1), unfinished=True)
        self._steps.append(Step((window,), self._limit_now(until), look=True))

    def _let_go(self, arrived: int) -> None:
        """More has arrived: what was cleared may leave, but for the end of it all."""
        until = min(self._cleared, self._back_from(arrived))
        if until <= self._limit and not self._waiting:
            return
        limit = self._limit_now(until)
        if limit <= self._free:
            return
        if not self._steps:
            self._free = max(self._free, limit)
        elif self._steps[-1].windows or self._steps[-1].verdict:
            self._steps.append(Step((), limit))
        else:
            self._steps[-1].limit = max(self._steps[-1].limit, limit)

    def _back_from(self, arrived: int) -> int:
        """What is always held back begins here. It does not cut the word after a tail that was held: a part of that
        word might be the one that the tail waited for, if nothing more of it left."""
        until = arrived - self._plan.adaptive.hold_back
        start, end = self._brink
        return start if start < until < end else until

    def _convict(self, verdict: Verdict) -> bool:
        """Act on a watcher's verdict. True when the text stops here."""
        self._stale = True
        if verdict.action.stops:
            self._reading = False
            begin = min(match.start for match in verdict.matches) if verdict.matches else len(self._text)
            self._steps.append(Step((), min(begin, self._limit_now()), verdict))
            return True
        if verdict.matches:
            if verdict.action is Action.REDACT:
                for match in verdict.matches:
                    merge(self._watched, match.start, match.end)
            self._steps.append(Step((), self._limit_now(), verdict))
        return False

    def _segment_windows(self) -> tuple[Window, ...]:
        """The windows that end with the segment just finished, its stretches, and those in another dress."""
        last = len(self._segments) - 2
        first = max(0, last - self._plan.rule.overlap)
        end = self._segments[-1]
        plain = range(last, first - 1, -1) if self._stretches.words else ()
        windows = [self._window(self._segments[i], end, i) for i in plain]
        windows += [replace(self._window(*span, last), part=True) for span in self._stretches.finish()]
        return (*windows, *self._lattice.windows(self._text[:end], self._segments[:-1], self._plan.context))

    def _window(self, start: int, end: int, segment: int) -> Window:
        """original[start:end] as it would leave, with the turn that it answers when it opens the text."""
        near = segment < self._plan.rule.exchange_segments
        text = "".join(piece for piece, _, _, _ in self._visible(start, end, self._watched))
        return Window(text, start, end, self._plan.context if near else "")

    def _limit_now(self, until: int = 0) -> int:
        """How far text may leave when all that was read so far is clear; what was judged ends at `until`."""
        if self._plan.hold_whole:
            return 0
        if not self._adaptive:
            limit = self._segments[max(0, len(self._segments) - 1 - self._plan.rule.overlap)]
        else:
            limit = until
        self._limit = max(self._limit, limit)
        if self._stale:
            self._hold()
            self._stale = False
        watched = self._held
        limit = self._limit if watched is None else min(self._limit, watched)
        for span in self._watched:
            if span.start < limit and (span.end > limit or (watched is not None and watched < span.end)):
                limit = span.start
                break
        self._waiting = limit < self._limit
        return limit

    def _visible(self, start: int, end: int, spans: Sequence[Span]) -> list[tuple[str, int, int, bool]]:
        if not spans:
            return [(self._text[start:end], start, end, False)] if start < end else []
        return shown(self._text, start, end, spans, self._plan.redaction)
