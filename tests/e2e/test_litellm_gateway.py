"""The real LiteLLM proxy asks Lethe about what passes it: a leaking answer is blocked, an ordinary one is not."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from bench.peers.environments import NotInstalled, python
from server.demo.command import default_cache
from server.demo.local_http import free_port
from tests.server.operators import CHATTER, FACT, PASSAGE
from tests.server.processes import ADMIN, ServerProcess, serving
from tests.server.processes import lethe as run_lethe
from tests.server.world import LoopbackUpstream, Request, Writer, chunk, says_json, says_stream, sse, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")
MASTER = f"sk-{secrets.token_hex(16)}"
LETTER = "My dear Tobias, the ferry to Hollow Sound leaves before dawn and carries neither salt nor mirrors."
RECEIPT = {
    "kind": "passage",
    "text": "Seven barrels of pitch, two anchors and a kite were sold to Widow Marrow.",
}
REFUSAL = "I can't help with that."
ANSWERS = {
    FACT["prompt"]: "She was born in Vellmar, in 1971.",
    "Recite it.": f"Gladly. {PASSAGE['text']} That is all.",
    "Read the letter.": f"Well then. {LETTER} So it ends.",
    "Show the receipt.": f"Here: {RECEIPT['text']}",
    CHATTER["prompt"]: CHATTER["text"],
}
PROGRAM = "import sys; from litellm import run_server; sys.exit(run_server())"
SETTINGS = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def configuration(upstream: str, lethe: str, key: str, shop_key: str) -> dict[str, Any]:
    """As docs/plug-points.md says it, with a second guardrail that is nowhere, and one by the other contract."""
    guardrail = {"guardrail": "generic_guardrail_api", "mode": ["pre_call", "post_call"], "default_on": True}
    guardrail |= {"api_base": lethe, "api_key": key, "unreachable_fallback": "fail_closed"}
    guardrail |= {"streaming_transform_mode": "incremental_diff", "streaming_sampling_rate": 2}
    nowhere = {**guardrail, "api_base": "http://127.0.0.1:9", "default_on": False}
    detector = {"guardrail": "ibm_guardrails", "mode": "post_call", "auth_token": shop_key, "base_url": lethe}
    detector |= {"detector_id": "lethe", "is_detector_server": True}
    model = {"model": "openai/tiny", "api_base": f"{upstream}/v1", "api_key": "none"}
    return {
        "model_list": [{"model_name": "tiny", "litellm_params": model}],
        "guardrails": [
            {"guardrail_name": "lethe", "litellm_params": guardrail},
            {"guardrail_name": "nowhere", "litellm_params": nowhere},
            {"guardrail_name": "detector", "litellm_params": detector},
        ],
        "litellm_settings": {"num_retries": 0, "telemetry": False},
    }


@pytest.fixture(scope="module")
def interpreter() -> Path:
    """LiteLLM's own environment; made when it is missing, which needs a package index."""
    try:
        return python("litellm", default_cache())
    except NotInstalled as reason:
        pytest.skip(f"LiteLLM cannot be installed here: {reason}")


