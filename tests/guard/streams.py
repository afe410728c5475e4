"""What the stream tests share: a small world to guard, texts in it, and the properties as functions of a machine class.

The properties take the class so that the planted bugs of `test_stream_mutants.py` meet the very same checks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import strategies as st

from guard.detector import Window
from guard.errors import MachineMisused
from guard.events import Check, Done, NeedText, Release, Stop
from guard.fingerprint import FingerprintWatcher, Shingler, fingerprint
from guard.glance import Glance
from guard.plan import StreamPlan
from guard.policy import Adaptive, Policy, Rule, Rules, Streaming
from guard.scan import Outcome, scan
from guard.segments import WindowRule
from guard.stream import StreamMachine
from guard.verdict import PLAIN, Action, Kind, Match, Side, Verdict
from guard.words import Word, words_of

K = 4
SHINGLER = Shingler(b"0123456789abcdef")
PASSAGE = "the lamp keeper of orsk climbs the iron stair and the lamp answers him with a slow green light"
SHORT = "amber falcon"
RULE = WindowRule(min_words=2, max_words=9, overlap=1, opening_words=3, exchange_segments=1)
PLACEHOLDER = "[redacted]"
ADAPTIVE = Adaptive(hold_back=6, look_words=2)


class Sight:
    """Stands for a static embedding: a segment that has spoken of either half of the fact comes near it."""

    def __init__(self) -> None:
        self._near = False

    def push(self, words: Sequence[Word]) -> bool:
        self._near = self._near or any(word.norm in ("copper", "treaty") for word in words)
        return self._near

    def cut(self) -> None:
        self._near = False


class Table:
    """A ShingleTable of a few passages."""

    def __init__(self, passages: dict[str, str], k: int = K) -> None:
        self._entries: dict[int, list[tuple[str, Kind]]] = {}
        self._grams: set[int] = set()
        lengths = set()
        for entry_id, text in passages.items():
            printed = fingerprint(text, SHINGLER, k)
            assert printed is not None
            lengths.add(printed.length)
            self._grams |= printed.grams
            for digest in printed.shingles:
                self._entries.setdefault(digest, []).append((entry_id, Kind.PASSAGE))
        self.lengths = sorted(lengths)
        self.letter_lengths: Sequence[int] = ()

    def entries(self, digest: int) -> Sequence[tuple[str, Kind]]:
        return self._entries.get(digest, ())

    def continues(self, digest: int) -> bool:
        return digest in self._grams

    def letter_entries(self, digest: int) -> Sequence[tuple[str, Kind]]:
        return ()


TABLE = Table({"p1": PASSAGE, "p2": SHORT})
RUNS = frozenset(
    tuple(words[i : i + n])
    for text in (PASSAGE, SHORT)
    for words in [text.split()]
    for n in [min(K, len(words))]
    for i in range(len(words) - n + 1)
)


def rules(action: Action, streaming: Streaming = Streaming.ADAPTIVE) -> Rules:
    policy = Policy(answer_actions=dict.fromkeys(Kind, action), streaming=streaming)
    entries = {"p1": Kind.PASSAGE, "p2": Kind.PASSAGE, "f1": Kind.FACT}
    return Rules(1, {i: Rule(i, kind, policy) for i, kind in entries.items()}, policy)


def judge_window(window: Window, ruleset: Rules) -> Verdict:
    """Stands for an embedding stage: convicts a window whose words hold both halves of the forgotten fact."""
    norms = {w.norm for w in words_of(window.text)}
    matches = [Match("f1", Kind.FACT, "embedding", 0.9, 0.8, window.start, window.end)]
    return ruleset.decide(matches if {"copper", "treaty"} <= norms else [], Side.ANSWER)


@dataclass(frozen=True)
class World:
    """One set-up of the machine."""

    action: Action = Action.BLOCK
    streaming: Streaming = Streaming.STRICT
    hold_whole: bool = False
    sighted: bool = False

    @property
    def rules(self) -> Rules:
        return rules(self.action, self.streaming)

    def machine(self, cls: type[StreamMachine] = StreamMachine) -> StreamMachine:
        ruleset = self.rules
        plan = StreamPlan(self.streaming, RULE, PLACEHOLDER, "what was asked", self.hold_whole, ADAPTIVE)
        glance: Glance | None = Sight() if self.sighted else None
        return cls(plan, FingerprintWatcher(TABLE, SHINGLER), lambda m: ruleset.decide(m, Side.ANSWER), glance)

    def run(self, pieces: Sequence[str], cls: type[StreamMachine] = StreamMachine) -> Outcome:
        ruleset = self.rules
        return scan(self.machine(cls), pieces, lambda windows: [judge_window(w, ruleset) for w in windows])


# -- texts ------------------------------------------------------------------------------------------------------------

_PLAIN = ["rain", "falls", "on", "the", "old", "harbour", "and", "of", "a", "slow", "green", "iron", "lamp", "treaty"]
DRESSES: list[Callable[[str], str]] = [
    str,
    str.upper,
    str.title,
    lambda w: "\u200b".join(w),
    lambda w: w.replace("a", "\u0430").replace("e", "\u0435"),
    lambda w: "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalpha() else c for c in w),
    lambda w: f"**{w}**",
]
_GAPS = [" ", " ", " ", "  ", "\n", ", ", " - ", ". ", "! ", "\u3002", "...\n", "\u00a0"]


@st.composite
def _run(draw: st.DrawFn, source: str) -> list[str]:
    words = source.split()
    start = draw(st.integers(0, len(words) - 1))
    return words[start : start + draw(st.integers(1, 9))]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Benign words, pieces of the passages, and halves of the fact, in any dress."""
    parts = draw(
        st.lists(
            st.one_of(
                st.lists(st.sampled_from(_PLAIN), min_size=1, max_size=6),
                _run(PASSAGE),
                _run(SHORT),
                st.sampled_from(
                    [
                        ["copper"],
                        ["treaty"],
                        ["caf\u00e9"],
                        ["e\u0301t\u00e9"],
                        ["3.14"],
                        ["\u4e16\u754c"],
                        ["\U0001f642"],
                    ]
                ),
            ),
            max_size=7,
        )
    )
    out = []
    for part in parts:
        dress = draw(st.sampled_from(DRESSES))
        for word in part:
            out.append(dress(word))
            out.append(draw(st.sampled_from(_GAPS)))
    if out and draw(st.booleans()):
        out.pop()
    return "".join(out)


