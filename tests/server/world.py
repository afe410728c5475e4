"""What the tests of the application side share: a small world to guard, an upstream that speaks HTTP on loopback and
says what a test tells it to, and a client that calls the ASGI application as a server would."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

from guard.cascade import Cascade, Stage
from guard.detector import Evidence, Watcher, Window
from guard.errors import DetectorUnavailable
from guard.fingerprint import FingerprintDetector, FingerprintWatcher, Shingler
from guard.glance import Glance
from guard.policy import Adaptive, FailureRule, Policy, Rule, Rules, Streaming
from guard.segments import WindowRule
from guard.units import UnitTable
from guard.verdict import Action, Kind
from guard.words import words_of
from server.access import Access
from server.batching import Batcher, BatchLimits
from server.limits import Gate
from server.models import Models
from server.observation import Observation
from server.offer import Offer
from server.proxy import Proxy
from server.routes.application import Application
from server.upstream import Timeouts, Upstream
from tests.guard.streams import TABLE, Sight

T = TypeVar("T")
SHINGLER = Shingler(b"0123456789abcdef")
RULE = WindowRule(min_words=2, max_words=9, overlap=1, opening_words=3, exchange_segments=1)
REFUSAL = "I can't help with that."
PATIENT, LIMITS = Timeouts(), BatchLimits()


class Halves:
    """Convicts a window, or a window with its question, that holds both halves of the fact; near when it holds one."""

    name = "embedding"

    def __init__(self) -> None:
        self.failing = False
        self.delay = 0.0
        self.seen: list[Window] = []

    def find(self, windows: Sequence[Window]) -> Sequence[Sequence[Evidence]]:
        if self.delay:
            time.sleep(self.delay)
        if self.failing:
            raise DetectorUnavailable(self.name, "told to fail")
        self.seen.extend(windows)
        return [self._find(window) for window in windows]

    def _find(self, window: Window) -> list[Evidence]:
        norms = {word.norm for word in words_of(f"{window.context} {window.text}")}
        own = {word.norm for word in words_of(window.text)}
        found = len({"copper", "treaty"} & norms) if own & {"copper", "treaty"} else 0
        return [Evidence("f1", Kind.FACT, (0.1, 0.5, 0.9)[found], window.start, window.end)]


@dataclass
class SmallView:
    """A view of two passages and a fact, with one policy."""

    detector: Halves
    policy: Policy
    label: str = ""
    empty: bool = False
    namespace: str = "default"
    revision: int = 7
    rule: WindowRule = RULE
    kinds: tuple[Kind, ...] = (Kind.PASSAGE, Kind.FACT)
    shingler: Shingler = SHINGLER
    units: UnitTable | None = None

    def __post_init__(self) -> None:
        entries = {"p1": Kind.PASSAGE, "p2": Kind.PASSAGE, "f1": Kind.FACT}
        by_entry = {} if self.empty else {i: Rule(i, k, self.policy, self.label) for i, k in entries.items()}
        self.rules = Rules(self.revision, by_entry, self.policy)
        judged = Stage(self.detector, {Kind.FACT: 0.8}, {Kind.FACT: 0.8})
        prints = Stage(FingerprintDetector(TABLE, SHINGLER), dict.fromkeys(Kind, 1.0))
        self.answer = Cascade((judged,))
        self.prompt = Cascade((prints, judged))
        self.streaming: Streaming = self.rules.streaming
        self.redaction: str = self.rules.redaction
        self.on_failure: FailureRule = self.rules.on_failure
        self.adaptive: Adaptive = self.rules.adaptive

    def watcher(self) -> Watcher:
        return FingerprintWatcher(TABLE, SHINGLER)

    def glance(self) -> Glance | None:
        return Sight()


def policy(action: Action = Action.BLOCK, **changes: Any) -> Policy:
    return Policy(answer_actions=dict.fromkeys(Kind, action), **changes)


@dataclass
class SmallIndex:
    """An index that shows one view, whatever the namespace."""

    shown: SmallView
    ready: bool = True

    @property
    def snapshot(self) -> SmallIndex:
        return self

    def view(self, namespace: str) -> SmallView:
        return self.shown


class NoKeys:
    """A book without keys: the application side is open."""

    empty = True

    def verify(self, presented: str) -> None:
        return None


@dataclass
class Notebook:
    """Remembers what it was told."""

    seen: list[Observation] = field(default_factory=list)

    def observe(self, seen: Observation) -> None:
        self.seen.append(seen)

    def of(self, kind: type[T]) -> list[T]:
        return [seen for seen in self.seen if isinstance(seen, kind)]


# -- upstream --


@dataclass
class Request:
    """What upstream was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Writer:
    """What a script says with."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self, status: int, content_type: str, **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"content-type: {content_type}", "connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode())

    async def chunk(self, data: bytes) -> None:
        if data:
            await self.raw(b"%x\r\n%s\r\n" % (len(data), data))


Script = Callable[[Request, Writer], Awaitable[None]]


def says_json(body: Any, status: int = 200, content_type: str = "application/json", **headers: str) -> Script:
    """A whole answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()

    async def script(_: Request, writer: Writer) -> None:
        await writer.head(status, content_type, content_length=str(len(raw)), **headers)
        await writer.raw(raw)

    return script