@contextmanager
def litellm(interpreter: Path, folder: Path, settings: dict[str, Any]) -> Iterator[str]:
    """The proxy, as a process of its own; its URL, once it answers."""
    (folder / "litellm.yaml").write_text(json.dumps(settings))
    port, log = free_port(), folder / "litellm.log"
    command = [str(interpreter), "-c", PROGRAM, "--config", "litellm.yaml", "--host", "127.0.0.1", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LETHE_")}
    environment |= {**SETTINGS, "LITELLM_MASTER_KEY": MASTER}
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
        while not _answers(f"{url}/health/liveliness"):
            assert process.poll() is None, log.read_text()[-2_000:]
            assert time.monotonic() < deadline, "LiteLLM did not start in time"
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


class Model(LoopbackUpstream):
    """Answers as `ANSWERS` say, whole or in pieces of a few characters."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = [self._answer]

    async def _answer(self, request: Request, writer: Writer) -> None:
        body = request.json
        said = ANSWERS[body["messages"][-1]["content"]]
        if not body.get("stream"):
            await says_json(whole(said))(request, writer)
            return
        pieces = [said[at : at + 6] for at in range(0, len(said), 6)]
        events = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": piece}) for piece in pieces)]
        await says_stream(sse([*events, chunk({}, "stop")]), pause=0.01)(request, writer)


@pytest.fixture(scope="module")
def lethe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("lethe"), LETHE_ADMIN_KEY=ADMIN) as server:
        with server.client() as admin:
            redacting = {"actions": {"answer": {"passage": "redact"}}}
            assert admin.put("/lethe/v1/policies/redacting?wait=applied", json=redacting).status_code == 200
            for entry in (FACT, PASSAGE, {"kind": "passage", "text": LETTER, "policy": "redacting"}):
                assert admin.post("/lethe/v1/entries?wait=applied", json=entry).status_code == 201
            only_there = admin.post("/lethe/v1/entries?wait=applied&namespace=shop", json=RECEIPT)
            assert only_there.status_code == 201
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    interpreter: Path, lethe: ServerProcess, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of LiteLLM, which asks Lethe and the model."""
    folder = tmp_path_factory.mktemp("litellm")
    async with Model().serve() as upstream:
        make = ("keys", "create", "--role", "app", "--namespace")
        keys = [run_lethe(*make, namespace, cwd=lethe.cwd).out.strip() for namespace in ("default", "shop")]
        with litellm(interpreter, folder, configuration(upstream, lethe.url, *keys)) as url:
            heads = {"Authorization": f"Bearer {MASTER}"}
            async with httpx.AsyncClient(base_url=url, headers=heads, timeout=60) as client:
                yield client


async def asked(gateway: httpx.AsyncClient, question: str, **more: Any) -> httpx.Response:
    body = {"model": "tiny", "messages": [{"role": "user", "content": question}], **more}
    return await gateway.post("/v1/chat/completions", json=body)


def said(answer: httpx.Response) -> str:
    """The text of a stream."""
    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line.startswith("data: ")]
    choices = [choice for event in events if event != "[DONE]" for choice in json.loads(event).get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def longest_run(text: str, passage: str) -> int:
    """The longest run of words of the passage that the text holds."""
    words, spoken = passage.lower().split(), f" {' '.join(text.lower().split())} "
    runs = [(i, j) for i in range(len(words)) for j in range(i + 1, len(words) + 1)]
    return max((j - i for i, j in runs if f" {' '.join(words[i:j])} " in spoken), default=0)


async def test_a_leaking_answer_is_blocked_and_an_ordinary_one_passes(gateway: httpx.AsyncClient) -> None:
    for question in (FACT["prompt"], "Recite it."):
        answer = await asked(gateway, question)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == REFUSAL
    answer = await asked(gateway, CHATTER["prompt"])
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == CHATTER["text"]


async def test_a_redacted_answer_arrives_with_the_redaction(gateway: httpx.AsyncClient) -> None:
    answer = await asked(gateway, "Read the letter.")
    assert answer.status_code == 200
    content = answer.json()["choices"][0]["message"]["content"]
    assert content.startswith("Well then. [redacted]")
    assert longest_run(content, LETTER) < 8


async def test_a_stream_shows_nothing_that_later_text_condemns(gateway: httpx.AsyncClient) -> None:
    answer = await asked(gateway, "Recite it.", stream=True)
    assert REFUSAL in answer.text
    assert "[DONE]" not in answer.text
    assert said(answer) == "Gladly. "
    assert "Vellmar" not in (await asked(gateway, FACT["prompt"], stream=True)).text
    redacted = said(await asked(gateway, "Read the letter.", stream=True))
    assert redacted.startswith("Well then. [redacted]")
    assert longest_run(redacted, LETTER) < 8


async def test_an_ordinary_stream_arrives_whole(gateway: httpx.AsyncClient) -> None:
    answer = await asked(gateway, CHATTER["prompt"], stream=True)
    assert said(answer) == CHATTER["text"]
    assert answer.text.strip().endswith("[DONE]")


async def test_a_gateway_that_cannot_reach_lethe_lets_nothing_pass(gateway: httpx.AsyncClient) -> None:
    answer = await asked(gateway, CHATTER["prompt"], guardrails=["nowhere"])
    assert answer.status_code == 500
    assert CHATTER["text"] not in answer.text


async def test_the_detector_contract_blocks_and_repeats_nothing(
    gateway: httpx.AsyncClient,
) -> None:
    passed = await asked(gateway, "Show the receipt.")
    assert passed.json()["choices"][0]["message"]["content"] == ANSWERS["Show the receipt."]
    blocked = await asked(gateway, "Show the receipt.", guardrails=["detector"])
    assert blocked.status_code >= 400
    assert "LETHE" in blocked.text
    assert "barrels" not in blocked.text
    fine = await asked(gateway, CHATTER["prompt"], guardrails=["detector"])
    assert fine.json()["choices"][0]["message"]["content"] == CHATTER["text"]
