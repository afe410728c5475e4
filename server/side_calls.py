"""The calls beside the guarded ones: which there are, what a request and an answer may hold, and whether they are on.

    off      404, as for every path that is not served
    pass     the request goes up with its known fields
    guard    what it says is judged like a prompt first

In either case an answer has only known fields, its numbers are numbers, and its texts are judged like an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from server.dialects.fields import Each, Fields, Leaf


class SideTreatment(StrEnum):
    """Whether a side call is served, and how."""

    OFF = "off"
    PASS = "pass"  # noqa: S105  # a word
    GUARD = "guard"


@dataclass(frozen=True, slots=True)
class SideCall:
    """One call. `plain` and `texts` are its request's fields; `numeric` names the answer's fields that hold arrays of
    numbers, at any depth; `dialect` the API in whose words its errors are told."""

    name: str
    paths: tuple[str, ...]
    plain: frozenset[str]
    texts: frozenset[str]
    answer: Fields
    numeric: frozenset[str] = frozenset()
    usual: SideTreatment = SideTreatment.OFF
    dialect: str = "chat"


_PLAIN, _NUMERIC = Leaf.PLAIN, Leaf.EMPTY
_USAGE: Final[Fields] = {
    **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), _PLAIN),
    "prompt_tokens_details": {
        **dict.fromkeys(("cached_tokens", "created_cache_tokens"), _PLAIN),
        "multimodal_tokens": dict.fromkeys(("image", "audio", "video"), _PLAIN),
    },
    "completion_tokens_details": {"reasoning_tokens": _PLAIN},
}
_DOCUMENT: Final[Fields] = {"text": Leaf.TEXT, "multi_modal": Leaf.WITHHELD}
_HEAD: Final[Fields] = {**dict.fromkeys(("id", "object", "created"), _PLAIN), "model": Leaf.MODEL, "usage": _USAGE}
_ASKED: Final = frozenset({"model", "user", "truncate_prompt_tokens", "truncation_side", "add_special_tokens"})
_SCORED: Final = _ASKED | {"use_activation", "max_tokens_per_query", "max_tokens_per_doc"}
_INPUT: Final = frozenset({"input", "messages"})
_ITEM: Final[Fields] = {"index": _PLAIN, "object": _PLAIN}

SIDE_CALLS: Final[tuple[SideCall, ...]] = (
    SideCall(
        "count_tokens",
        ("/v1/messages/count_tokens",),
        frozenset({"model", "thinking"}),
        frozenset({"messages", "system", "tools", "tool_choice", "output_config"}),
        {"input_tokens": _PLAIN, "context_management": {"original_input_tokens": _PLAIN}},
        usual=SideTreatment.PASS,
        dialect="messages",
    ),
    SideCall(
        "embeddings",
        ("/v1/embeddings",),
        _ASKED | {"encoding_format", "dimensions", "use_activation"},
        _INPUT,
        {**_HEAD, "data": Each({**_ITEM, "embedding": _NUMERIC})},
        frozenset({"embedding"}),
    ),
    SideCall(
        "rerank",
        ("/v1/rerank", "/rerank", "/v2/rerank"),
        _SCORED | {"top_n", "return_documents"},
        frozenset({"query", "documents", "instruction"}),
        {**_HEAD, "results": Each({"index": _PLAIN, "relevance_score": _PLAIN, "document": _DOCUMENT})},
    ),
    SideCall(
        "score",
        ("/v1/score", "/score"),
        _SCORED,
        frozenset({"text_1", "text_2", "data_1", "data_2", "queries", "documents", "items", "instruction"}),
        {**_HEAD, "data": Each({**_ITEM, "score": _PLAIN})},
    ),
    SideCall(
        "classify",
        ("/classify",),
        _ASKED | {"use_activation"},
        _INPUT,
        {**_HEAD, "data": Each({"index": _PLAIN, "label": _PLAIN, "probs": _NUMERIC, "num_classes": _PLAIN})},
        frozenset({"probs"}),
    ),
    SideCall(
        "pooling",
        ("/pooling",),
        _ASKED | {"encoding_format", "dimensions", "use_activation", "task"},
        _INPUT,
        {**_HEAD, "data": Each({**_ITEM, "data": _NUMERIC})},
        frozenset({"data"}),
    ),
    SideCall(
        "tokenize",
        ("/tokenize",),
        frozenset({"model", "add_special_tokens"}),
        frozenset({"prompt", "messages", "tools"}),
        {"count": _PLAIN, "max_model_len": _PLAIN, "tokens": _NUMERIC, "token_strs": Leaf.WITHHELD},
        frozenset({"tokens"}),
    ),
    SideCall(
        "detokenize", ("/detokenize",), frozenset({"model", "tokens"}), frozenset(), {"prompt": Leaf.TEXT}
    ),
)  # fmt: skip
NAMES: Final = tuple(call.name for call in SIDE_CALLS)

Served = Mapping[str, tuple[SideCall, SideTreatment]]
"""The calls that are on, by path."""


class SideCallInvalid(ValueError):
    """The operator named a call that does not exist, or a treatment that no call can have."""


def parse_side_calls(told: str) -> Served:
    """The calls that are on, from `call=treatment,…`. Raises `SideCallInvalid`."""
    wanted = {call.name: call.usual for call in SIDE_CALLS}
    for item in filter(None, (part.strip() for part in told.split(","))):
        name, _, treatment = (part.strip() for part in item.partition("="))
        if name not in wanted:
            raise SideCallInvalid(f"there is no call {name!r}: there are {', '.join(NAMES)}")
        if treatment not in list(SideTreatment):
            raise SideCallInvalid(f"{name} can be {', '.join(SideTreatment)}, not {treatment!r}")
        wanted[name] = SideTreatment(treatment)
    on = [call for call in SIDE_CALLS if wanted[call.name] is not SideTreatment.OFF]
    return {path: (call, wanted[call.name]) for call in on for path in call.paths}
