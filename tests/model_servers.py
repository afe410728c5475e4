"""The real model server, once per session: vLLM on the demonstration's model, in an environment of its own, and a
Lethe in front of it. The end-to-end tests and those of conformance share them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from openai import OpenAI
from rich.console import Console

from server.demo.command import default_cache
from server.demo.corpus import Subject, load_corpus
from server.demo.demonstration import entries
from server.demo.lethe_server import LetheServer, start_lethe
from server.demo.model_server import ModelServer, start_vllm
from server.demo.training import trained_model
from server.demo.vllm_environment import VllmEnvironment, default_place


@pytest.fixture(scope="session")
def vllm() -> Iterator[ModelServer]:
    """Ready to be asked; environment and model are made when they are missing."""
    cache, console = default_cache(), Console(stderr=True)
    environment = VllmEnvironment(default_place(cache))
    environment.build(console)
    with start_vllm(environment, trained_model(cache, console), cache / "logs", console) as server:
        yield server


@dataclass(frozen=True)
class Guarded:
    """A running Lethe in front of the running vLLM, with an operator's way in."""

    lethe: LetheServer
    vllm: ModelServer

    def call(self, method: str, path: str, body: object = None, namespace: str = "default") -> Any:
        """One call of the operator API; the answer's JSON."""
        joint = "&" if "?" in path else "?"
        request = urllib.request.Request(
            f"{self.lethe.base_url}/lethe/v1{path}{joint}namespace={namespace}",
            None if body is None else json.dumps(body).encode(),
            {"authorization": f"Bearer {self.lethe.admin_key}", "content-type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def forget(self, subject: Subject, **more: object) -> list[str]:
        """Add every fact or the passage of a subject; ids, once they are applied."""
        drafts = [{**draft, **more} for draft in entries(subject)]
        answer = self.call("POST", "/entries/batch?wait=applied&timeout_s=20", {"entries": drafts})
        return [entry["id"] for entry in answer["entries"]]

    def remember(self, ids: list[str]) -> None:
        """Remove entries again."""
        for entry_id in ids:
            self.call("DELETE", f"/entries/{entry_id}?wait=applied&timeout_s=20")

    @property
    def direct(self) -> OpenAI:
        return OpenAI(base_url=f"{self.vllm.base_url}/v1", api_key="none", max_retries=0)

    @property
    def client(self) -> OpenAI:
        return OpenAI(base_url=f"{self.lethe.base_url}/v1", api_key=self.lethe.admin_key, max_retries=0)

    def metrics(self) -> str:
        with urllib.request.urlopen(self.lethe.metrics_url, timeout=10) as answer:
            return str(answer.read().decode())


@pytest.fixture(scope="session")
def guarded(vllm: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Lethe with the demonstration's forget index."""
    folder = tmp_path_factory.mktemp("lethe")
    with start_lethe(vllm.base_url, folder, folder, 8080, Console(stderr=True)) as lethe:
        pair = Guarded(lethe, vllm)
        for subject in load_corpus().forgotten:
            pair.forget(subject)
        yield pair
