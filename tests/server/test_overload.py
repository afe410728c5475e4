"""Overload: who comes new is told when to come back, who is at work becomes slower, and nothing leaves unchecked."""

from __future__ import annotations

import asyncio

from server.batching import BatchLimits
from server.observation import Degraded, DegradedReason, RequestObserved, RequestOutcome
from tests.server.world import Got, Request, Writer, says_json, says_stream, spoken, sse, whole, world

PIECES = ("The harbour was quiet. ", "Nobody spoke of it. ", "The rain came late. ", "Then it was over.")
CLEAN = "".join(PIECES)


async def says_either(request: Request, writer: Writer) -> None:
    script = says_stream(sse(spoken(*PIECES))) if request.json.get("stream") else says_json(whole(CLEAN))
    await script(request, writer)


async def test_a_request_that_would_wait_too_long_is_refused_before_upstream_hears_of_it() -> None:
    async with world(limits=BatchLimits(longest_wait_s=0.05)) as w:
        w.upstream.scripts = [says_json(whole(CLEAN))]
        w.detector.delay = 0.3
        first = [asyncio.ensure_future(w.chat()) for _ in range(3)]
        await asyncio.sleep(0.15)
        asked = len(w.upstream.requests)
        got = await w.chat()
        assert got.status == 429
        assert got.json["error"]["code"] == "too_busy"
        assert 1 <= int(got.headers["retry-after"]) <= 60
        assert len(w.upstream.requests) == asked
        assert Degraded("judge", DegradedReason.BUSY) in w.notebook.of(Degraded)
        assert w.notebook.of(RequestObserved)[-1].outcome is RequestOutcome.UNAVAILABLE
        assert [(await one).status for one in first] == [200] * 3


async def test_streams_that_have_begun_become_slower_and_end_whole() -> None:
    async with world(limits=BatchLimits(longest_wait_s=0.02, largest_batch=2)) as w:
        w.upstream.scripts = [says_either]
        w.detector.delay = 0.05
        streams = [asyncio.ensure_future(w.chat({"stream": True})) for _ in range(4)]
        late: list[asyncio.Future[Got]] = []
        while not all(stream.done() for stream in streams):
            await asyncio.sleep(0.03)
            late.append(asyncio.ensure_future(w.chat()))
        told = {(await one).status for one in late}
        assert 429 in told <= {200, 429}
        for stream in streams:
            got = await stream
            assert got.status == 200
            assert got.text() == CLEAN
            assert got.events[-1] == "[DONE]"


async def test_when_the_load_is_over_requests_pass_again() -> None:
    async with world(limits=BatchLimits(longest_wait_s=0.05)) as w:
        w.upstream.scripts = [says_json(whole(CLEAN))]
        w.detector.delay = 0.2
        crowd = [asyncio.ensure_future(w.chat()) for _ in range(3)]
        await asyncio.sleep(0.15)
        assert (await w.chat()).status == 429
        await asyncio.gather(*crowd)
        w.detector.delay = 0.0
        for _ in range(3):
            got = await w.chat()
            assert got.status == 200
            assert got.json == whole(CLEAN)


async def test_where_there_is_nothing_to_look_for_nobody_waits_for_the_judge() -> None:
    async with world(limits=BatchLimits(longest_wait_s=0.01)) as w:
        w.upstream.scripts = [says_json(whole(CLEAN))]
        w.detector.delay = 0.3
        busy = asyncio.ensure_future(w.chat())
        await asyncio.sleep(0.1)
        w.show(policy=w.index.shown.policy, empty=True)
        assert (await w.chat()).status == 200
        await busy


async def test_a_request_that_takes_too_long_is_ended() -> None:
    async with world(timeout_s=0.2) as w:
        w.upstream.scripts = [says_stream(sse(spoken(*PIECES), done=False), then=5.0)]
        got = await w.chat({"stream": True})
        assert got.events[-2]["error"]["code"] == "request_timeout"
        assert got.events[-1] == "[DONE]"
        assert w.notebook.of(RequestObserved)[0].outcome is RequestOutcome.UNAVAILABLE
        while w.upstream.running:
            await asyncio.sleep(0.005)


async def test_the_time_of_a_request_includes_that_of_its_verdicts() -> None:
    async with world(timeout_s=0.1) as w:
        w.upstream.scripts = [says_json(whole(CLEAN))]
        w.detector.delay = 0.3
        got = await w.chat()
        assert got.status == 504
        assert got.json["error"]["code"] == "request_timeout"
        assert CLEAN.encode() not in got.body