@st.composite
def splits(draw: st.DrawFn, text: str) -> list[str]:
    """The text in random pieces, empty ones among them."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    edges = [0, *cuts, len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


@st.composite
def split_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    text = draw(texts())
    return text, draw(splits(text))


worlds = st.builds(World, st.sampled_from(list(Action)), st.sampled_from(list(Streaming)), st.booleans(), st.booleans())
ACTIONS_THAT_PASS = (Action.ALLOW, Action.FLAG)


# -- the properties ---------------------------------------------------------------------------------------------------


def runs_in(text: str) -> list[tuple[int, int]]:
    """Spans of the text that are forgotten runs, found without any of the guard's tables."""
    words = words_of(text)
    found = []
    for n in {len(r) for r in RUNS}:
        for i in range(len(words) - n + 1):
            if tuple(w.norm for w in words[i : i + n]) in RUNS:
                found.append((words[i].start, words[i + n - 1].end))
    return found


def check_allowed_text_leaves_byte_for_byte(cls: type[StreamMachine], world: World, pieces: list[str]) -> None:
    text = "".join(pieces)
    outcome = world.run(pieces, cls)
    if outcome.verdict.action in ACTIONS_THAT_PASS:
        assert outcome.text == text
    position = 0
    for release in outcome.releases:
        assert release.start == position, "releases are in order and without gaps"
        position = release.end
        assert release.redacted or release.text == text[release.start : release.end]
    if outcome.verdict.action < Action.REWRITE:
        assert position == len(text), "all of the text was dealt with"


