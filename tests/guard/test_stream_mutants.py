"""Each planted bug is caught: some property of `streams.py` fails on the broken machine.

A property that no bug can break would be worth nothing; here the bugs are the test data.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from guard.course import Step
from guard.detector import Window
from guard.errors import MachineMisused
from guard.events import Done, Event, Release, Stop
from guard.glance import Glance
from guard.stream import StreamMachine
from guard.verdict import Action, Verdict
from guard.words import Word
from tests.guard import streams


class NoHoldBack(StreamMachine):
    """Releases what may still become a match."""

    def _limit_now(self, until: int = 0) -> int:
        super()._limit_now(until)
        return self._limit


class WindowEndsAtTheBuffersEnd(StreamMachine):
    """Judges, and releases, whatever has arrived: where a window ends depends on how the text was cut."""

    def feed(self, text: str) -> None:
        super().feed(text)
        if self._reading and len(self._text) > self._segments[-1]:
            self._segments.append(len(self._text))
            self._segmenter.words = 0
            self._steps.append(Step(self._segment_windows(), self._limit_now(len(self._text))))


class TailNotFlushed(StreamMachine):
    """Keeps what it held when the text ends."""

    def end(self) -> None:
        super().end()
        if self._steps:
            self._steps[-1].limit = self._limit


class LosesTheLastWord(StreamMachine):
    """Does not read the word that was still open when the text ended."""

    def end(self) -> None:
        self._splitter.end()
        self._splitter = type(self._splitter)()
        super().end()


class HalfARedactionShown(StreamMachine):
    """Releases up to what is watched, though that stands inside a span that is still growing."""

    def _limit_now(self, until: int = 0) -> int:
        super()._limit_now(until)
        for span in self._watched:
            if span.start < self._limit:
                return max(self._released, min(self._limit, span.start + 5))
        watched = self._watcher.watch_from
        return self._limit if watched is None else min(self._limit, watched)

    def _visible(self, start: int, end: int, spans: Sequence[object]) -> list[tuple[str, int, int, bool]]:
        pieces = super()._visible(start, end, spans)  # type: ignore[arg-type]
        return [(self._text[a:b][:5] if hidden else text, a, b, False) for text, a, b, hidden in pieces]


class ReleaseAfterStop(StreamMachine):
    """Sends the rest of the text after the stop."""

    def _stop(self, verdict: Verdict) -> None:
        super()._stop(verdict)
        rest = self._text[self._released :]
        self._ready.append(Release(rest, self._released, len(self._text)))


class ContextDroppedBetweenWindows(StreamMachine):
    """Judges each sentence by itself."""

    def _segment_windows(self) -> tuple[Window, ...]:
        return super()._segment_windows()[:1]


class FeedsAfterStop(StreamMachine):
    """Accepts text after a stop as if nothing had happened."""

    def feed(self, text: str) -> None:
        if not self._closed:
            super().feed(text)


class ReleasesUnchecked(StreamMachine):
    """Lets a segment go with its own check, before the window that it shares with the next one."""

    def _limit_now(self, until: int = 0) -> int:
        return max(until, super()._limit_now(until))


class LosesTheWatcher(StreamMachine):
    """Takes a conviction for a note."""

    def _convict(self, verdict: Verdict) -> bool:
        super()._convict(Verdict(Action.FLAG, verdict.matches))
        return False


class SaysDoneTooEarly(StreamMachine):
    """Ends before the last release."""

    def next_event(self) -> Event:
        event = super().next_event()
        return Done() if isinstance(event, Release) and self._ended and not isinstance(event, Stop) else event


class GlancesAndLetsGo(StreamMachine):
    """Does not wait for a look, whatever the glance says."""

    def _look_on(self, glance: Glance, words: Sequence[Word], end: int) -> None:
        super()._look_on(glance, words, end)
        self._cleared = end


class ForgetsTheLastCharacters(StreamMachine):
    """Lets a word go as soon as it is read."""

    def _let_go(self, arrived: int) -> None:
        super()._let_go(self._cleared + self._plan.adaptive.hold_back)


class LetsGoWhatALookKept(StreamMachine):
    """Forgets what a look said when the next word comes."""

    def _release(self, limit: int) -> None:
        self._kept = None
        super()._release(limit)


class StopsAtALook(StreamMachine):
    """Takes half a sentence for what it may become."""

    def _see(self, step: Step, judged: Sequence[tuple[Window, Verdict]]) -> None:
        step.look = False
        self._take(step, judged)


CAUGHT_BY = (
    (NoHoldBack, streams.check_redaction_never_shows_half_a_span),
    (WindowEndsAtTheBuffersEnd, streams.check_chunking_changes_nothing),
    (TailNotFlushed, streams.check_allowed_text_leaves_byte_for_byte),
    (LosesTheLastWord, streams.check_nothing_is_lost_at_the_end),
    (HalfARedactionShown, streams.check_redaction_never_shows_half_a_span),
    (ReleaseAfterStop, streams.check_nothing_leaves_after_stop),
    (ContextDroppedBetweenWindows, streams.check_context_spans_windows),
    (FeedsAfterStop, streams.check_nothing_leaves_after_stop),
    (SaysDoneTooEarly, streams.check_allowed_text_leaves_byte_for_byte),
    (ReleasesUnchecked, streams.check_nothing_unchecked_leaves),
    (LosesTheWatcher, streams.check_no_run_of_a_passage_leaves),
    (GlancesAndLetsGo, streams.check_nothing_unchecked_leaves),
    (ForgetsTheLastCharacters, streams.check_the_last_characters_are_held_back),
    (LetsGoWhatALookKept, streams.check_a_sentence_that_was_looked_at_and_kept_stays),
    (StopsAtALook, streams.check_a_sentence_that_was_looked_at_and_kept_stays),
)


@pytest.mark.parametrize(("mutant", "holds"), CAUGHT_BY, ids=lambda x: x.__name__.removeprefix("check_"))
def test_the_planted_bug_breaks_the_property(mutant: type[StreamMachine], holds: streams.Property) -> None:
    @given(world=streams.worlds, case=streams.split_texts())
    @settings(
        max_examples=300,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    def attempt(world: streams.World, case: tuple[str, list[str]]) -> None:
        holds(mutant, world, case[1])

    with pytest.raises((AssertionError, MachineMisused)):
        attempt()
