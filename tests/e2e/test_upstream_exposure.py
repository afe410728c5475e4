"""What the real vLLM exposes is found, with and without its key, and examining it changes nothing there."""

from __future__ import annotations

import asyncio
import json
import secrets
import urllib.request
from collections.abc import Iterator

import pytest
from rich.console import Console

from server.demo.command import default_cache
from server.demo.model_server import ModelServer, start_vllm
from server.demo.training import trained_model
from server.demo.vllm_environment import VllmEnvironment, default_place
from server.exposure import Examination, Finding
from server.upstream_endpoints import Severity

KEY = f"sk-{secrets.token_hex(16)}"


def examined(server: ModelServer, key: str | None = None) -> dict[str, Finding]:
    async def examine() -> tuple[Finding, ...]:
        examination = Examination(server.base_url, key)
        try:
            return await examination.findings()
        finally:
            await examination.close()

    return {finding.path: finding for finding in asyncio.run(examine())}


@pytest.fixture(scope="module")
def careless(vllm: ModelServer) -> Iterator[ModelServer]:
    """vLLM with a key, in development mode, that loads adapters at run time. (The other one has made environment and
    model.)"""
    cache, console = default_cache(), Console(stderr=True)
    with pytest.MonkeyPatch.context() as patched:
        for name in ("VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
            patched.setenv(name, "1")
        options = ["--api-key", KEY, "--enable-lora", "--max-lora-rank", "8", "--enable-tokenizer-info-endpoint"]
        environment = VllmEnvironment(default_place(cache))
        server = start_vllm(environment, trained_model(cache, console), cache / "logs", console, options)
    with server:
        yield server


def test_a_vllm_without_a_key_speaks_to_anyone(vllm: ModelServer) -> None:
    found = examined(vllm)
    assert not any(finding.needs_key for finding in found.values())
    speaking = {path for path, finding in found.items() if finding.severity is Severity.CRITICAL}
    assert speaking >= {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/invocations"}
    assert set(found) >= {"/tokenize", "/detokenize", "/generative_scoring", "/metrics", "/openapi.json"}
    switched_off = {"/inference/v1/generate", "/v1/load_lora_adapter", "/adapters", "/collective_rpc", "/sleep"}
    assert not set(found) & switched_off


def test_a_key_leaves_paths_that_speak_and_administer(careless: ModelServer) -> None:
    found = examined(careless, KEY)
    anyone = {path for path, finding in found.items() if not finding.needs_key}
    assert anyone >= {"/invocations", "/collective_rpc", "/update_weights", "/pause", "/sleep", "/server_info"}
    assert anyone >= {"/adapters", "/tokenize", "/detokenize", "/tokenizer_info", "/reset_prefix_cache", "/metrics"}
    assert not any(path.startswith("/v1") for path in anyone)
    keyed = {path: finding.severity for path, finding in found.items() if finding.needs_key}
    assert keyed == dict.fromkeys(("/v1/load_lora_adapter", "/v1/unload_lora_adapter"), Severity.LOW)


def test_every_path_of_this_vllm_is_in_the_list(vllm: ModelServer, careless: ModelServer) -> None:
    for server, key in ((vllm, None), (careless, KEY)):
        assert [path for path, finding in examined(server, key).items() if finding.method == "?"] == []


def test_an_examination_changes_nothing(careless: ModelServer) -> None:
    def state() -> list[object]:
        told: list[object] = []
        for path in ("/is_sleeping", "/is_paused", "/v1/models"):
            asked = urllib.request.Request(careless.base_url + path, headers={"authorization": f"Bearer {KEY}"})
            with urllib.request.urlopen(asked, timeout=30) as answer:
                told.append(json.loads(answer.read()))
        models = told[-1]
        assert isinstance(models, dict)
        told[-1] = [model["id"] for model in models["data"]]
        return told

    before = state()
    examined(careless, KEY)
    assert state() == before
    assert before[:2] == [{"is_sleeping": False}, {"is_paused": False}]
