"""What must be equal of two answers: everything but what differs between any two runs, and what is withheld."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

VOLATILE: Mapping[str, str] = {
    "id": "made anew for every answer, tool call and item",
    "call_id": "the same",
    "item_id": "the same",
    "created": "the time",
    "created_at": "the time",
    "sequence_number": "counts events, and how many there are depends on how fast the model's words arrive",
    "cached_tokens": "the second run finds the first one's prompt in the cache",
    "cache_write_tokens": "the same",
    "cache_read_input_tokens": "the same",
    "cache_creation_input_tokens": "the same",
}
"""Fields that differ between two runs without anything between, with the reason."""

WITHHELD: Mapping[str, str] = {
    "logprobs": "names the tokens that were chosen and those that nearly were: they are text that no channel guards",
    "prompt_logprobs": "the same, of the prompt",
    "token_ids": "spells the answer in tokens",
    "prompt_token_ids": "spells the prompt in tokens",
    "prompt_text": "the prompt with its template, which may hold what the operator wrote",
    "kv_transfer_params": "belongs to the model servers among themselves",
    "ec_transfer_params": "the same",
    "routed_experts": "one row for every token: it tells their number where an answer is suppressed",
}
"""Fields that Lethe withholds by design, with the reason: null where the model server says something."""

TEXTS = frozenset(
    {"content", "text", "reasoning", "reasoning_content", "refusal", "arguments", "partial_json", "thinking", "delta"}
)
"""Fields that an API tells in pieces."""


def essence(value: Any) -> Any:
    """A JSON value without what may differ."""
    if isinstance(value, Mapping):
        return {
            name: None if name in WITHHELD else essence(inside)
            for name, inside in value.items()
            if name not in VOLATILE
        }
    return [essence(item) for item in value] if isinstance(value, list) else value


def folded(events: Iterable[Json]) -> Json:
    """A stream as one object, the same however the text was cut: pieces of text joined, the last of everything else.

    The keys say which choice, block or part of an item it is; `order` in which order those came. What comes after the
    end of a choice is an error.
    """
    told: dict[str, Json] = {}
    order: list[str] = []
    ended: set[str] = set()
    for event in events:
        for place, part in _parts(essence(event)):
            assert place not in ended, f"something is said after the end of {place}"
            join(told.setdefault(place, {}), part)
            if not order or order[-1] != place or not _is_piece(place):
                order.append(place)
            if (part.get("choice") or {}).get("finish_reason"):
                ended.add(place)
    choices = {place for place in order if place.startswith("choice")}
    rest = [place for place in order if place not in choices]
    return {"told": told, "order": sorted(choices) + rest}


def _is_piece(place: str) -> bool:
    """True for what comes in as many pieces as it likes."""
    return place.startswith(("choice ", "content_block_delta ")) or ".delta " in place


def _parts(event: Json) -> Iterable[tuple[str, Json]]:
    if "choices" not in event:  # an API that names its events
        where = [str(event[name]) for name in ("index", "output_index", "content_index") if name in event]
        yield " ".join([str(event.get("type")), *where]), event
    elif event["choices"]:
        head = {name: value for name, value in event.items() if name != "choices"}
        for choice in event["choices"]:
            yield f"choice {choice['index']}", {"head": head, "choice": choice}
    else:
        yield "closing", event


def join(whole: Json, part: Mapping[str, Any]) -> None:
    """Add a part of a message to what is there of it."""
    for name, value in part.items():
        there = whole.get(name)
        if isinstance(value, Mapping):
            if not isinstance(there, dict):
                there = whole[name] = {}
            join(there, value)
        elif isinstance(value, list) and all(isinstance(item, Mapping) and "index" in item for item in value):
            items = there if isinstance(there, list) else []
            for item in value:
                _join_item(items, item)
            whole[name] = items
        elif name in TEXTS and isinstance(value, str) and isinstance(there, str):
            whole[name] = there + value
        elif value is not None or name not in whole:
            whole[name] = value


def _join_item(items: list[Any], item: Mapping[str, Any]) -> None:
    for there in items:
        if there["index"] == item["index"]:
            join(there, item)
            return
    begun: Json = {}
    join(begun, item)
    items.append(begun)
