"""A request of `/v1/messages`: its options, and the texts of its conversation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from server.dialects.conversation import QUESTION_WORDS, Conversation, last_words, messages_of
from server.dialects.dialect import Asked, encode
from server.dialects.grammars import forced_text
from server.dialects.option_table import GUARD, OPTIONS, PASS, STRIP, Options, Surface, options_of
from server.dialects.options import (
    TEMPLATE_OPTIONS,
    apply_options,
    drop_unknown,
    end_user_of,
    flag,
    name,
    not_allowed,
    option_texts,
    read_object,
    section,
)
from server.dialects.request_fields import RequestFields
from server.faults import RequestRefused
from server.structured import structured_of_format

_OTHER_NAMES: Final = {"stop_sequences": "stop", "output_config": "response_format"}
"""What this API calls options that others have too."""


def _forces(config: object) -> bool:
    """True when the shape of the answer is asked for; the same object also says how much effort to make."""
    return bool(config.get("format")) if isinstance(config, dict) else bool(config)


MESSAGES_OPTIONS: Final[Options] = {
    **options_of(
        *("chat_template_kwargs", "kv_transfer_params", "ec_transfer_params", "vllm_xargs"),
        *("cache_salt", "mm_payload", "return_mm_kwargs"),
    ),
    **{told: OPTIONS[own] for told, own in _OTHER_NAMES.items()},
    "output_config": replace(OPTIONS[_OTHER_NAMES["output_config"]], takes_effect=_forces),
}
MESSAGES_REQUEST: Final = RequestFields(
    frozenset(
        {"model", "max_tokens", "metadata", "stream", "temperature", "top_k", "top_p", "thinking", "watermarking"}
        | {"service_tier"}
    ),
    frozenset({"messages", "system", "tools", "tool_choice"}),
    MESSAGES_OPTIONS,
)
_DESCRIBED: Final = ("tools", "tool_choice")
_MEDIA: Final = {"image": "images", "audio": "audio", "video": "video"}
_READ: Final = frozenset(
    {"text", "thinking", "redacted_thinking", "tool_use", "tool_result", "tool_reference", "search_result"}
    | {"tool_addition", "tool_removal"}
)
_READ_SOURCES: Final = ("text", "content")
_LINKS: Final = frozenset({"base64", "url", "file"})
_SILENT: Final = frozenset({"signature", "cache_control"})
_NAMES: Final = frozenset({"type", "role", "id", "tool_use_id", "media_type"})
_NAME: Final = re.compile(r"[\w.:/-]{0,64}")
_DEEPEST: Final = 64


def read_messages(body: bytes, surface: Surface, options: Options) -> Asked:
    """What is asked for; `options` are those of `messages_options`. Raises `RequestRefused`."""
    asked = read_object(body)
    stripped = drop_unknown(asked, MESSAGES_REQUEST.names, surface)
    stripped += apply_options(asked, options)
    section(asked, "chat_template_kwargs")
    if asked.get("chat_template_kwargs"):
        stripped += apply_options(asked["chat_template_kwargs"], surface.options(TEMPLATE_OPTIONS))
    messages = messages_of(asked)
    stripped += _take_media(messages, surface) + _take_prefix(messages, surface)
    stream = flag(asked, "stream")
    said = conversation_of(asked, messages, option_texts(asked, options))
    return Asked(
        body=asked,
        forward=encode(asked),  # what was read: of a key that stands twice, another server may read the first
        model=name(asked, "model"),
        texts=said.texts,
        questions=said.questions,
        supplied=said.supplied,
        stream=stream,
        include_usage=stream,  # this API always tells the count, and upstream counts on its own account
        continuous_usage=stream,
        stripped=tuple(sorted(set(stripped))),
        structured=structured_of_format(section(section(asked, "output_config"), "format")),
        end_user=end_user_of({"user": section(asked, "metadata").get("user_id")}),
    )


def messages_options(surface: Surface) -> Options:
    """The options of this API as the operator wants them treated."""
    return {
        name: replace(option, treatment=surface.treatment(_OTHER_NAMES.get(name, name)))
        for name, option in MESSAGES_OPTIONS.items()
    }


def conversation_of(
    body: Mapping[str, Any], messages: list[dict[str, Any]], brought: tuple[str, ...] = ()
) -> Conversation:
    """What was said so far: what options brought, tools, the operator's words, and the messages with the calls of
    tools and their results. The messages of the user, in which the results of tools stand, are the user's own.

    Raises `RequestRefused`.
    """
    system = body.get("system")
    if system is not None and not isinstance(system, (str, list)):
        raise RequestRefused("'system' must be a string or a list of blocks", "system", "invalid_type")
    told = [(text, False) for text in brought]
    told += [(forced_text(body[name]), False) for name in _DESCRIBED if body.get(name)]
    told += [(_text_of(system), False)]
    told += [(_text_of(message.get("content")), message["role"] == "user") for message in messages]
    texts = tuple(text for text, _ in told if text)
    return Conversation(texts, (question_of(messages),), tuple(text for text, own in told if own and text))


def question_of(messages: list[dict[str, Any]]) -> str:
    """The last turn in which the user says something, and what was begun of the answer to it."""
    asked = [message for message in messages if message["role"] == "user"] or messages
    turns = [turn for turn in map(_spoken, asked) if turn] or [_text_of(message.get("content")) for message in asked]
    question = last_words(turns[-1]) if turns else ""
    begun = _prefix(messages)
    return last_words(f"{question}\n{last_words(begun)}", 2 * QUESTION_WORDS) if begun else question


def _spoken(message: Mapping[str, Any]) -> str:
    """What a message says apart from the results of tools."""
    content = message.get("content")
    if not isinstance(content, list):
        return _text_of(content)
    said = [block for block in content if not isinstance(block, dict) or block.get("type") != "tool_result"]
    return _text_of(said)


def _prefix(messages: list[dict[str, Any]]) -> str:
    """What the assistant says in the last turn: this API goes on from it."""
    if not messages or messages[-1]["role"] != "assistant":
        return ""
    return _text_of(messages[-1].get("content")).strip()


def _take_prefix(messages: list[dict[str, Any]], surface: Surface) -> tuple[str, ...]:
    treatment = surface.treatment("assistant_prefix")
    if treatment in (GUARD, PASS) or not _prefix(messages):
        return ()
    if treatment is not STRIP:
        raise not_allowed("assistant_prefix", f"messages[{len(messages) - 1}]")
    messages.pop()
    return ("assistant_prefix",)


# -- blocks --


def _take_media(messages: list[dict[str, Any]], surface: Surface) -> tuple[str, ...]:
    """Take out the blocks that are stripped, in place, and name their options. Raises `RequestRefused`."""
    stripped: set[str] = set()
    for number, message in enumerate(messages):
        content = message.get("content")
        if isinstance(content, list):
            message["content"] = _readable(content, surface, stripped, f"messages[{number}].content")
    return tuple(sorted(stripped))


def _readable(blocks: list[Any], surface: Surface, stripped: set[str], where: str) -> list[Any]:
    kept = []
    for number, block in enumerate(blocks):
        option = _medium_of(block) if isinstance(block, dict) else None
        if option is not None:
            treatment = surface.treatment(option)
            if treatment is STRIP:
                stripped.add(option)
                continue
            if treatment is not PASS:
                raise not_allowed(option, f"{where}[{number}]")
        elif isinstance(block, dict) and isinstance(block.get("content"), list):
            block["content"] = _readable(block["content"], surface, stripped, f"{where}[{number}].content")
        kept.append(block)
    return kept


def _medium_of(block: Mapping[str, Any]) -> str | None:
    """The option that a block falls under; None for text. What nobody here knows is a file: nobody reads it."""
    kind, source = block.get("type"), block.get("source")
    if kind == "document" and isinstance(source, dict) and source.get("type") in _READ_SOURCES:
        return None
    if not isinstance(kind, str):
        return "files"
    return None if kind in _READ else _MEDIA.get(kind, "files")


def _text_of(value: object) -> str:
    return "\n".join(text for text in _texts(value) if text)


def _texts(value: object, depth: int = 0) -> Iterator[str]:
    """Every string in blocks that could be read as text; data, links to it, and short names are not."""
    if isinstance(value, str):
        yield value
    elif depth > _DEEPEST:
        yield str(value)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, depth + 1)
    elif isinstance(value, dict):
        kind = value.get("type")
        if kind in _LINKS and ("data" in value or "url" in value or "file_id" in value):
            return
        for key, item in value.items():
            if key == "input":
                yield forced_text(item)
            elif key in _SILENT or (key == "data" and kind != "text"):
                continue
            elif not (key in _NAMES and isinstance(item, str) and _NAME.fullmatch(item)):
                yield from _texts(item, depth + 1)
