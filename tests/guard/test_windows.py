"""An entry is cut into the windows that a stream would judge."""

from hypothesis import given
from hypothesis import strategies as st

from guard.events import Check, Done, NeedText
from guard.plan import StreamPlan
from guard.policy import Streaming
from guard.segments import DEFAULT_RULE, WindowRule
from guard.stream import StreamMachine
from guard.verdict import PLAIN, Verdict
from guard.windows import windows_of

WORDS = st.sampled_from(
    [
        "the",
        "lamp",
        "Orsk",
        "rained.",
        "In",
        "1648",
        "yes!",
        "“no.”",
        "\n",
        "\n\n",
        "…",
        "ﬁne",
        "e\u0301t",
        "。",
        "?",
        "—",
    ]
)
TEXTS = st.lists(st.tuples(WORDS, st.sampled_from([" ", "", "\n", "  "])), max_size=60).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)
RULES = st.builds(
    WindowRule,
    min_words=st.integers(1, 4),
    max_words=st.integers(4, 9),
    overlap=st.integers(0, 3),
    exchange_segments=st.integers(0, 3),
    stretch_words=st.integers(0, 6),
    stretch_step=st.integers(1, 4),
)


class NoWatcher:
    watch_from = None

    def push(self, word):
        return ()


def judged(text, rule, context):
    """The windows that a stream judges."""
    plan = StreamPlan(streaming=Streaming.STRICT, rule=rule, context=context)
    machine = StreamMachine(plan, NoWatcher(), lambda matches: Verdict())
    windows = []
    if text:
        machine.feed(text)
    while True:
        match machine.next_event():
            case NeedText():
                machine.end()
            case Check(asked):
                windows += asked
                machine.resolve([Verdict()] * len(asked))
            case Done():
                return windows


@given(TEXTS | st.text(max_size=300), RULES, st.sampled_from(["", "Who lit the lamps?"]))
def test_they_are_the_windows_that_a_stream_judges(text, rule, context):
    assert windows_of(text, rule, context) == [w for w in judged(text, rule, context) if w.view == PLAIN]


def test_each_sentence_is_a_window_and_so_is_each_pair():
    text = "The lamp was lit at dusk. Nobody came down to the harbour. It rained all night."
    shown = [window.text.strip() for window in windows_of(text)]
    assert shown == [
        "The lamp was lit at dusk.",
        "Nobody came down to the harbour.",
        "The lamp was lit at dusk. Nobody came down to the harbour.",
        "It rained all night.",
        "Nobody came down to the harbour. It rained all night.",
    ]


def test_only_windows_near_the_beginning_carry_the_turn_they_answer():
    text = " ".join(f"Sentence number {n} is here." for n in range(12))
    with_turn = [w for w in windows_of(text, DEFAULT_RULE, "What is here?") if w.context]
    assert with_turn and max(w.start for w in with_turn) < len(text) / 2
    assert not any(w.context for w in windows_of(text))


def test_a_text_without_words_has_no_windows():
    assert windows_of("") == windows_of("… — !!\n") == []
