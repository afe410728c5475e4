"""Mixed streams and changes of the index, for as long as wanted, and the count of what went wrong."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from bench.soaking.client import TO_THE_END, Client, Got, Reading, Shed
from bench.soaking.model_server import ModelServer, Speech
from bench.soaking.texts import Author, Forgotten

PAUSE_S: Final = 0.04
"""Between two words of an answer: 25 words a second."""

UPDATE_S: Final = 0.1
MOST_CHANGES: Final = 40
"""Changes at work at a time, those that wait for their check included: a server that falls behind gets fewer."""

SHED_S: Final = 1.0
"""Pause of whoever was told that there is too much to do."""

PRESENT: Final = 60
"""Entries of those that change that are there at a time."""

PROBED: Final = 0.3
"""Share of changes after which a stream tells whether they count."""

FRESH_S: Final = 1.0
"""How long after its answer a change that was not waited for must count."""

_KINDS: Final = ("benign", "benign", "benign", "benign", "leaking", "leaking", "aborting", "slow")
_MOST_FAULTS: Final = 20


@dataclass(slots=True)
class Tally:
    """What was done and what went wrong. `faults` names each without any text."""

    done: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def fault(self, what: str, why: str) -> None:
        """Something went wrong."""
        self.wrong[what] += 1
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(f"{what}: {why}")


class Traffic:
    """Streams of every kind, and changes of the index, against one Lethe."""

    def __init__(self, client: Client, model: ModelServer, seed: int) -> None:
        self._client, self._model = client, model
        self._author, self._random = Author(seed), random.Random(seed)
        self._stopping = False
        self._changes: set[asyncio.Task[None]] = set()
        self._present: list[tuple[str, Forgotten]] = []
        self._known: list[Forgotten] = []
        self.tally = Tally()

    async def prepare(self, entries: int) -> None:
        """Add the entries that stay."""
        self._known = [self._author.forgotten() for _ in range(entries)]
        drafts = [entry.draft() for entry in self._known]
        await self._client.call("POST", "/entries/batch?wait=applied&timeout_s=60", {"entries": drafts})

    async def run(self, streams: int, seconds: float) -> None:
        """Keep so many streams open, and change the index meanwhile; ends when all of it is over."""
        self._stopping = False
        slots = [asyncio.ensure_future(self._slot()) for _ in range(streams)]
        changing = asyncio.ensure_future(self._change())
        await asyncio.sleep(seconds)
        self._stopping = True
        await asyncio.gather(changing, *slots)
        await asyncio.gather(*self._changes)

    # -- streams --

    async def _slot(self) -> None:
        await asyncio.sleep(self._random.random())
        while not self._stopping:
            kind = self._random.choice(_KINDS)
            await self._checked(kind, getattr(self, f"_{kind}"))

    async def _checked(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do it and count it; what is shed is done no further."""
        try:
            await work()
        except Shed:
            self.tally.done["shed"] += 1
            await asyncio.sleep(SHED_S)
        except (aiohttp.ClientError, TimeoutError) as error:
            self.tally.fault(name, f"{type(error).__name__} {error}"[:200])
        else:
            self.tally.done[name] += 1

    async def _say(self, text: str, pause_s: float, reading: Reading = TO_THE_END) -> tuple[Got, bytes]:
        """What came of a text, and what should have come if all of it may leave."""
        speech = Speech(text, pause_s)
        number = self._model.will_say(speech)
        try:
            return await self._client.stream(number, reading), b"".join(speech.events())
        finally:
            self._model.forget(number)

    def _compare(self, what: str, got: Got, expected: bytes) -> None:
        if hashlib.sha256(got.data).digest() != hashlib.sha256(expected).digest():
            self.tally.fault(what, f"status {got.status}, {len(got.data)} of {len(expected)} bytes, {got.finish}")

    async def _benign(self) -> None:
        self._compare("benign", *await self._say(self._author.answer(self._random.randint(2, 9)), PAUSE_S))

    async def _slow(self) -> None:
        reading = Reading(pause_s=0.02)
        self._compare("slow", *await self._say(self._author.answer(self._random.randint(8, 14)), 0.0, reading))

    async def _aborting(self) -> None:
        reading = Reading(leave_after=self._random.randint(200, 4_000))
        got, expected = await self._say(self._author.answer(6), PAUSE_S, reading)
        if not expected.startswith(got.data):
            self.tally.fault("aborting", "what came is no beginning of what was said")

    async def _leaking(self) -> None:
        entry = self._random.choice(self._known)
        got, _ = await self._say(self._around(entry), PAUSE_S)
        self._expect_stop("leaking", entry, got)

    def _around(self, entry: Forgotten) -> str:
        before, after = (self._author.answer(self._random.randint(1, 2)) for _ in range(2))
        return f"{before} {entry.text} {after}"

    def _expect_stop(self, what: str, entry: Forgotten, got: Got, how: str = "") -> None:
        if not got.stopped or entry.text in got.text:
            self.tally.fault(what, f"{entry.kind} passed: status {got.status}, {got.finish}{how}")

    # -- changes --

    async def _change(self) -> None:
        """Begin a change every `UPDATE_S`, however long each takes."""
        due = time.monotonic()
        while not self._stopping:
            enough, half = len(self._present) >= PRESENT, len(self._present) > PRESENT // 2
            removing = enough or (half and self._random.random() < 0.5)
            change = ("remove", self._remove) if removing else ("add", self._add)
            if len(self._changes) < MOST_CHANGES:
                task = asyncio.ensure_future(self._checked(*change))
                self._changes.add(task)
                task.add_done_callback(self._changes.discard)
            due += UPDATE_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _add(self) -> None:
        entry, wait = self._author.forgotten(), self._random.random() < 0.5
        body = {**entry.draft(), "force": True}
        answer = await self._client.call("POST", f"/entries{'?wait=applied&timeout_s=5' if wait else ''}", body)
        if self._random.random() < PROBED:
            await asyncio.sleep(0.0 if wait else FRESH_S)
            got, _ = await self._say(self._around(entry), 0.0)
            self._expect_stop("stale after add", entry, got, " (waited for)" if wait else " (not waited for)")
            self.tally.done["probes"] += 1
        self._present.append((answer["id"], entry))

    async def _remove(self) -> None:
        entry_id, entry = self._present.pop(self._random.randrange(len(self._present)))
        wait = self._random.random() < 0.5
        await self._client.call("DELETE", f"/entries/{entry_id}{'?wait=applied&timeout_s=5' if wait else ''}")
        if self._random.random() < PROBED:
            await asyncio.sleep(0.0 if wait else FRESH_S)
            text = self._around(entry)
            got, expected = await self._say(text, 0.0)
            if not got.stopped:
                self._compare("stale after removal", got, expected)
            elif found := await self._stale(text, entry_id):
                why = f"{entry.kind} still stopped, removal {'waited for' if wait else 'not waited for'}, {found}"
                self.tally.fault("stale after removal", why)
            self.tally.done["probes"] += 1

    async def _stale(self, text: str, entry_id: str) -> str:
        """Why a stop was wrong; empty when another entry that resembles the removed one was surely at work."""
        matches = (await self._client.call("POST", "/check", {"text": text}))["matches"]
        found = {match["entry_id"] for match in matches}
        if found and entry_id not in found:
            self.tally.done["stopped for another entry"] += 1
            return ""
        return "a check still finds it" if found else "a check finds nothing"
