"""`/v1/chat/completions`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from server.dialects.choices import ChoicesDialect
from server.dialects.conversation import Conversation, conversation_of, messages_of
from server.dialects.dialect import Channel, Json, Piece, Rewrite
from server.dialects.envelope import envelope
from server.dialects.fields import Each, Fields, Leaf
from server.dialects.options import CHAT_OPTIONS, TEMPLATE_OPTIONS, apply_options, section

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
    _options = CHAT_OPTIONS
    _event_fields = envelope({"delta": _MESSAGE})
    _body_fields = envelope({"message": _MESSAGE})
    _objects = ("chat.completion.chunk", "chat.completion")
    _id_prefix = "chatcmpl-"

    def _conversation(self, body: Json) -> Conversation:
        messages = messages_of(body)
        apply_options(dict(section(body, "chat_template_kwargs")), TEMPLATE_OPTIONS)
        return conversation_of(body, messages)

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
            number = number if isinstance(number, int) else n
            if call.get("id") and not _RANDOM.fullmatch(call["id"]):  # some models write it themselves
                yield Piece(Channel(index, f"tool_calls[{number}].id", hold_whole=True), call["id"], call, "id")
            if call.get("function"):
                yield from _function(call["function"], index, f"tool_calls[{number}]")

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
            body["messages"].append({"role": "assistant", "content": rewrite.begun})
            body |= {"continue_final_message": True, "add_generation_prompt": False}

    def _text(self, choice: Json) -> str:
        return (choice.get("message") or {}).get("content") or ""


def _function(function: Json, index: int, place: str) -> Iterator[Piece]:
    for key in ("name", "arguments"):
        text = function.get(key)
        if text:
            channel = Channel(index, f"{place}.{key}", hold_whole=True, json=key == "arguments")
            yield Piece(channel, text, function, key)
