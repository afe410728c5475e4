"""Every field of the installed vLLM's own protocol models is named by a list of ours.

A field that no list names would be dropped, and nobody would know that it exists: this is where a new version of vLLM
shows what it added, so that somebody decides whether the field carries text.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from server import models
from server.demo.command import default_cache
from server.demo.vllm_environment import VllmEnvironment, default_place
from server.dialects import messages_fields, responses_fields
from server.dialects.chat import ChatDialect
from server.dialects.completions import CompletionsDialect
from server.dialects.fields import Each, Fields, Leaf
from server.dialects.messages_request import MESSAGES_REQUEST
from server.dialects.request_fields import REQUEST_FIELDS
from server.dialects.responses_request import RESPONSES_REQUEST
from server.side_calls import SIDE_CALLS

SCRIPT = Path(__file__).with_name("vllm_fields.py")
Tree = Mapping[str, Any]

TOLD_IN_OUR_WORDS = {"error": Leaf.WITHHELD}
"""An error of upstream is read, judged and told anew."""

NEVER_MADE = frozenset(
    {"file_search_call", "computer_call", "computer_call_output", "image_generation_call", "tool_search_call"}
    | {"tool_search_output", "additional_tools", "compaction", "local_shell_call", "local_shell_call_output"}
    | {"shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output", "mcp_list_tools"}
    | {"mcp_approval_request", "mcp_approval_response", "custom_tool_call_output", "program", "program_output"}
)
"""Items that OpenAI's own service makes and vLLM does not: dropped as unknown."""


def joined(lists: Iterable[Fields]) -> Fields:
    """The fields that any of the lists names."""
    told: dict[str, Any] = {}
    for fields in lists:
        for name, known in fields.items():
            both = isinstance(known, Mapping) and isinstance(told.get(name), Mapping)
            told[name] = joined((told[name], known)) if both else known
    return told


LISTS: dict[tuple[str, str], Fields] = {
    ("chat", "body"): ChatDialect._body_fields,
    ("chat", "event"): ChatDialect._event_fields,
    ("completions", "body"): CompletionsDialect._body_fields,
    ("completions", "event"): CompletionsDialect._event_fields,
    ("messages", "body"): messages_fields.MESSAGE_FIELDS,
    ("messages", "event"): joined((*messages_fields.EVENT_FIELDS.values(), TOLD_IN_OUR_WORDS)),
    ("responses", "body"): responses_fields.RESPONSE_FIELDS,
    ("models", "body"): models._LIST,
    **{("side calls", call.name): call.answer for call in SIDE_CALLS},
}
BY_TYPE: dict[tuple[str, str], Mapping[str, Fields]] = {
    ("responses", "events"): responses_fields.EVENT_FIELDS,
    ("responses", "items"): responses_fields.ITEM_FIELDS,
    ("responses", "parts"): responses_fields.PART_FIELDS,
}
REQUESTS: dict[str, Set[str]] = {
    "chat": REQUEST_FIELDS["chat"].names,
    "completions": REQUEST_FIELDS["completions"].names,
    "messages": MESSAGES_REQUEST.names,
    "responses": RESPONSES_REQUEST.names,
}


@pytest.mark.parametrize(("api", "part"), LISTS)
def test_the_list_of_an_answer_names_every_field(told: Mapping[str, Mapping[str, Tree]], api: str, part: str) -> None:
    assert list(unnamed(told[api][part], LISTS[api, part])) == []


@pytest.mark.parametrize(("api", "part"), BY_TYPE)
def test_the_list_of_each_type_names_every_field(told: Mapping[str, Mapping[str, Tree]], api: str, part: str) -> None:
    declared = BY_TYPE[api, part]
    types = told[api][part].keys() - NEVER_MADE
    assert types - declared.keys() == set()
    missing = {kind: found for kind in types if (found := list(unnamed(told[api][part][kind], declared[kind])))}
    assert missing == {}


@pytest.mark.parametrize("api", REQUESTS)
def test_the_list_of_a_request_names_every_field(told: Mapping[str, Mapping[str, Tree]], api: str) -> None:
    assert told[api]["request"].keys() - REQUESTS[api] == set()


def test_the_models_of_vllm_were_read_to_their_leaves(told: Mapping[str, Mapping[str, Tree]]) -> None:
    chat, responses, messages = told["chat"], told["responses"], told["messages"]
    assert {"name", "arguments"} <= set(chat["body"]["choices"]["message"]["tool_calls"]["function"])
    assert "top_logprobs" in chat["event"]["choices"]["logprobs"]["content"]
    assert {"arguments", "content"} <= set(responses["events"]["response.output_item.done"]["item"])
    assert "text" in responses["events"]["response.completed"]["response"]["output"]["content"]
    assert "text" in messages["event"]["message"]["content"]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"a": Leaf.PLAIN}, ["b", "c"]),
        ({"a": Leaf.PLAIN, "b": Leaf.WITHHELD, "c": Leaf.TEXT}, []),
        ({"a": Leaf.PLAIN, "b": {"x": Leaf.TEXT}, "c": Leaf.TEXT}, ["b.y"]),
        ({"a": Leaf.PLAIN, "b": Each({"y": Leaf.TEXT}), "c": Leaf.TEXT}, ["b.x"]),
    ],
)
def test_what_a_list_does_not_name_is_found_at_every_depth(fields: Fields, found: list[str]) -> None:
    assert list(unnamed({"a": {}, "b": {"x": {}, "y": {}}, "c": {}}, fields)) == found


def unnamed(told: Tree, declared: Fields, at: str = "") -> Iterator[str]:
    """The paths of the fields that a list does not name; what lies in a field that is guarded whole does not matter."""
    for name, inside in told.items():
        known = declared.get(name)
        if known is None:
            yield at + name
        elif isinstance(known, Each):
            yield from unnamed(inside, known.fields, f"{at}{name}.")
        elif isinstance(known, Mapping) and known:  # nothing may stand in an empty one, or lists of its own say what
            yield from unnamed(inside, known, f"{at}{name}.")


@pytest.fixture(scope="module")
def told() -> Mapping[str, Mapping[str, Tree]]:
    """The fields of vLLM, by API and part of it."""
    environment = VllmEnvironment(default_place(default_cache()))
    environment.build(Console(stderr=True))
    quiet = {**os.environ, "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR", "DO_NOT_TRACK": "1"}
    command = [str(environment.python), str(SCRIPT)]
    ran = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    fields: Mapping[str, Mapping[str, Tree]] = json.loads(ran.stdout)
    return fields