def check_chunking_changes_nothing(cls: type[StreamMachine], world: World, pieces: list[str]) -> None:
    text = "".join(pieces)
    results = [world.run(p, cls) for p in ([text], list(text), pieces)]
    seen = [(r.text, r.verdict, r.leaked) for r in results]
    assert seen[0] == seen[1] == seen[2]


def check_nothing_unchecked_leaves(cls: type[StreamMachine], world: World, pieces: list[str]) -> None:
    if world.hold_whole:
        return
    text = "".join(pieces)
    calm = World(Action.FLAG, world.streaming, sighted=world.sighted)
    every: list[Window] = []
    scan(calm.machine(), [text], lambda ws: [every.append(w) or Verdict() for w in ws])
    judged: list[Window] = []
    machine = calm.machine(cls)
    source = iter(pieces)
    while True:
        match machine.next_event():
            case NeedText():
                piece = next(source, None)
                machine.end() if piece is None else machine.feed(piece)
            case Check(windows):
                judged.extend(windows)
                machine.resolve([Verdict() for _ in windows])
            case Release(_, start, end):
                _assert_judged(text, start, end, every, judged, world)
            case Stop() | Done():
                return


def _assert_judged(text: str, start: int, end: int, every: list[Window], judged: list[Window], world: World) -> None:
    streaming, done = world.streaming, {(w.start, w.end) for w in judged}
    for word in words_of(text):
        if not start <= word.start < end:
            continue
        if world.sighted and streaming is Streaming.ADAPTIVE and word.norm not in ("copper", "treaty"):
            continue  # a glance may have let it go
        # A dress may reach back over any stretch of text (an acrostic does): those windows cannot all be waited for.
        plain = [w for w in every if w.view == PLAIN]
        covering = {(w.start, w.end) for w in plain if w.start <= word.start and word.end <= w.end}
        if streaming is Streaming.STRICT:
            assert covering <= done, "strict: every window that covers a released word was judged"
        assert covering & done, "a released word was judged in some window"


def check_nothing_leaves_after_stop(cls: type[StreamMachine], world: World, pieces: list[str]) -> None:
    ruleset = world.rules
    machine = world.machine(cls)
    source = iter([*pieces, "and more text after the end", ""])
    stopped = False
    while True:
        match machine.next_event():
            case NeedText():
                assert not stopped
                piece = next(source, None)
                machine.end() if piece is None else machine.feed(piece)
            case Check(windows):
                assert not stopped, "nothing is asked after a stop"
                machine.resolve([judge_window(w, ruleset) for w in windows])
            case Release():
                assert not stopped, "nothing leaves after a stop"
            case Stop():
                assert not stopped
                stopped = True
            case Done():
                break
    if stopped:
        for late in ("x", " the lamp keeper of orsk"):
            try:
                machine.feed(late)
            except MachineMisused:
                continue
            raise AssertionError("feeding after a stop must raise")


def check_no_run_of_a_passage_leaves(cls: type[StreamMachine], world: World, pieces: list[str]) -> None:
    if world.action in ACTIONS_THAT_PASS:
        return
    outcome = world.run(pieces, cls)
    assert not runs_in(outcome.text), "a forgotten run left"


def check_redaction_never_shows_half_a_span(cls: type[StreamMachine], world: World, pieces: list[str]) -> None:
    redacting = World(Action.REDACT, world.streaming, world.hold_whole, world.sighted)
    pieces = [*pieces, *" Rain falls and keeper of orsk climbs the iron stair, then rain falls on us again."]
    text = "".join(pieces)
    outcome = redacting.run(pieces, cls)
    hidden = [(r.start, r.end) for r in outcome.releases if r.redacted]
    for start, end in runs_in(text):
        shown = [r for r in outcome.releases if not r.redacted and r.start < end and start < r.end]
        assert not shown, f"characters {start}..{end} are a forgotten run, and a part of it was shown"
        assert hidden
    if world.streaming is Streaming.STRICT:
        assert outcome.leaked == 0


