"""LangChain's ChatOpenAI: what an application built with it gets, directly and through Lethe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from server.demo.curriculum import TOOL_NAME
from server.demo.model_server import SERVED_NAME
from tests.conformance.calls import PARAMETERS, QUESTION, SPLIT, forced, tool_call
from tests.conformance.comparing import essence
from tests.model_servers import Guarded

TOOL = {"name": TOOL_NAME, "description": "Keeps a note.", "parameters": PARAMETERS}


class Note(BaseModel):
    """A short note."""

    a: str = Field(max_length=20)
    b: int = Field(ge=0, le=9)


class Saved(BaseModel):
    """A note to be kept."""

    text: str


def model(base_url: str, key: str, **options: Any) -> ChatOpenAI:
    """The model as an application sets it up."""
    given: dict[str, Any] = {"temperature": 0, "max_tokens": 120, "max_retries": 0, "stream_usage": True, **options}
    return ChatOpenAI(model=SERVED_NAME, base_url=base_url, api_key=key, **given)


def message(told: BaseMessage) -> Any:
    """A message as data."""
    return essence(told.model_dump(mode="json", exclude={"id"}))


def streamed(chain: Any) -> Any:
    """The sum of a stream, as LangChain adds it up, and the kinds of its parts."""
    total: Any = None
    for part in chain.stream([HumanMessage(QUESTION)]):
        total = part if total is None else total + part
    return message(total)


USES: dict[str, tuple[dict[str, Any], Callable[[ChatOpenAI], Any]]] = {
    "invoke": ({}, lambda m: message(m.invoke(QUESTION))),
    "stream": ({}, streamed),
    "batch": ({}, lambda m: [message(told) for told in m.batch([QUESTION, "One day"])]),
    "two generations": (
        {"n": 2, "temperature": 0.7, "seed": 5},
        lambda m: [message(each.message) for each in m.generate([[HumanMessage(QUESTION)]]).generations[0]],
    ),
    "stopped": ({"stop": [" great"]}, lambda m: message(m.invoke(QUESTION))),
    "a named tool": ({}, lambda m: message(m.bind_tools([TOOL], tool_choice=TOOL_NAME).invoke(QUESTION))),
    "a required tool, stream": ({}, lambda m: streamed(m.bind_tools([TOOL], tool_choice="required"))),
    "parallel tools": (
        {"extra_body": forced(tool_call("one") + "\n" + tool_call("two"))},
        lambda m: message(m.bind_tools([TOOL]).invoke(QUESTION)),
    ),
    "parallel tools, stream": (
        {"extra_body": forced(tool_call("one") + "\n" + tool_call("two"))},
        lambda m: streamed(m.bind_tools([TOOL])),
    ),
    "an object of a schema": (
        {},
        lambda m: m.with_structured_output(Note, method="json_schema").invoke(QUESTION).model_dump(),  # type: ignore[union-attr]  # a Note
    ),
    "an object by a tool": (
        {},
        lambda m: m.with_structured_output(Saved, method="function_calling").invoke(QUESTION).model_dump(),  # type: ignore[union-attr]  # a Saved
    ),
    "characters of many tokens, stream": ({"extra_body": forced(SPLIT)}, streamed),
}


@pytest.mark.parametrize(("options", "use"), USES.values(), ids=USES.keys())
def test_a_chain_gets_the_same(guarded: Guarded, options: dict[str, Any], use: Callable[[ChatOpenAI], Any]) -> None:
    direct = use(model(f"{guarded.vllm.base_url}/v1", "none", **options))
    through = use(model(f"{guarded.lethe.base_url}/v1", guarded.lethe.admin_key, **options))
    assert through == direct


async def test_an_asynchronous_chain_gets_the_same(guarded: Guarded) -> None:
    async def told(base_url: str, key: str) -> Any:
        parts = [part async for part in model(base_url, key).astream(QUESTION)]
        return "".join(str(part.content) for part in parts), parts[-1].usage_metadata

    direct = await told(f"{guarded.vllm.base_url}/v1", "none")
    assert await told(f"{guarded.lethe.base_url}/v1", guarded.lethe.admin_key) == direct
