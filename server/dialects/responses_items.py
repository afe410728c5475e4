"""The items of a response: which of their fields may pass, and which texts they hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from server.dialects.dialect import Channel, Json
from server.dialects.fields import keep_known
from server.dialects.responses_fields import DELTAS, DONES, EVENT_FIELDS, ITEM_FIELDS, PART_FIELDS, PARTS

SPEECH: Final = "output_text"
"""The channel of what a message says."""

_LONGEST_TYPE: Final = 80
_RANDOM: Final = re.compile(r"(?:chatcmpl-tool-|call_)?[0-9A-Za-z]{1,40}")
_SAID: Final = {"output_text": "text", "refusal": "refusal", "reasoning_text": "text", "summary_text": "text"}
_SPOKEN: Final = {
    "response.output_text": SPEECH,
    "response.refusal": "refusal",
    "response.reasoning_text": "reasoning_text",
    "response.reasoning_summary_text": "summary_text",
}
_OF_CALLS: Final = ("call_id", "server_label", "namespace", "name", "arguments", "input", "code", "output")
_OF_ACTIONS: Final = ("query", "pattern", "url")

Slot = tuple[str, str]
"""An item's id, and the place of a text in it: the same in every event that tells it."""


class Text(NamedTuple):
    """A text and where it stands: `holder[key]`."""

    slot: Slot
    channel: Channel
    holder: Json
    key: str

    @property
    def text(self) -> str:
        """What stands there now."""
        return str(self.holder[self.key])


def keep_event(body: Json, dropped: list[str]) -> bool:
    """Take out of an event of a known type what is not known; False when nothing of use is left. The response in it
    is looked at by `server.dialects.responses_envelope`."""
    fields = EVENT_FIELDS[body["type"]]
    kept = {key: body[key] for key in ("item", "part", "response") if isinstance(body.get(key), dict)}
    kept["type"] = body["type"]
    body.update(dict.fromkeys(kept))
    keep_known(body, fields, dropped)
    body.update({key: value for key, value in kept.items() if key in body})
    if "item" in fields:
        return isinstance(body.get("item"), dict) and keep_item(body["item"], dropped)
    if "part" in fields:
        return isinstance(body.get("part"), dict) and keep_part(body["part"], dropped)
    return "response" not in fields or isinstance(body.get("response"), dict)


def keep_item(item: Json, dropped: list[str]) -> bool:
    """Take out of an item what is not known; False when its type is not."""
    fields = ITEM_FIELDS.get(type_of(item))
    if fields is None:
        dropped.append(type_of(item))
        return False
    parts = {key: item[key] for key in PARTS if key in fields and isinstance(item.get(key), list)}
    item.update(dict.fromkeys(parts))
    keep_known(item, fields, dropped)
    item.update({key: [part for part in value if keep_part(part, dropped)] for key, value in parts.items()})
    return True


def keep_part(part: Any, dropped: list[str]) -> bool:  # Any: other people's JSON
    """Take out of a part what is not known; False when its type is not."""
    fields = PART_FIELDS.get(type_of(part))
    if fields is None:
        dropped.append(type_of(part))
        return False
    keep_known(part, fields, dropped)
    return True


def keep_items(response: Json, dropped: list[str]) -> None:
    """Take out of the output of a response what is not known."""
    output = response.get("output")
    if isinstance(output, list):
        response["output"] = [item for item in output if keep_item(item, dropped)]


def type_of(value: object) -> str:
    """The type that an item, part or event gives itself, as far as it may be told."""
    found = value.get("type") if isinstance(value, dict) else None
    return found[:_LONGEST_TYPE] if isinstance(found, str) else "type"


def owner_of(item: Json, number: int) -> str:
    """What names an item in every event."""
    return str(item.get("id") or f"#{number}")


def number_of(body: Json, key: str = "output_index") -> int:
    """A place in a list, 0 where none is told."""
    found = body.get(key)
    return found if isinstance(found, int) else 0


def texts_of_response(response: Json) -> Iterator[Text]:
    """The texts of a whole response."""
    for number, item in enumerate(response.get("output") or ()):
        yield from texts_of_item(item, number)
    error = response.get("error") or {}
    if isinstance(error.get("message"), str):
        yield Text(("", "error"), Channel(0, "error.message", hold_whole=True), error, "message")


def texts_of_event(body: Json) -> Iterator[Text]:
    """The texts of an event."""
    type_, number = body["type"], number_of(body)
    if "response" in body:
        yield from texts_of_response(body["response"])
        return
    if "item" in body:
        yield from texts_of_item(body["item"], number)
        return
    owner = str(body.get("item_id") or f"#{number}")
    if "part" in body:
        summary = "summary" in type_
        nth = number_of(body, "summary_index" if summary else "content_index")
        yield from _text_of_part(owner, f"{'summary' if summary else 'content'}[{nth}]", body["part"])
    told = DELTAS.get(type_) or DONES.get(type_)
    if told is None:
        return
    if isinstance(body.get("name"), str):
        yield Text((owner, "name"), _of_call(number, "name", owner), body, "name")
    root, key = told
    if isinstance(body.get(key), str):
        spoken = _SPOKEN.get(type_.rpartition(".")[0])
        place = f"{root}[{number_of(body, f'{root}_index')}]" if spoken else root
        channel = Channel(0, spoken, part=owner + place) if spoken else _of_call(number, root, owner)
        yield Text((owner, place), channel, body, key)


def texts_of_item(item: Json, number: int) -> Iterator[Text]:
    """The texts of an item, `number` in the output."""
    owner = owner_of(item, number)
    for root in PARTS:
        for n, part in enumerate(item.get(root) or ()):
            yield from _text_of_part(owner, f"{root}[{n}]", part)
    for key in _OF_CALLS:
        text = item.get(key)
        # an id that no model wrote needs no look
        if isinstance(text, str) and not (key == "call_id" and _RANDOM.fullmatch(text)):
            yield Text((owner, key), _of_call(number, key, owner), item, key)
    action = item.get("action") or {}
    for key in _OF_ACTIONS:
        if isinstance(action.get(key), str):
            yield Text((owner, f"action.{key}"), _of_call(number, f"action.{key}", owner), action, key)


def _text_of_part(owner: str, place: str, part: Json) -> Iterator[Text]:
    key = _SAID[part["type"]]
    if isinstance(part.get(key), str):
        yield Text((owner, place), Channel(0, part["type"], part=owner + place), part, key)


def _of_call(number: int, key: str, owner: str) -> Channel:
    place = f"output[{number}]"
    return Channel(0, f"{place}.{key}", hold_whole=True, json=key == "arguments", group=place, part=owner)
