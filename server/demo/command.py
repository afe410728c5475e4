"""`lethe demo`: everything on one machine, on a tiny model."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, Literal, get_args

from rich.console import Console
from rich.markup import escape

from server.demo.corpus import Corpus, load_corpus
from server.demo.demonstration import Demonstration, forget
from server.demo.errors import DemoError, EnvironmentUnavailable, ServerNotStarted
from server.demo.lethe_server import LetheServer, start_lethe
from server.demo.model_server import ModelServer, start_transformers, start_vllm
from server.demo.training import trained_model
from server.demo.transcript import Transcript
from server.demo.vllm_environment import VllmEnvironment, default_place

_LOOK_EVERY_S: Final = 0.5

ModelServerChoice = Literal["auto", "vllm", "transformers"]


def default_cache() -> Path:
    """Where the trained model is kept, and everything else when we do not run from a checkout."""
    return Path.home() / ".cache" / "lethe"


def run_demo(
    *, once: bool = False, port: int = 8080, cache: Path | None = None, model_server: str | None = None
) -> int:
    """Runs the demonstration and returns the exit status.

    With `once` that is 0 only if everything forgotten leaked directly and not through Lethe, and everything else came
    through unchanged; else it stays up until it is interrupted. `port` is Lethe's: another free one is taken when it
    is in use. `model_server` is `auto` (the default), `vllm` or `transformers`.
    """
    console = Console()
    choices: tuple[ModelServerChoice, ...] = get_args(ModelServerChoice)
    choice = next((c for c in choices if c == (model_server or "auto")), None)
    if choice is None:
        Console(stderr=True).print(f"--model-server is one of {', '.join(choices)}.", style="bold red")
        return 2
    try:
        with _ended_by_sigterm():
            transcript = _demonstrate(choice, cache or default_cache(), port, once, console)
    except DemoError as error:
        Console(stderr=True).print(escape(str(error)), style="bold red")
        return 1
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 1 if once else 0
    return 1 if transcript.failures else 0


def start_model_server(
    choice: ModelServerChoice, cache: Path, console: Console, environment: VllmEnvironment | None = None
) -> ModelServer:
    """The demonstration's model, trained and served; by `transformers serve` where vLLM cannot be.

    vLLM is installed into `environment`, by default beside our own. Raises `DemoError`.
    """
    model, logs = trained_model(cache, console), cache / "logs"
    if choice != "transformers":
        environment = environment or VllmEnvironment(default_place(cache))
        try:
            environment.build(console)
            return start_vllm(environment, model, logs, console)
        except (EnvironmentUnavailable, ServerNotStarted) as error:
            if choice == "vllm":
                raise
            console.print(escape(str(error)), style="yellow")
            console.print("Serving the same model through `transformers serve` instead.", style="yellow")
    return start_transformers(model, logs, console)


def _demonstrate(choice: ModelServerChoice, cache: Path, port: int, once: bool, console: Console) -> Transcript:
    corpus = load_corpus()
    with (
        tempfile.TemporaryDirectory(prefix="lethe-demo-") as directory,
        start_model_server(choice, cache, console) as upstream,
        start_lethe(upstream.base_url, Path(directory), cache / "logs", port, console) as lethe,
    ):
        count = forget(corpus, lethe, console)
        names = ", ".join(subject.label for subject in corpus.forgotten)
        console.print(f"Added {count} entries to the forget index: {names}.")
        transcript = Demonstration(corpus, upstream, lethe).run(console)
        transcript.show(console)
        if not once:
            _stay(upstream, lethe, corpus, console)
        return transcript


def _stay(upstream: ModelServer, lethe: LetheServer, corpus: Corpus, console: Console) -> None:
    """Says where everything is and waits for Ctrl-C, or for one of the servers to end."""
    question = corpus.forgotten[0].exchanges[0].question
    lines = (
        "",
        f"Endpoint    {lethe.base_url}/v1   (model {upstream.model}, key {lethe.admin_key})",
        f"API docs    {lethe.base_url}/lethe/docs",
        f"Metrics     {lethe.metrics_url}",
        f"Unguarded   {upstream.base_url}/v1",
        "",
        _curl(lethe, upstream, question),
        _python(lethe, upstream, question),
        "Ctrl-C ends everything.",
    )
    console.out("\n".join(lines), highlight=False)  # unwrapped: it is to be copied
    while True:
        time.sleep(_LOOK_EVERY_S)
        for process in (upstream.process, lethe.process):
            if not process.is_running():
                raise ServerNotStarted(f"{process.name} has ended; its output is in {process.log}.")


def _curl(lethe: LetheServer, upstream: ModelServer, question: str) -> str:
    message = f'{{"role": "user", "content": "{question}"}}'
    body = f'{{"model": "{upstream.model}", "temperature": 0, "messages": [{message}]}}'
    return (
        f"curl {lethe.base_url}/v1/chat/completions \\\n"
        f"  -H 'Authorization: Bearer {lethe.admin_key}' -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'\n"
    )


def _python(lethe: LetheServer, upstream: ModelServer, question: str) -> str:
    return (
        "from openai import OpenAI\n"
        f'client = OpenAI(base_url="{lethe.base_url}/v1", api_key="{lethe.admin_key}")\n'
        f'answer = client.chat.completions.create(model="{upstream.model}", temperature=0,\n'
        f'    messages=[{{"role": "user", "content": "{question}"}}])\n'
        "print(answer.choices[0].message.content)\n"
    )


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the servers too, as Ctrl-C does."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
