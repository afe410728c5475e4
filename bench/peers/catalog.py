"""The proxies that are measured side by side: how each is installed and started, and what its requests need."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bench.harness.lethe import copied, serving
from bench.harness.load import Target
from bench.harness.processes import SERVER_CORE, Launch, running
from bench.peers.environments import FILES, nginx, portkey, python, version
from server.demo.local_http import free_port

PATH = "/v1/chat/completions"
PORT = 9100
"""Where a proxy listens, if it is free."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy runs: the model server's URL, the port to listen on, a folder of its own, the cache, the data."""

    upstream: str
    folder: Path
    cache: Path
    data: Path
    port: int = field(default_factory=lambda: free_port(PORT))

    @property
    def url(self) -> str:
        """Where chat completions are asked for."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    def filled_in(self, name: str) -> Path:
        """A configuration file with this place's addresses, in its folder."""
        text = (FILES / name).read_text().replace("@UPSTREAM@", self.upstream).replace("@FOLDER@", str(self.folder))
        text = text.replace("@ADDRESS@", self.upstream.removeprefix("http://")).replace("@PORT@", str(self.port))
        path = self.folder / name
        path.write_text(text)
        return path


@dataclass(frozen=True, slots=True)
class Peer:
    """One proxy. `start` gives it as a target until the end of a block; it raises `NotInstalled` or `NotStarted`."""

    name: str
    title: str
    start: Callable[[Place], AbstractContextManager[Target]]


@contextlib.contextmanager
def _started(place: Place, command: list[str], environment: dict[str, str], heads: dict[str, str]) -> Iterator[Target]:
    launch = Launch(command, place.folder / "output.log", SERVER_CORE, environment, place.folder)
    body = {"model": "mock", "messages": [{"role": "user", "content": "Are you there? (request 0)"}]}
    with running(launch, place.url, heads, body) as pid:
        yield Target(place.url, headers=heads, pid=pid)


def _nginx(place: Place) -> AbstractContextManager[Target]:
    command = [str(nginx(place.cache)), "-c", str(place.filled_in("nginx.conf")), "-p", str(place.folder)]
    return _started(place, command, {}, {})


def _fastapi(place: Place) -> AbstractContextManager[Target]:
    shutil.copy(FILES / "fastapi_aiohttp.py", place.folder)
    command = [str(python("fastapi_aiohttp", place.cache)), "-m", "uvicorn", "fastapi_aiohttp:app"]
    command += ["--port", str(place.port), "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    return _started(place, [*command, "--log-level", "warning"], {"UPSTREAM": place.upstream}, {})


def _litellm(config: str) -> Callable[[Place], AbstractContextManager[Target]]:
    def start(place: Place) -> AbstractContextManager[Target]:
        found, key = python("litellm", place.cache), f"sk-{secrets.token_hex(16)}"
        shutil.copy(FILES / "banned_phrase.py", place.folder)
        command = [str(found), str(found.with_name("litellm")), "--config", str(place.filled_in(config))]
        command += ["--host", "127.0.0.1", "--port", str(place.port), "--num_workers", "1", "--telemetry", "False"]
        environment = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        environment |= {"NO_DOCS": "True", "NO_REDOC": "True", "LITELLM_MASTER_KEY": key}
        return _started(place, command, environment, {"Authorization": f"Bearer {key}"})

    return start


def _portkey(place: Place) -> AbstractContextManager[Target]:
    command = ["node", str(portkey(place.cache)), f"--port={place.port}", "--headless"]
    heads = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{place.upstream}/v1"}
    return _started(place, command, {"NODE_ENV": "production"}, heads)


def _nemo(place: Place) -> AbstractContextManager[Target]:
    found = python("nemo", place.cache)
    shutil.copytree(FILES / "nemo", place.folder / "configs" / "main")
    command = [str(found), str(found.with_name("nemoguardrails")), "server", "--port", str(place.port)]
    command += ["--config", str(place.folder / "configs"), "--default-config-id", "main", "--disable-chat-ui"]
    environment = {"OPENAI_API_KEY": "sk-none", "MAIN_MODEL_ENGINE": "openai", "NEMO_GUARDRAILS_NO_USAGE_STATS": "1"}
    return _started(place, command, environment | {"MAIN_MODEL_BASE_URL": f"{place.upstream}/v1"}, {})


def _lethe(entries: int, streaming: str = "adaptive") -> Callable[[Place], AbstractContextManager[Target]]:
    @contextlib.contextmanager
    def start(place: Place) -> Iterator[Target]:
        with (
            copied(place.data, entries, place.cache) as folder,
            serving(folder, place.upstream, place.port) as lethe,
        ):
            if streaming != "adaptive":
                lethe.use_streaming(streaming)
            yield Target(lethe.base + PATH, headers={"Authorization": f"Bearer {lethe.key}"}, pid=lethe.pid)

    return start


LITELLM, NEMO, PORTKEY, FASTAPI = "litellm", "nemo", "portkey", "fastapi_aiohttp"
PASSES, CASCADE = "lethe_0", "lethe_10000"
"""Lethe with nothing to forget, and with everything on."""

PEERS = (
    Peer("nginx", "nginx (Debian)", _nginx),
    Peer(FASTAPI, f"FastAPI {version('fastapi', 'fastapi_aiohttp.txt')} + aiohttp", _fastapi),
    Peer(PORTKEY, f"Portkey gateway {version('@portkey-ai/gateway', 'portkey.json')}", _portkey),
    Peer(NEMO, f"NeMo Guardrails {version('nemoguardrails', 'nemo.txt')}, no rails", _nemo),
    Peer(LITELLM, f"LiteLLM {version('litellm', 'litellm.txt')}", _litellm("litellm.yaml")),
    Peer("litellm_guard", "LiteLLM, looks for one phrase", _litellm("litellm_guard.yaml")),
    Peer(PASSES, "**Lethe**, nothing to forget", _lethe(0)),
    Peer("lethe_1000", "**Lethe**, 1,000 entries, adaptive", _lethe(1_000)),
    Peer(CASCADE, "**Lethe**, 10,000 entries, adaptive", _lethe(10_000)),
    Peer("lethe_10000_strict", "**Lethe**, 10,000 entries, strict", _lethe(10_000, "strict")),
)
