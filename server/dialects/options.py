"""Reads a request: its JSON, its options by the operator's treatments, and its plain fields."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson

from server.dialects.grammars import forced_text
from server.dialects.option_table import GUARD, REFUSE, STRIP, Option, Options, Surface, is_set, options_of
from server.faults import RequestRefused

CHAT_OPTIONS: Final[Options] = options_of(
    *("logprobs", "top_logprobs", "prompt_logprobs", "logprob_token_ids", "return_token_ids"),
    *(
        "return_tokens_as_token_ids",
        "return_token_offsets",
        "return_prompt_text",
        "routed_experts_prompt_start",
        "echo",
    ),
    *("logit_bias", "allowed_token_ids", "logits_processors", "use_beam_search", "best_of", "bad_words", "vllm_xargs"),
    *("stop", "stop_token_ids", "include_stop_str_in_output", "min_tokens", "ignore_eos"),
    *("response_format", "structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar"),
    *("guided_json_object", "guided_decoding_backend", "guided_whitespace_pattern", "documents"),
    *("chat_template", "chat_template_kwargs", "continue_final_message", "add_generation_prompt"),
    *("prompt_embeds", "media_io_kwargs", "mm_processor_kwargs", "kv_transfer_params", "ec_transfer_params"),
    *("priority", "cache_salt", "request_id", "session_id", "mm_payload", "return_mm_kwargs"),
)
_OF_CHATS: Final = ("chat_template", "chat_template_kwargs", "continue_final_message", "add_generation_prompt")
COMMON_OPTIONS: Final[Options] = {
    name: option for name, option in CHAT_OPTIONS.items() if name not in _OF_CHATS and name != "documents"
}
TEMPLATE_OPTIONS: Final[Options] = {
    **options_of("chat_template", "continue_final_message", "add_generation_prompt"),
    "tokenize": Option(REFUSE, is_set),
}
_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,47}")
_UNNAMED: Final = "a field"
_DEEPEST: Final = 200  # the encoder's own limit is 254
_LONGEST_END_USER: Final = 200


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request body. Raises `RequestRefused`, without repeating what was sent."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RequestRefused("the body is not valid JSON in UTF-8", code="invalid_json") from None
    if not isinstance(value, dict):
        raise RequestRefused("the body must be a JSON object", code="invalid_json")
    if body.count(b"{") + body.count(b"[") > _DEEPEST:  # else it cannot be nested as deep
        try:
            orjson.dumps(value)
        except orjson.JSONEncodeError:
            raise RequestRefused("the body is nested too deep, or holds what is no text", code="invalid_json") from None
    return value


def apply_options(body: dict[str, Any], options: Options) -> tuple[str, ...]:
    """Take out what is stripped, in place, and name it. Raises `RequestRefused`."""
    stripped = []
    for name in body.keys() & options.keys():
        option = options[name]
        if not option.takes_effect(body[name]):
            continue
        if option.treatment is REFUSE:
            raise not_allowed(name)
        if option.treatment is STRIP:
            del body[name]
            stripped.append(name)
    return tuple(sorted(stripped))


def option_texts(body: Mapping[str, Any], options: Options) -> tuple[str, ...]:
    """What guarded options bring into the conversation: one text per option, in the order of their names."""
    brought = (
        forced_text(body[name])
        for name in sorted(body.keys() & options.keys())
        if _is_guarded(body, options[name], name)
    )
    return tuple(text for text in brought if text)


def _is_guarded(body: Mapping[str, Any], option: Option, name: str) -> bool:
    return option.treatment is GUARD and option.takes_effect(body[name])


def drop_unknown(body: dict[str, Any], known: Collection[str], surface: Surface) -> tuple[str, ...]:
    """Take out the fields that no list names, in place, and name them as a log may. Raises `RequestRefused`."""
    unknown = [name for name in body if name not in known]
    for name in unknown:
        if surface.unknown is REFUSE:
            raise RequestRefused(f"'{_shown(name)}' is not known to this server", _shown(name), "unknown_field")
        del body[name]
    return tuple(sorted({_shown(name) for name in unknown}))


def _shown(name: str) -> str:
    """A field's name, unless it could be a text."""
    return name if _FIELD.fullmatch(name) else _UNNAMED


def end_user_of(body: Mapping[str, Any]) -> str:
    """Whom the client says that it asks for; empty when it says nothing of use."""
    for name in ("safety_identifier", "user"):
        value = body.get(name)
        if isinstance(value, str) and 0 < len(value) <= _LONGEST_END_USER:
            return value
    return ""


def not_allowed(name: str, where: str | None = None) -> RequestRefused:
    """What is raised for an option that is refused; `where` it stands in the request, its name unless said."""
    return RequestRefused(f"'{name}' is not allowed through this server", where or name, "option_not_allowed")


def flag(body: Mapping[str, Any], name: str, where: str = "") -> bool:
    """A truth value that may be missing or null. Raises `RequestRefused`."""
    value = body.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise RequestRefused(f"'{where}{name}' must be true or false", where + name, "invalid_type")


def count(body: Mapping[str, Any], name: str, most: int) -> int:
    """A number from 1 to `most`; 1 when missing or null. Raises `RequestRefused`."""
    value = body.get(name)
    if value is None:
        return 1
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise RequestRefused(f"'{name}' must be a whole number from 1 to {most}", name, "invalid_type")
    return value


def name(body: Mapping[str, Any], field: str) -> str:
    """A string that may be missing or null. Raises `RequestRefused`."""
    value = body.get(field)
    if value is None or isinstance(value, str):
        return value or ""
    raise RequestRefused(f"'{field}' must be a string", field, "invalid_type")


def section(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object that may be missing or null. Raises `RequestRefused`."""
    value = body.get(name)
    if value is None or isinstance(value, dict):
        return value or {}
    raise RequestRefused(f"'{name}' must be an object", name, "invalid_type")
