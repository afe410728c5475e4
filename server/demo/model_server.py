"""The real model server behind the demonstration: vLLM, or `transformers serve` where vLLM cannot be installed."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from rich.console import Console

from server.demo.child_process import ChildProcess, log_file
from server.demo.errors import ServerNotStarted
from server.demo.local_http import free_port, get
from server.demo.vllm_environment import VllmEnvironment

ServerKind = Literal["vllm", "transformers"]

SERVED_NAME: Final = "lethe-demo"
MAX_MODEL_LENGTH: Final = 512
_READY_TIMEOUT_S: Final = 180.0
_OFFLINE: Final = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",  # a tiny model is faster on one thread
}
_VLLM_VARIABLES: Final = _OFFLINE | {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process less: ready in half the time, and no bursts on two cores
    "TORCH_COMPILE_DISABLE": "1",  # else the first request with logprobs waits 19 s for a compiler
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else the engine is pinned to core 0 and shares it with whoever is there
}
_VLLM_ARGUMENTS: Final = (
    *("--served-model-name", SERVED_NAME, "--host", "127.0.0.1", "--max-model-len", str(MAX_MODEL_LENGTH)),
    *("--dtype", "float32", "--enforce-eager"),
    *("--kv-cache-memory-bytes", "64M"),  # else vLLM asks for nearly all memory of the machine
    *("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),  # without a parser, requests with tools are refused
)
_RUNNING: Final = re.compile(rb"^vllm:num_requests_running(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A running server. `base_url` is without /v1; `model` is the name to ask for; stopped at the end of a `with`."""

    kind: ServerKind
    base_url: str
    model: str
    ready_after_s: float
    process: ChildProcess

    def running_requests(self) -> int:
        """Requests that vLLM is generating for now, from its metrics. Raises `ServerNotStarted` for other servers."""
        found: list[bytes] = _RUNNING.findall(get(f"{self.base_url}/metrics").body)
        if not found:
            raise ServerNotStarted(f"{self.process.name} does not say how many requests it runs.")
        return round(sum(map(float, found)))

    def stop(self) -> None:
        """Ends the server and all its processes."""
        self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_vllm(
    environment: VllmEnvironment, model: Path, logs: Path, console: Console, arguments: Sequence[str] = ()
) -> ModelServer:
    """Starts vLLM on the model's directory, with further `vllm serve` arguments. Raises `ServerNotStarted`."""
    port = free_port()
    command = [str(environment.python), str(environment.executable), "serve", str(model), "--port", str(port)]
    command += [*_VLLM_ARGUMENTS, *arguments]
    process = ChildProcess("vLLM", command, _VLLM_VARIABLES, log_file(logs, "vllm"))
    base_url = f"http://127.0.0.1:{port}"
    return ModelServer("vllm", base_url, SERVED_NAME, _ready(process, base_url, console), process)


def start_transformers(model: Path, logs: Path, console: Console) -> ModelServer:
    """Starts `transformers serve` of our own environment on the model's directory. Raises `ServerNotStarted`."""
    port = free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model)]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    hub = logs / "hub"  # it lists the models of a hub cache, which must exist
    hub.mkdir(parents=True, exist_ok=True)
    variables = _OFFLINE | {"HF_HUB_CACHE": str(hub)}
    process = ChildProcess("transformers serve", [*command, *options], variables, log_file(logs, "transformers"))
    base_url = f"http://127.0.0.1:{port}"
    return ModelServer("transformers", base_url, str(model), _ready(process, base_url, console), process)


def _ready(process: ChildProcess, base_url: str, console: Console) -> float:
    return process.wait_ready(f"{base_url}/health", _READY_TIMEOUT_S, console)