def check_context_spans_windows(cls: type[StreamMachine], world: World, pieces: list[str]) -> None:
    """The fact's halves stand in neighbouring sentences: only a window over both can see it."""
    text = "the paper was called a treaty. it was signed on copper plates. " + "".join(pieces)
    outcome = World(Action.BLOCK, Streaming.STRICT).run([text], cls)
    assert outcome.verdict.action is Action.BLOCK
    assert "copper" not in outcome.text


def check_nothing_is_lost_at_the_end(cls: type[StreamMachine], world: World, pieces: list[str]) -> None:
    """A text that breaks off exactly where a forgotten run is complete."""
    text = "".join(pieces) + " \u2013 keeper of orsk climbs"
    outcome = World(Action.BLOCK, world.streaming, sighted=world.sighted).run([text], cls)
    assert outcome.verdict.action is Action.BLOCK
    calm = World(Action.FLAG, world.streaming, sighted=world.sighted).run(["the rain falls", " on"], cls)
    assert calm.text == "the rain falls on"


def check_the_last_characters_are_held_back(cls: type[StreamMachine], world: World, pieces: list[str]) -> None:
    """Of an unfinished segment the end never leaves, however calm it looks."""
    machine = World(Action.FLAG, Streaming.ADAPTIVE, sighted=True).machine(cls)
    fed = finished = 0
    for piece in pieces:
        fed += len(piece)
        machine.feed(piece)
        while not isinstance(event := machine.next_event(), NeedText):
            if isinstance(event, Check):
                finished = max([finished, *(w.end for w in event.windows if not w.unfinished and w.view == PLAIN)])
                machine.resolve([Verdict() for _ in event.windows])
            elif isinstance(event, Release) and text_has_words("".join(pieces)[finished : event.end]):
                assert event.end <= max(finished, fed - ADAPTIVE.hold_back)


def check_a_sentence_that_was_looked_at_and_kept_stays(
    cls: type[StreamMachine], world: World, pieces: list[str]
) -> None:
    """What a look found suspicious does not leave before its segment is finished, and a look stops nothing."""
    text = "rain falls. rain treaty copper on old harbour rain"
    machine = World(Action.BLOCK, Streaming.ADAPTIVE, sighted=True).machine(cls)
    ruleset = rules(Action.BLOCK)
    for piece in text:
        machine.feed(piece)
        while not isinstance(event := machine.next_event(), NeedText):
            assert not isinstance(event, Stop), "a look stops nothing"
            if isinstance(event, Check):
                assert all(w.unfinished for w in event.windows if "copper" in w.text)
                machine.resolve([judge_window(w, ruleset) for w in event.windows])
    assert machine.released <= text.index("copper")
    machine.end()
    outcome = scan(machine, [], lambda ws: [judge_window(w, ruleset) for w in ws])
    assert outcome.verdict.action is Action.BLOCK
    assert outcome.leaked <= text.index("copper")


def text_has_words(text: str) -> bool:
    """Signs alone are no segment: they leave with what was before them."""
    return bool(words_of(text))


Property = Callable[[type[StreamMachine], World, list[str]], None]
PROPERTIES: tuple[Property, ...] = (
    check_allowed_text_leaves_byte_for_byte,
    check_chunking_changes_nothing,
    check_nothing_unchecked_leaves,
    check_nothing_leaves_after_stop,
    check_no_run_of_a_passage_leaves,
    check_redaction_never_shows_half_a_span,
    check_context_spans_windows,
    check_nothing_is_lost_at_the_end,
    check_the_last_characters_are_held_back,
    check_a_sentence_that_was_looked_at_and_kept_stays,
)
