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
alone (`guard.course`), so the outcome is the same however the text was cut into pieces on its way here.

* A watcher sees each word. What it convicts is a step of its own; what may still become a match is not released.
* `strict`: a segment leaves when every window that covers it was judged, so one segment later.
* `adaptive`: words leave as they come, but for the last few characters, while a glance says that the unfinished
  segment comes near nothing. Else it is looked at closely every few words. A look may let it go or keep it until the
  segment is finished; what stops a text is a finished segment, or the watcher.

What can leak, and how much, is in docs/streaming.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from guard.course import Course, Decide, Step
from guard.detector import Watcher, Window
from guard.errors import MachineMisused
from guard.events import Check, Done, Event, NeedText, Release, Stop
from guard.glance import Glance
from guard.plan import StreamPlan
from guard.spans import Span, merge
from guard.verdict import PLAIN, Action, Verdict


class StreamMachine(Course):
    """Guards one channel. `watcher` sees each word; `decide` turns a watcher's matches into a verdict. Without a
    `glance` the unfinished segment is looked at closely every `opening_words` words."""

    def __init__(self, plan: StreamPlan, watcher: Watcher, decide: Decide, glance: Glance | None = None) -> None:
        super().__init__(plan, watcher, decide, glance)
        self._judged: list[Span] = []  # redacted by a check: known when it is resolved
        self._awaiting: list[Step] = []
        self._ready: deque[Event] = deque()
        self._released = 0
        self._leaked = 0
        self._suspect = False  # a look kept the unfinished segment
        self._kept: int | None = None  # nothing after this leaves before that segment, and the next one, was judged
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
        if self._reading:  # else a stop is on its way: its step waits for checks before it
            self._take_in(text)

    def end(self) -> None:
        """No more text comes. Raises `MachineMisused` the second time."""
        if self._ended:
            raise MachineMisused("a stream machine was ended twice")
        self._ended = True
        if self._reading and not self._closed:
            self._finish()

    def next_event(self) -> Event:
        """What the driver has to do next. A `Check` is repeated until it is resolved."""
        if self._ready:
            return self._ready.popleft()
        if self._closed:
            return Done()
        self._release(self._free)
        if not self._awaiting:
            self._settle()
        if self._ready:
            return self._ready.popleft()
        if self._awaiting:
            return self._check()
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

    def _check(self) -> Check:
        return Check(tuple(w for step in self._awaiting for w in step.windows))

    def _settle(self) -> None:
        """Take the steps that need no check."""
        while self._steps and not self._steps[0].windows and not self._closed:
            self._take(self._steps.popleft(), [])

    def _take(self, step: Step, judged: Sequence[tuple[Window, Verdict]]) -> None:
        if step.verdict is not None:
            self._noted.append(step.verdict)
            if step.verdict.action.stops:
                self._release(step.limit)
                self._stop(step.verdict)
                return
        if step.look:
            self._see(step, judged)
            return
        for window, verdict in judged:
            if verdict.matches or verdict.failed:
                self._noted.append(verdict)
            if verdict.action.stops:
                self._stop(verdict)
                return
            if verdict.action is Action.REDACT:
                self._redact(window, verdict)
        if step.closes:
            self._kept = step.since if self._suspect and not step.final else None
            self._suspect = False
        self._release(step.limit)
        if step.final:
            self._closed = True

    def _see(self, step: Step, judged: Sequence[tuple[Window, Verdict]]) -> None:
        """A look decides nothing that finished segments will not decide: it lets text go, or keeps it until then. What
        it keeps waits for the next segment too: both together may say what neither does alone."""
        if any(verdict.action >= Action.REDACT for _, verdict in judged):
            self._suspect = True
            self._kept = self._released if self._kept is None else self._kept
        else:
            self._release(step.limit)

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
        if self._kept is not None:
            limit = min(limit, self._kept)
        if limit <= self._released:
            return
        spans = self._watched
        if self._judged:
            spans = list(self._watched)
            for span in self._judged:
                merge(spans, span.start, span.end)
        for text, start, end, redacted in self._visible(self._released, limit, spans):
            self._ready.append(Release(text, start, end, redacted))
        self._released = limit