def says_stream(
    data: bytes, cuts: Sequence[int] = (), *, then: float = 0.0, closed: bool = True, pause: float = 0.0
) -> Script:
    """A stream whose bytes arrive cut at these positions. `then` keeps it open for so many seconds; unless `closed` the
    connection breaks instead of ending."""

    async def script(_: Request, writer: Writer) -> None:
        await writer.head(200, "text/event-stream; charset=utf-8", transfer_encoding="chunked")
        places = [0, *sorted(c for c in cuts if 0 < c < len(data)), len(data)]
        for start, end in pairwise(places):
            await writer.chunk(data[start:end])
            await asyncio.sleep(pause)
        await asyncio.sleep(then)
        if closed:
            await writer.raw(b"0\r\n\r\n")

    return script


class LoopbackUpstream:
    """A server on loopback that answers each request by the next script; the last one is repeated."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.requests: list[Request] = []
        self.left: list[float] = []  # when a client went away while a script was still speaking
        self.running = 0

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            request = Request(method, path, headers, body)
            self.requests.append(request)
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            await self._speak(script, request, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _speak(
        self, script: Script, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.running += 1
        speaking = asyncio.ensure_future(script(request, Writer(writer)))
        leaving = asyncio.ensure_future(reader.read())
        try:
            await asyncio.wait({speaking, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not speaking.done() or speaking.exception() is not None:
                self.left.append(time.perf_counter())
        finally:
            self.running -= 1
            for task in (speaking, leaving):
                task.cancel()
            await asyncio.gather(speaking, leaving, return_exceptions=True)


# -- the client --


@dataclass
class Got:
    """What a client received."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    writes: list[bytes] = field(default_factory=list)
    complete: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of every event, [DONE] as it is."""
        out = []
        for event in self.body.decode().split("\n\n"):
            if event.startswith("data: "):
                out.append(event[6:] if event[6:] == "[DONE]" else json.loads(event[6:]))
            else:
                assert not event.strip() or event.startswith(":"), event
        return out

    def text(self, choice: int = 0, name: str = "content") -> str:
        """What a choice of a chat stream says in a channel."""
        return "".join(
            entry["delta"].get(name) or ""
            for event in self.events
            if event != "[DONE]"
            for entry in event.get("choices", [])
            if entry["index"] == choice
        )

    def finish(self, choice: int = 0) -> list[str]:
        """The finish reasons that a choice was given."""
        return [
            entry["finish_reason"]
            for event in self.events
            if event != "[DONE]"
            for entry in event.get("choices", [])
            if entry["index"] == choice and entry["finish_reason"]
        ]


@dataclass
class World:
    """All of it together."""

    app: Application
    upstream: LoopbackUpstream
    index: SmallIndex
    detector: Halves
    notebook: Notebook
    batcher: Batcher

    def show(self, **changes: Any) -> None:
        """Change what must be forgotten."""
        self.index.shown = SmallView(self.detector, **changes)

    async def call(
        self,
        path: str,
        body: Any = None,
        *,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        leave_when: Callable[[Got], bool] | None = None,
        leave_after: float | None = None,
        query: str = "",
    ) -> Got:
        """One request. `leave_when` or `leave_after` make the client go away before the end."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        got, gone = Got(), asyncio.Event()
        sent = [raw[i : i + 65536] for i in range(0, len(raw), 65536)] or [b""]

        async def receive() -> dict[str, Any]:
            if sent:
                return {"type": "http.request", "body": sent.pop(0), "more_body": bool(sent)}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                assert not got.status, "a response was started twice"
                got.status = message["status"]
                got.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            else:
                assert got.status and not got.complete
                got.writes.append(message.get("body", b""))
                got.body += got.writes[-1]
                got.complete = not message.get("more_body", False)
            if leave_when is not None and leave_when(got):
                gone.set()

        raw_headers = {"content-type": "application/json", "content-length": str(len(raw)), **(headers or {})}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in raw_headers.items()],
        }
        if leave_after is not None:
            asyncio.get_running_loop().call_later(leave_after, gone.set)
        async with asyncio.timeout(20):
            await self.app(scope, receive, send)
        return got

    async def chat(self, body: dict[str, Any] | None = None, **options: Any) -> Got:
        return await self.call("/v1/chat/completions", chat_body(**(body or {})), **options)


