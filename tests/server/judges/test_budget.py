"""The budget lets so many calls through a minute; the cache keeps scores and no text."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from server.judges.budget import CallBudget, ScoreCache


@given(st.integers(1, 5), st.lists(st.floats(0, 30), max_size=60))
def test_no_minute_sees_more_calls_than_allowed(per_minute: int, pauses: list[float]) -> None:
    now = [0.0]
    budget = CallBudget(per_minute, lambda: now[0])
    taken: list[float] = []
    for pause in pauses:
        now[0] += pause
        recent = sum(at > now[0] - 60 for at in taken)
        allowed = budget.take()
        assert allowed is (recent < per_minute)
        if allowed:
            taken.append(now[0])


def test_threads_share_one_budget() -> None:
    budget = CallBudget(100, lambda: 0.0)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: budget.take(), range(400))) == 100


def test_the_least_recently_used_score_goes_first() -> None:
    cache = ScoreCache(2)
    one, two, three = (cache.key([text]) for text in ("one", "two", "three"))
    cache.put(one, 0.1)
    cache.put(two, 0.2)
    assert cache.get(one) == 0.1
    cache.put(three, 0.3)
    assert [cache.get(key) for key in (one, two, three)] == [0.1, None, 0.3]


def test_a_cache_of_nothing_keeps_nothing() -> None:
    cache = ScoreCache(0)
    cache.put(cache.key(["a"]), 0.5)
    assert cache.get(cache.key(["a"])) is None


def test_keys_tell_parts_apart_and_are_of_this_process_only() -> None:
    cache = ScoreCache(9)
    assert cache.key(["ab", "c"]) == cache.key(["ab", "c"])
    assert len({cache.key(parts) for parts in (["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""])}) == 4
    assert cache.key(["ab"]) != ScoreCache(9).key(["ab"]), "a guess cannot be looked up elsewhere"
    cache.put(cache.key(["zebrafinch"]), 1.0)
    assert b"zebrafinch" not in pickle.dumps(cache._scores)
    assert cache.key(["\ud800"]), "half a surrogate pair is no fault"
