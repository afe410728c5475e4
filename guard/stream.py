"""The stream machine: what of a growing text may leave, and when. No I/O: drivers move text and verdicts.

```
    released <= checked <= len(text)
    "The treaty was signed in 1648 by the two envoys of the"
     |-- released --|-- held back --|-- not yet checked --|

    feed(text) / end() --> next_event() --> NeedText   give me more text
                                        --> Check      judge these windows, then resolve(verdicts)
                                        --> Release    this may leave, in order
                                        --> Stop       nothing more leaves (rewrite or block)
                                        --> Done       all of the text was dealt with
```

Everything is decided in the order of the text. The text is read token by token; each token may add a *step*: windows
that must be judged, and how far text may leave once they, and all steps before, are clear. Steps depend on the text
alone, so the outcome is the same however the text was cut into pieces on its way here.

* A watcher sees each word. What it convicts is a step of its own; what may still become a match is not released.
* `strict`: a segment leaves when every window that covers it was judged, so one segment later.
* `adaptive`: the unfinished segment is judged every few words and leaves as soon as it is clear.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from guard.detector import Watcher, Window
from guard.errors import MachineMisused
from guard.events import Check, Done, Event, NeedText, Release, Stop
from guard.lattice import Lattice
from guard.plan import StreamPlan
from guard.policy import Streaming
from guard.segments import Segmenter
from guard.spans import Span, merge, shown
from guard.stretches import Stretches
from guard.verdict import PLAIN, Action, Match, Verdict
from guard.words import Token, TokenSplitter, words_of_token

Decide = Callable[[Sequence[Match]], Verdict]


@dataclass(slots=True)
class _Step:
    """One moment in the text: judge `windows`, then text may leave up to `limit`."""

    windows: tuple[Window, ...]
    limit: int
    verdict: Verdict | None = None  # a watcher's, needs no check
    final: bool = False


class StreamMachine:
    """Guards one channel. `watcher` sees each word; `decide` turns a watcher's matches into a verdict."""

    def __init__(self, plan: StreamPlan, watcher: Watcher, decide: Decide) -> None:
        self._plan, self._watcher, self._decide = plan, watcher, decide
        self._splitter = TokenSplitter()
        self._segmenter = Segmenter(plan.rule)
        self._lattice = Lattice(plan.rule)
        self._stretches = Stretches(plan.rule)
        self._text = ""
        self._segments: list[int] = [0]  # where each segment begins; the last one is unfinished
        self._opening = 0  # words of the unfinished segment that were judged
        self._watched: list[Span] = []  # redacted by the watcher: known while reading
        self._judged: list[Span] = []  # redacted by a check: known when it is resolved
        self._steps: deque[_Step] = deque()
        self._awaiting: list[_Step] = []
        self._ready: deque[Event] = deque()
        self._released = 0
        self._leaked = 0
        self._limit = 0
        self._reading = True  # false once a watcher's verdict stops the text, or the text ended
        self._ended = self._closed = False
        self._noted: list[Verdict] = []

    @property
    def released(self) -> int:
        """Characters of the original text that have left or were redacted."""
        return self._released

    @property
    def held(self) -> int:
        """Characters that arrived and have not left."""
        return len(self._text) - self._released

    @property
    def leaked(self) -> int:
        """Characters that had left before a verdict condemned them (redacted too late, or stopped)."""
        return self._leaked

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """Every verdict so far that found something, in the order of the text."""
        return self._noted

    def feed(self, text: str) -> None:
        """More text. Raises `MachineMisused` after `end()` or a `Stop`."""
        if self._ended or self._closed:
            raise MachineMisused("text was fed to a stream machine that has ended")
        if not self._reading:
            return  # a stop is on its way: its step waits for checks before it
        self._text += text
        for token in self._splitter.feed(text):
            if not self._read(token, self._text[token.end : token.end + 1]):
                return

    def end(self) -> None:
        """No more text comes. Raises `MachineMisused` the second time."""
        if self._ended:
            raise MachineMisused("a stream machine was ended twice")
        self._ended = True
        if not self._reading or self._closed:
            return
        for token in self._splitter.end():
            if not self._read(token, "\n"):
                return
        self._reading = False
        windows: tuple[Window, ...] = ()
        if self._segments[-1] < len(self._text):
            self._segments.append(len(self._text))
            windows = self._segment_windows()
        self._steps.append(_Step(windows, len(self._text), final=True))

    def next_event(self) -> Event:
        """What the driver has to do next. A `Check` is repeated until it is resolved."""
        if self._ready:
            return self._ready.popleft()
        if self._closed:
            return Done()
        if self._awaiting:
            return self._check()
        self._settle()
        if self._ready:
            return self._ready.popleft()
        if self._steps:
            self._awaiting = [step for step in self._steps if step.windows]
            return self._check()
        return Done() if self._closed else NeedText()

    def resolve(self, verdicts: Sequence[Verdict]) -> None:
        """The verdicts of the last `Check`, one per window. Raises `MachineMisused` when none was asked for."""
        asked = sum(len(step.windows) for step in self._awaiting)
        if not asked or asked != len(verdicts):
            raise MachineMisused(f"{len(verdicts)} verdicts for a check of {asked} windows")
        answers = iter(verdicts)
        judged = [(step, [(w, next(answers)) for w in step.windows]) for step in self._awaiting]
        self._awaiting = []
        by_step = {id(step): pairs for step, pairs in judged}
        while self._steps and not self._closed:
            step = self._steps[0]
            if step.windows and id(step) not in by_step:
                break
            self._steps.popleft()
            self._take(step, by_step.get(id(step), []))

    def _read(self, token: Token, following: str) -> bool:
        """Read one token; `following` is the character after it. False when the text stops here."""
        words = words_of_token(token)
        held = self._held_from
        self._stretches.push(words)
        self._lattice.push(token, words)
        for word in words:
            matches = self._watcher.push(word)
            if matches and self._convict(self._decide(matches)):
                return False
        ends = self._segmenter.push(token, len(words), following)
        if ends:
            self._segments.append(token.end)
            self._opening = 0
            self._add_step(self._segment_windows(), token.end)
        elif self._opens(words):
            self._opening = self._segmenter.words
            self._add_step((self._window(self._segments[-1], token.end, len(self._segments) - 1),), token.end)
        elif held is not None and self._held_from != held:
            self._add_step((), self._limit)
        return True

    @property
    def _held_from(self) -> int | None:
        """Where the tail begins that may still become a match, in any dress."""
        tails = [at for at in (self._watcher.watch_from, self._lattice.watch_from) if at is not None]
        return min(tails, default=None)

    def _opens(self, words: Sequence[object]) -> bool:
        if not words or self._plan.streaming is Streaming.STRICT or self._plan.hold_whole:
            return False
        return self._segmenter.words - self._opening >= self._plan.rule.opening_words

    def _convict(self, verdict: Verdict) -> bool:
        """Act on a watcher's verdict. True when the text stops here."""
        if verdict.action.stops:
            self._reading = False
            self._steps.append(_Step((), self._limit_now(), verdict))
            return True
        if verdict.matches:
            if verdict.action is Action.REDACT:
                for match in verdict.matches:
                    merge(self._watched, match.start, match.end)
            self._steps.append(_Step((), self._limit_now(), verdict))
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

    def _add_step(self, windows: tuple[Window, ...], until: int) -> None:
        self._steps.append(_Step(windows, self._limit_now(until)))

    def _limit_now(self, until: int = 0) -> int:
        """How far text may leave when all that was read so far is clear; what was judged ends at `until`."""
        if self._plan.hold_whole:
            return 0
        if self._plan.streaming is Streaming.STRICT:
            limit = self._segments[max(0, len(self._segments) - 1 - self._plan.rule.overlap)]
        else:
            limit = until
        self._limit = max(self._limit, limit)
        watched = self._held_from
        limit = self._limit if watched is None else min(self._limit, watched)
        for span in self._watched:
            if span.start < limit and (span.end > limit or (watched is not None and watched < span.end)):
                limit = span.start
                break
        return limit

    def _check(self) -> Check:
        return Check(tuple(w for step in self._awaiting for w in step.windows))

    def _settle(self) -> None:
        """Take the steps that need no check."""
        while self._steps and not self._steps[0].windows and not self._closed:
            self._take(self._steps.popleft(), [])

    def _take(self, step: _Step, judged: Sequence[tuple[Window, Verdict]]) -> None:
        if step.verdict is not None:
            self._noted.append(step.verdict)
            if step.verdict.action.stops:
                self._release(step.limit)
                self._stop(step.verdict)
                return
        for window, verdict in judged:
            if verdict.matches or verdict.failed:
                self._noted.append(verdict)
            if verdict.action.stops:
                self._stop(verdict)
                return
            if verdict.action is Action.REDACT:
                self._redact(window, verdict)
        self._release(step.limit)
        if step.final:
            self._closed = True

    def _redact(self, window: Window, verdict: Verdict) -> None:
        """Redact a window, or of a dressed one what was found in it. When a window inside this one is redacted already,
        the wider one only saw the same again."""
        spans = [(window.start, window.end)] if window.view == PLAIN else [(m.start, m.end) for m in verdict.matches]
        for start, end in spans:
            if not any(start <= s.start and s.end <= end for s in self._judged):
                self._leaked += max(0, self._released - start)
                merge(self._judged, start, end)

    def _stop(self, verdict: Verdict) -> None:
        spans: list[Span] = []
        for match in verdict.matches:
            merge(spans, match.start, match.end)
        leaked = sum(max(0, min(s.end, self._released) - s.start) for s in spans)
        self._leaked += leaked
        self._closed = True
        self._reading = False
        self._steps.clear()
        self._ready.append(Stop(verdict, leaked))

    def _release(self, limit: int) -> None:
        if limit <= self._released:
            return
        spans = list(self._watched)
        for span in self._judged:
            merge(spans, span.start, span.end)
        for text, start, end, redacted in self._visible(self._released, limit, spans):
            self._ready.append(Release(text, start, end, redacted))
        self._released = limit

    def _visible(self, start: int, end: int, spans: Sequence[Span]) -> list[tuple[str, int, int, bool]]:
        return shown(self._text, start, end, spans, self._plan.redaction)
