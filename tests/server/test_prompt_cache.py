"""What prompts were found to hold, remembered for as long as it is true."""

from __future__ import annotations

import gc
import weakref

import pytest

from guard.cascade import Cascade, Finding, Stage
from guard.detector import Window
from guard.verdict import Kind, Match
from server.prompt_cache import PromptCache
from tests.server.world import Halves


def window(text: str, start: int = 0, context: str = "", view: str = "plain") -> Window:
    return Window(text, start, start + len(text), context, view)


MATCH = Match("f1", Kind.FACT, "embedding", 0.9, 0.8, 0, 3)
FOUND = Finding((MATCH,), peaks={Kind.FACT: 0.9})


def cascade() -> Cascade:
    return Cascade((Stage(Halves()),))


def test_a_finding_is_known_for_the_same_window_and_cascade_only() -> None:
    cache, ours, theirs = PromptCache(), cascade(), cascade()
    cache.keep(ours, [window("abc")], [FOUND])
    assert cache.known(ours, [window("abc"), window("abd")]) == [FOUND, None]
    assert cache.known(theirs, [window("abc")]) == [None]
    others = [window("abc", 1), window("abc", context="x"), window("abc", view="rot13"), window("ab", context="c")]
    assert cache.known(ours, others) == [None] * 4


def test_a_cascade_with_one_other_detector_is_another_one() -> None:
    shared = Halves()
    one = Cascade((Stage(shared), Stage(Halves())))
    two = Cascade((Stage(shared), Stage(Halves())))
    cache = PromptCache()
    cache.keep(one, [window("abc")], [FOUND])
    assert cache.known(two, [window("abc")]) == [None]
    assert cache.known(Cascade((Stage(shared),)), [window("abc")]) == [None]
    assert cache.known(Cascade(one.stages), [window("abc")]) == [FOUND]


def test_no_detector_is_kept_alive_and_a_new_one_in_its_place_knows_nothing() -> None:
    cache, ours = PromptCache(), cascade()
    cache.keep(ours, [window(f"abc {n}") for n in range(50)], [FOUND] * 50)
    alive = weakref.ref(ours.stages[0].detector)
    del ours
    gc.collect()
    assert alive() is None
    for _ in range(50):  # one of them may get the address of the former one
        assert cache.known(cascade(), [window("abc 0")]) == [None]


def test_findings_of_a_cascade_that_is_gone_are_dropped_when_new_ones_come() -> None:
    cache, gone, ours = PromptCache(), cascade(), cascade()
    cache.keep(gone, [window(f"abc {n}") for n in range(50)], [FOUND] * 50)
    cache.keep(ours, [window("abc")], [FOUND])
    assert len(cache) == 51
    del gone
    gc.collect()
    cache.keep(ours, [window("abd")], [FOUND])
    assert len(cache) == 2
    assert cache.known(ours, [window("abc"), window("abd")]) == [FOUND, FOUND]


@pytest.mark.parametrize("open_end", [Finding(failed=("judge",)), Finding(suspects=(MATCH,))])
def test_what_could_not_be_decided_is_not_remembered(open_end: Finding) -> None:
    cache, ours = PromptCache(), cascade()
    cache.keep(ours, [window("abc")], [open_end])
    assert len(cache) == 0
    assert cache.known(ours, [window("abc")]) == [None]


def test_what_was_not_asked_for_longest_is_forgotten_first() -> None:
    cache, ours = PromptCache(most=3), cascade()
    cache.keep(ours, [window(c) for c in "abc"], [FOUND] * 3)
    assert cache.known(ours, [window("a")]) == [FOUND]
    cache.keep(ours, [window("d")], [FOUND])
    assert [f is FOUND for f in cache.known(ours, [window(c) for c in "abcd"])] == [True, False, True, True]
    assert len(cache) == 3


def test_no_text_is_kept_or_shown() -> None:
    cache, ours = PromptCache(), cascade()
    cache.keep(ours, [window("the copper treaty")], [FOUND])
    assert "copper" not in repr(cache)
    assert not any(
        isinstance(thing, str) and "copper" in thing for thing in gc.get_referents(*cache._known, cache._known)
    )
    assert PromptCache()._key != cache._key