@contextlib.asynccontextmanager
async def world(
    timeouts: Timeouts = PATIENT,
    limits: BatchLimits = LIMITS,
    nobody: bool = False,
    ending_grid_s: float = 0.0,
    timeout_s: float = 20.0,
    offer: Offer | None = None,
    adapters: Sequence[str] | None = None,
    **shown: Any,
) -> AsyncIterator[World]:
    """A world to test in. `adapters`: clients may use base models and these only."""
    detector, notebook, loopback = Halves(), Notebook(), LoopbackUpstream()
    shown.setdefault("policy", policy())
    index = SmallIndex(SmallView(detector, **shown))
    batcher = Batcher(limits, notebook, time.perf_counter)
    async with loopback.serve() as base:
        upstream = Upstream("http://127.0.0.1:1" if nobody else base, "upstream-key", timeouts)
        models = None if adapters is None else Models(upstream, time.perf_counter, adapters)
        proxy = Proxy(
            index, upstream, batcher, notebook, ending_grid_s=ending_grid_s, timeout_s=timeout_s, models=models
        )
        try:
            app = Application(proxy, Access(NoKeys(), None), Gate(64), 1_000_000, offer or Offer())
            yield World(app, loopback, index, detector, notebook, batcher)
        finally:
            await upstream.close()
            batcher.close()


# -- bodies --


def chat_body(**changes: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": "Tell me of the harbour."}], **changes}


def chunk(delta: dict[str, Any], finish: str | None = None, choice: int = 0, **more: Any) -> dict[str, Any]:
    """An event as vLLM sends it."""
    entry = {"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish}
    if finish is not None:
        entry["stop_reason"] = None
    entry["token_ids"] = None
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "tiny"}
    return {**head, "choices": [entry], **more}


def sse(events: Sequence[Any], done: bool = True) -> bytes:
    """Events as vLLM encodes them."""
    out = b"".join(
        b"data: " + json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n" for event in events
    )
    return out + (b"data: [DONE]\n\n" if done else b"")


def spoken(*pieces: str, finish: str = "stop", choice: int = 0, name: str = "content") -> list[dict[str, Any]]:
    """A choice that says these pieces."""
    events = [chunk({"role": "assistant", "content": ""}, choice=choice)]
    events += [chunk({name: piece}, choice=choice) for piece in pieces]
    return [*events, chunk({}, finish, choice=choice)]


def whole(content: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A whole answer as vLLM sends it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": None, "annotations": None, **message},
                "logprobs": None,
                "finish_reason": finish,
                "stop_reason": None,
                "token_ids": None,
            }
        ],
        "service_tier": None,
        "system_fingerprint": "vllm-0.32.0",
        "usage": {"prompt_tokens": 10, "total_tokens": 18, "completion_tokens": 8, "prompt_tokens_details": None},
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "kv_transfer_params": None,
    }
