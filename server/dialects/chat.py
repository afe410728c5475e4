"""`/v1/chat/completions`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from server.dialects.choices import ChoicesDialect
from server.dialects.conversation import Conversation, conversation_of, is_prefix, messages_of, text_of
from server.dialects.dialect import Channel, Json, Piece, Rewrite
from server.dialects.envelope import envelope
from server.dialects.fields import Each, Fields, Leaf
from server.dialects.media import take_media
from server.dialects.option_table import REFUSE, STRIP
from server.dialects.options import TEMPLATE_OPTIONS, apply_options, not_allowed, section
from server.dialects.request_fields import CHAT_REQUEST

_FUNCTION: Final[Fields] = {"name": Leaf.TEXT, "arguments": Leaf.TEXT}
_TOOL_CALL: Final[Fields] = {"index": Leaf.PLAIN, "id": Leaf.TEXT, "type": Leaf.PLAIN, "function": _FUNCTION}
_RANDOM: Final = re.compile(r"(?:chatcmpl-tool-|call_)?[0-9A-Za-z]{1,40}")
_SPOKEN: Final = ("reasoning", "reasoning_content", "content", "refusal")
_MESSAGE: Final[Fields] = {
    "role": Leaf.PLAIN,
    **dict.fromkeys(_SPOKEN, Leaf.TEXT),
    "tool_calls": Each(_TOOL_CALL),
    "function_call": _FUNCTION,
    "annotations": Leaf.WITHHELD,
    "audio": Leaf.WITHHELD,
}


class ChatDialect(ChoicesDialect):
    """Messages with several channels: what is said, thought, refused, and asked of tools."""

    name = "chat"
    path = "/v1/chat/completions"
    speech = "content"
    request_fields = CHAT_REQUEST
    _event_fields = envelope({"delta": _MESSAGE})
    _body_fields = envelope({"message": _MESSAGE})
    _objects = ("chat.completion.chunk", "chat.completion")
    _id_prefix = "chatcmpl-"

    def strip(self, body: Json) -> Sequence[str]:
        """Take out of messages, and of what is told to their template, what is stripped. Raises `RequestRefused`."""
        messages = messages_of(body)
        stripped = take_media(messages, self._surface)
        section(body, "chat_template_kwargs")
        if body.get("chat_template_kwargs"):
            stripped += apply_options(body["chat_template_kwargs"], self._surface.options(TEMPLATE_OPTIONS))
        treatment = self._surface.treatment("assistant_prefix")
        if treatment is REFUSE and is_prefix(messages):
            raise not_allowed("assistant_prefix", "messages")
        if treatment is STRIP and is_prefix(messages):
            messages.pop()
            stripped += ("assistant_prefix",)
        return stripped

    def conversation(self, body: Json, brought: tuple[str, ...]) -> Conversation:
        """The messages, and what else is told to the model."""
        return conversation_of(body, messages_of(body), brought)

    def _pieces(self, choice: Json, index: int, whole: bool) -> Iterator[Piece]:
        message = choice.get("message" if whole else "delta")
        if not message:
            return
        for name in _SPOKEN:
            text = message.get(name)
            if text:
                yield Piece(Channel(index, name), text, message, name)
        if message.get("function_call"):
            yield from _function(message["function_call"], index, "function_call")
        for n, call in enumerate(message.get("tool_calls") or ()):
            number = call.get("index")
            place = f"tool_calls[{number if isinstance(number, int) else n}]"
            if call.get("id") and not _RANDOM.fullmatch(call["id"]):  # some models write it themselves
                yield Piece(Channel(index, f"{place}.id", True, group=place), call["id"], call, "id")
            if call.get("function"):
                yield from _function(call["function"], index, place)

    def _delta(self, text: str, opens: bool) -> Json:
        role = {"role": "assistant"} if opens else {}
        return {"delta": {**role, "content": text} if text or opens else {}}

    def _message(self, choice: Json, text: str) -> Json:
        given = choice.get("message") or {"role": "assistant", "content": "", "refusal": None}
        kept = {key: value if key == "role" else None for key, value in given.items() if key != "tool_calls"}
        return {"message": {**kept, "content": text}}

    def _instruct(self, body: Json, prompt: int, rewrite: Rewrite) -> None:
        instruction = rewrite.instruction
        # One system message at the front: many chat templates accept no other place for it.
        first, *rest = body["messages"] or [{"role": "system"}]
        if first["role"] == "system" and isinstance(first.get("content"), str):
            told = {**first, "content": f"{first['content']}\n\n{instruction}"}
        elif first["role"] == "system" and isinstance(first.get("content"), list):
            told = {**first, "content": [*first["content"], {"type": "text", "text": instruction}]}
        else:
            told, rest = {"role": "system", "content": instruction}, body["messages"]
        body["messages"] = [told, *rest]
        if rewrite.begun:
            body["messages"] = _begun(body["messages"], rewrite.begun, bool(body.get("continue_final_message")))
            body |= {"continue_final_message": True, "add_generation_prompt": False}

    def _text(self, choice: Json) -> str:
        return (choice.get("message") or {}).get("content") or ""

    def _said(self, choice: Json) -> tuple[str, ...]:
        message = choice.get("message") or choice.get("delta") or {}
        content = message.get("content") or ""
        thought = message.get("reasoning") or message.get("reasoning_content") or ""
        return (thought + content, content)


def _begun(messages: list[Json], begun: str, continued: bool) -> list[Json]:
    """The messages with the beginning of the answer, behind the words that the client had it go on from."""
    if continued and messages[-1]["role"] == "assistant":
        return [*messages[:-1], {"role": "assistant", "content": text_of(messages[-1]) + begun}]
    return [*messages, {"role": "assistant", "content": begun}]


def _function(function: Json, index: int, place: str) -> Iterator[Piece]:
    for key in ("name", "arguments"):
        text = function.get(key)
        if text:
            channel = Channel(index, f"{place}.{key}", hold_whole=True, json=key == "arguments", group=place)
            yield Piece(channel, text, function, key)
